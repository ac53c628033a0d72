import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from lib.data import make_inputs
from lib.models import Dropout, InputLayer, MultitaskMLP, Naive


def batch_and_dense(rows=6, brands=3, words=5, image_size=4):
    """A batch, and the same rows as the dense matrix that the paper concatenates."""
    rng = np.random.default_rng(1)
    brand = rng.integers(0, brands + 1, rows)
    bag = sparse.csr_array((rng.random((rows, words)) < 0.4).astype(np.float32))
    image = rng.normal(size=(rows, image_size)).astype(np.float32)
    codes = rng.integers(0, 2, (rows, 3))
    one_hot = np.eye(brands + 1)[brand][:, 1:]
    batch = make_inputs(codes, brand, bag, image).batch(torch.arange(rows))
    return batch, torch.tensor(np.hstack([one_hot, bag.toarray(), image]), dtype=torch.float32)


def test_the_sparse_input_layer_is_a_dense_layer_over_the_concatenation():
    batch, dense = batch_and_dense()
    layer = InputLayer(brands=3, words=5, image_size=4, hidden_size=8, dropout=0.2).eval()
    weight = torch.cat([layer.brand.weight[1:], layer.words.weight, layer.image.weight.T])
    torch.testing.assert_close(layer(batch), dense @ weight + layer.bias)


def test_its_gradients_are_those_of_the_dense_layer():
    batch, dense = batch_and_dense()
    layer = InputLayer(brands=3, words=5, image_size=4, hidden_size=8, dropout=0.0)
    layer(batch).square().sum().backward()
    ours = torch.cat([layer.brand.weight.grad[1:], layer.words.weight.grad, layer.image.weight.grad.T])
    weight = torch.cat([layer.brand.weight[1:], layer.words.weight, layer.image.weight.T]).detach().requires_grad_()
    (dense @ weight + layer.bias.detach()).square().sum().backward()
    torch.testing.assert_close(ours, weight.grad)


def test_dropout_leaves_out_its_share_of_the_inputs_and_keeps_their_expectation():
    batch, _ = batch_and_dense()
    torch.manual_seed(0)
    layer = InputLayer(brands=3, words=5, image_size=4, hidden_size=8, dropout=0.2)
    draws = torch.stack([layer(batch).detach() for _ in range(4000)])
    assert draws.std(0).max() > 0.05
    torch.testing.assert_close(draws.mean(0), layer.eval()(batch).detach(), atol=0.05, rtol=0)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5])
def test_dropout_leaves_out_its_share_and_nothing_when_it_is_not_training(p):
    torch.manual_seed(0)
    dropout, x = Dropout(p), torch.ones(1000, 101)
    y = dropout(x)
    assert float((y == 0).float().mean()) == pytest.approx(p, abs=0.01)
    assert float(y.mean()) == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout.eval()(x), x)


def test_an_unknown_brand_adds_nothing_even_after_training():
    batch, _ = batch_and_dense()
    layer = InputLayer(brands=3, words=0, image_size=0, hidden_size=8, dropout=0.0)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for _ in range(3):
        layer(batch).square().sum().backward()
        optimizer.step()
    assert layer.brand.weight[0].abs().sum() == 0


@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_the_mlp_has_the_layers_of_the_paper_and_a_softmax_a_level(hidden_layers):
    batch, _ = batch_and_dense()
    network = MultitaskMLP(InputLayer(3, 5, 4, 16, 0.2), [2, 3, 5], hidden_layers, dropout=0.5)
    assert [logits.shape for logits in network(batch)] == [(6, 2), (6, 3), (6, 5)]
    linear = [m for m in network.trunk if isinstance(m, nn.Linear)]
    assert len(linear) == hidden_layers - 1
    assert sum(isinstance(m, Dropout) and m.threshold == 128 for m in network.trunk) == hidden_layers


def test_the_loss_is_the_sum_of_the_levels_cross_entropies():
    batch, _ = batch_and_dense()
    network = MultitaskMLP(InputLayer(3, 5, 4, 16, 0.0), [2, 2, 2], 1, dropout=0.0)
    by_hand = sum(
        -torch.log_softmax(z, 1)[torch.arange(6), y].mean() for z, y in zip(network(batch), batch.codes.T, strict=True)
    )
    torch.testing.assert_close(network.loss(batch), by_hand)


def test_naive_answers_the_plurality_class_of_the_training_rows():
    codes = np.array([[0, 1, 2], [0, 1, 0], [1, 0, 2]])
    levels = Naive().fit(codes, [2, 2, 4]).log_probabilities(5)
    assert [level.argmax(1).tolist() for level in levels] == [[0] * 5, [1] * 5, [2] * 5]
    assert all(np.allclose(np.exp(level).sum(1), 1) for level in levels)


def hiding_layer(p=0.3):
    torch.manual_seed(0)
    return InputLayer(brands=3, words=5, image_size=4, hidden_size=8, dropout=0.0, modality_dropout=p)


def test_modality_dropout_hides_nothing_when_it_is_not_training():
    batch, dense = batch_and_dense()
    layer = hiding_layer().eval()
    weight = torch.cat([layer.brand.weight[1:], layer.words.weight, layer.image.weight.T])
    torch.testing.assert_close(layer(batch), dense @ weight + layer.bias)


def test_modality_dropout_hides_each_input_of_its_share_of_rows_and_never_all():
    layer = hiding_layer(0.5)
    shown = layer._shown(batch_and_dense(rows=20_000)[0])
    assert shown.any(dim=0).all()
    torch.testing.assert_close(shown.mean(dim=1), torch.full((3,), 0.5 + 0.5**3), atol=0.02, rtol=0)


def test_a_hidden_input_is_an_input_that_is_not_there():
    inputs = make_inputs(
        np.zeros((2, 3)), np.array([1, 2]), sparse.csr_array(np.ones((2, 5), np.float32)), np.ones((2, 4), np.float32)
    )
    layer, rows = hiding_layer().eval(), torch.arange(2)
    layer.standardize(torch.full((4,), 0.5), torch.full((4,), 2.0))
    everything = layer(inputs.batch(rows))
    parts = {name: everything - layer(inputs.without({name}).batch(rows)) for name in ("brand", "text", "image")}
    torch.testing.assert_close(parts["brand"], layer.brand.weight[1:3])
    torch.testing.assert_close(parts["text"], layer.words.weight.sum(dim=0).expand(2, -1))
    torch.testing.assert_close(parts["image"], (layer.image.weight * 0.25).sum(dim=1).expand(2, -1))
    nothing = layer(inputs.without({"brand", "text", "image"}).batch(rows))
    torch.testing.assert_close(nothing, layer.bias.expand(2, -1))
