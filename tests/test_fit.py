"""Training one network: it learns, it is repeatable, and it resumes to the same result."""

import numpy as np
import pytest
import torch
from scipy import sparse

from lib import fit, predict
from lib.config import Recipe
from lib.data import make_inputs
from lib.models import InputLayer, MultitaskMLP

TUNED = {
    "optimizer": "adamw",
    "lr": 0.01,
    "weight_decay": 0.01,
    "batch_size": 16,
    "epochs": 12,
    "min_updates": 0,
    "validate_every": 1,
    "hidden_dropout": 0.2,
    "input_dropout": 0.1,
    "schedule": "one_cycle",
    "patience": 4,
    "standardize_image": True,
}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, (120, 3))
    bag = sparse.csr_array(np.hstack([codes, 1 - codes]).astype(np.float32))
    return make_inputs(codes, bag=bag)


def network():
    torch.manual_seed(3)
    return MultitaskMLP(InputLayer(0, 6, 0, 16, 0.1), [2, 2, 2], 2, 0.2)


def trained(inputs, checkpoint_dir=None, **changes):
    model = network()
    recipe = Recipe(**TUNED | changes)
    rows = np.arange(80), np.arange(80, 100)
    epochs = fit.fit_network(model, inputs, *rows, recipe, seed=1, accelerator="cpu", checkpoint_dir=checkpoint_dir)
    return model, epochs


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def accuracy(model, inputs, rows=np.arange(100, 120)):  # noqa: B008
    levels = predict.log_probabilities(model, inputs, rows)
    return np.mean([level.argmax(1) == inputs.codes[rows, i].numpy() for i, level in enumerate(levels)])


@pytest.mark.parametrize(
    "recipe", [{"patience": 30}, {"optimizer": "adadelta", "lr": 1.0, "schedule": "constant", "patience": None}]
)
def test_both_recipes_learn_what_the_words_say(inputs, recipe):
    model, _ = trained(inputs, **recipe, epochs=60)
    assert accuracy(model, inputs) > 0.95 > accuracy(network(), inputs)


def test_the_same_seed_gives_the_same_weights_bit_by_bit(inputs):
    assert same(trained(inputs)[0], trained(inputs)[0])


def test_small_training_sets_get_enough_updates(inputs):
    _, epochs = trained(inputs, min_updates=200, patience=None)
    assert epochs == 40  # 80 rows in batches of 16 are 5 updates an epoch


def test_training_stops_when_validation_accuracy_no_longer_rises_and_keeps_the_best_weights(inputs):
    model, epochs = trained(inputs, lr=1.0, epochs=200, patience=2, schedule="constant")
    assert epochs < 200
    last, _ = trained(inputs, lr=1.0, epochs=epochs, patience=None, schedule="constant")
    best, final = (accuracy(network, inputs, np.arange(80, 100)) for network in (model, last))
    assert best >= final


@pytest.mark.parametrize("patience", [None, 50])
def test_a_killed_training_resumes_from_its_last_checkpoint_to_the_same_weights(
    inputs, tmp_path, monkeypatch, patience
):
    monkeypatch.setattr(fit, "UPDATES_BETWEEN_CHECKPOINTS", 20)

    class Killed(BaseException):
        pass

    def die_in_epoch_9(self, batch, batch_idx):
        if self.current_epoch == 9:
            raise Killed
        return self.network.loss(batch)

    with monkeypatch.context() as patch:
        patch.setattr(fit._Classifier, "training_step", die_in_epoch_9)
        with pytest.raises(Killed):
            trained(inputs, tmp_path, patience=patience)
    assert (tmp_path / "last.ckpt").exists()

    seen = []
    step = fit._Classifier.training_step
    monkeypatch.setattr(
        fit._Classifier, "training_step", lambda self, *args: (seen.append(self.current_epoch), step(self, *args))[1]
    )
    resumed, epochs = trained(inputs, tmp_path, patience=patience)
    assert min(seen) == 8  # the last checkpoint was made after epoch 7
    assert epochs == 12
    assert same(resumed, trained(inputs, patience=patience)[0])


def test_log_probabilities_are_those_of_the_rows_asked_for(inputs):
    model, _ = trained(inputs)
    some, every = (predict.log_probabilities(model, inputs, rows) for rows in (np.array([5, 3]), np.arange(120)))
    for a, b in zip(some, every, strict=True):
        np.testing.assert_allclose(a, b[[5, 3]], rtol=1e-2)
        np.testing.assert_allclose(np.exp(b.astype(float)).sum(1), 1, atol=2e-3)
