"""The multitask perceptron: its sparse input layer is a dense one, and its dropout, layers and loss are the paper's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_products import MLP, RECIPE, model_of
from torch import nn

from lib.config import Recipe
from lib.features.text import bag_of_words
from lib.models.base import Dropout
from lib.models.inputs import Bag, Categories, Inputs, Products, Vectors
from lib.models.mlp import InputLayer, MultitaskMLP

PHOTOS = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float16)
SEEN = Products.of(
    ["acme", "zeta", "acme", "zeta", "acme"], ["red shoe", "blue shoe", "", "red red lace", "lace"], PHOTOS
)
NEW = SEEN.having(brand=np.array(["zeta", "unheard of", None, "acme", ""], object))
CODES = torch.tensor([[0, 1, 2], [1, 0, 0], [0, 2, 1], [1, 1, 4], [0, 0, 3]])
COUNTS = [2, 3, 5]


def make_encoders():
    encoders = {"brand": Categories("brand"), "text": Bag(9, "english"), "image": Vectors("image")}
    return {name: encoder.fit(SEEN) for name, encoder in encoders.items()}


ENCODERS = make_encoders()


def make_layer(dropout: float = 0.0, modality_dropout: float = 0.0, **recipe) -> InputLayer:
    torch.manual_seed(0)
    recipe = Recipe(**RECIPE | {"standardize_image": False, "input_dropout": dropout} | recipe)
    return InputLayer(ENCODERS, 8, recipe, modality_dropout)


def batch_of(products: Products, times: int = 1):
    columns = {name: encoder.encode(products) for name, encoder in ENCODERS.items()}
    return Inputs(CODES, columns).batch(torch.arange(len(products)).repeat(times))


def dense_product(layer: InputLayer, weight: torch.Tensor | None = None):
    """What the paper does: concatenate one-hot brand, bag and photo, and multiply by one matrix."""
    own = layer.layers["brand"].weight[1:], layer.layers["text"].weight, layer.layers["image"].weight.T
    weight = torch.cat(own) if weight is None else weight
    bag = bag_of_words(NEW.text, ENCODERS["text"].vocabulary).toarray()
    photo = (PHOTOS - layer.layers["image"].mean.numpy()) / layer.layers["image"].scale.numpy()
    dense = np.hstack([ENCODERS["brand"].one_hot(NEW).toarray(), bag, photo]).astype(np.float32)
    return torch.from_numpy(dense) @ weight + layer.bias


@pytest.mark.parametrize("standardize", [False, True])
def test_the_sparse_input_layer_and_its_gradients_are_those_of_a_dense_one_over_the_concatenation(standardize):
    layer = make_layer(0.2, standardize_image=standardize).eval()
    torch.testing.assert_close(layer(batch_of(NEW)), dense_product(layer))
    layer(batch_of(NEW)).square().sum().backward()
    brand, words, photo = (layer.layers[name].weight for name in ENCODERS)
    weight = torch.cat([brand[1:], words, photo.T]).detach().requires_grad_()
    dense_product(layer, weight).square().sum().backward()
    torch.testing.assert_close(torch.cat([brand.grad[1:], words.grad, photo.grad.T]), weight.grad)


def test_an_unknown_brand_adds_nothing_even_after_training():
    layer = make_layer()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for _ in range(3):
        layer(batch_of(NEW)).square().sum().backward()
        optimizer.step()
    assert not layer.layers["brand"].weight[0].any()


def test_a_number_for_the_brand_is_one_input():
    layer = make_layer(brand_encoding="scalar").eval()
    two, none = (layer(batch_of(NEW.having(brand=np.full(5, name, object)))) for name in ("zeta", "unheard of"))
    torch.testing.assert_close(two - none, 2 * layer.layers["brand"].weight.T.expand(5, -1))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5])
def test_dropout_leaves_out_its_share_keeps_the_expectation_and_does_nothing_when_it_is_not_training(p):
    torch.manual_seed(0)
    dropout, x = Dropout(p), torch.ones(1000, 101)
    y = dropout(x)
    assert float((y == 0).float().mean()) == pytest.approx(p, abs=0.01)
    assert float(y.mean()) == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_of_inputs_keeps_their_expectation():
    layer = make_layer(0.2)
    draws = layer(batch_of(NEW, times=4000)).view(4000, 5, 8).detach()
    assert draws.std(0).max() > 0.05
    torch.testing.assert_close(draws.mean(0), layer.eval()(batch_of(NEW)).detach(), atol=0.06, rtol=0)


def test_hidden_inputs_are_a_share_of_the_rows_and_never_all_and_add_nothing():
    layer = make_layer(modality_dropout=0.5, standardize_image=True)
    shown = torch.stack(list(layer.shown(batch_of(NEW, times=4000)).values()))
    assert shown.any(dim=0).all()
    torch.testing.assert_close(shown.mean(dim=1), torch.full((3,), 0.5 + 0.5**3), atol=0.02, rtol=0)
    torch.testing.assert_close(layer.eval()(batch_of(NEW)), dense_product(layer))  # nothing is hidden outside training
    torch.testing.assert_close(layer(batch_of(NEW.without(ENCODERS))), layer.bias.expand(5, -1))


@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_the_mlp_has_the_layers_of_the_paper_and_the_sum_of_the_levels_cross_entropies(hidden_layers):
    settings = replace(model_of(MLP | {"hidden_layers": hidden_layers}).settings, class_counts=COUNTS)
    network, batch = MultitaskMLP(settings, ENCODERS), batch_of(NEW)
    assert sum(isinstance(layer, nn.Linear) for layer in network.trunk) == hidden_layers - 1
    assert sum(isinstance(layer, Dropout) for layer in network.trunk) == hidden_layers
    levels = network.eval()(batch)
    assert [logits.shape for logits in levels] == [(5, count) for count in COUNTS]
    by_hand = (-torch.log_softmax(z, 1)[torch.arange(5), y].mean() for z, y in zip(levels, CODES.T, strict=True))
    torch.testing.assert_close(network.loss(batch), sum(by_hand))
