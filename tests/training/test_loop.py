"""Training one network: it learns, it stops at its best, and it goes on from its last checkpoint to the same bits."""

import numpy as np
import pytest
import torch
from made_products import LSTM, VARIANTS, fitted, model_of, shop

from lib.exceptions import StudyError
from lib.models.base import Task
from lib.training import loop

MLP = VARIANTS["mlp"]
TEXT = {"model": "mlp", "inputs": ["text"], "hidden_layers": 1, "hidden_size": 8}
RECURRENT = {"model": "lstm_multitask", "inputs": ["text"], **LSTM}


def accuracy(model, rows=slice(None)):
    products, codes = shop()
    levels = model.predict(products.take(np.arange(160)[rows])).levels
    return np.mean([level.argmax(axis=1) == true for level, true in zip(levels, codes[rows].T, strict=True)])


@pytest.mark.parametrize("variant", [TEXT, RECURRENT])
def test_the_papers_optimizer_learns_what_the_words_say_too(variant):
    recipe = {"optimizer": "adadelta", "lr": 1.0, "schedule": "constant", "patience": None}
    assert accuracy(fitted(variant, epochs=20, **recipe), slice(130, None)) > 0.85


def test_small_training_sets_get_enough_updates():
    """100 rows in batches of 16 are 7 updates an epoch."""
    history = fitted(MLP, epochs=2, min_updates=50, patience=None).history
    assert [record["epoch"] for record in history] == list(range(1, 9))


def test_training_stops_when_validation_accuracy_no_longer_rises_and_keeps_the_best_weights():
    model = fitted(MLP, lr=0.3, epochs=60, patience=2, schedule="constant", validate_every=1)
    looked = [record["validation_accuracy"] for record in model.history]
    assert len(looked) < 60
    assert looked[-3] == max(looked) > looked[-1]
    assert accuracy(model, slice(100, 130)) == pytest.approx(max(looked), abs=1e-6)


def test_a_recipe_that_drops_the_only_batch_is_refused():
    model, (products, codes) = model_of(MLP, drop_last=True, batch_size=1000), shop()
    with pytest.raises(StudyError, match="needs at least one full batch of training rows: its batch_size is 1000"):
        model.fit(Task(products, codes, products, codes, 0))


@pytest.mark.parametrize(
    ("variant", "recipe"),
    [
        (MLP, {"patience": None}),
        (MLP, {"patience": 50}),
        (RECURRENT, {"patience": 50}),
        (RECURRENT, {"optimizer": "adadelta", "schedule": "constant", "lr": 1.0, "patience": None}),
    ],
)
def test_a_killed_training_goes_on_from_its_last_checkpoint_to_the_same_bits(tmp_path, monkeypatch, variant, recipe):
    """Best weights, sparse states of the optimizer, batches by length and the history included."""
    monkeypatch.setattr(loop, "UPDATES_BETWEEN_CHECKPOINTS", 14)  # each second epoch
    expected, calls, stop_at = fitted(variant, epochs=6, **recipe), [], [None]
    kind = type(expected.network)
    usual = kind.loss

    def counted(network, batch):
        calls.append(1)
        if len(calls) == stop_at[0]:
            raise KeyboardInterrupt
        return usual(network, batch)

    monkeypatch.setattr(kind, "loss", counted)
    stop_at[0] = 31
    with pytest.raises(BaseException) as stopped:
        fitted(variant, checkpoints=tmp_path, epochs=6, **recipe)
    assert stopped.type in (KeyboardInterrupt, SystemExit)
    assert (tmp_path / "last.ckpt").exists()
    calls.clear()
    stop_at[0] = None
    resumed = fitted(variant, checkpoints=tmp_path, epochs=6, **recipe)
    assert len(calls) == 14, "two epochs of six are left"
    assert resumed.history == expected.history
    for name, value in expected.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
