"""The LSTM of a processor, beside PyTorch's: values and gradients, whatever the rows' lengths."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from lib.lstm import Ends, run_lstm

WORDS, HIDDEN = 7, 5


def ours(lstm, words, places):
    weight_ih, weight_hh, bias_ih, bias_hh = lstm.all_weights[0]
    projected = torch.nn.functional.linear(words, weight_ih, bias_ih + bias_hh)
    return run_lstm(projected, places.data, places.batch_sizes, weight_hh)


def theirs(lstm, words, places):
    outputs, (hidden, cell) = lstm(PackedSequence(words[places.data], places.batch_sizes))
    return Ends(pad_packed_sequence(outputs, batch_first=True)[0].sum(1), hidden[0], cell[0])


def make(batch_sizes, scale=1.0):
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, HIDDEN, batch_first=True)
    words = (scale * torch.randn(WORDS, 3)).requires_grad_()
    places = torch.randint(0, WORDS, (sum(batch_sizes),))
    return lstm, words, PackedSequence(places, torch.tensor(batch_sizes))


every_shape = pytest.mark.parametrize("batch_sizes", [[1], [4], [1, 1, 1], [6, 6, 6], [6, 3, 3, 1], [9, 8, 7, 2, 1, 1]])


@every_shape
@pytest.mark.parametrize("scale", [1.0, 30.0])  # the latter drives gates to 0 and 1
def test_it_ends_where_pytorchs_does(batch_sizes, scale):
    inputs = make(batch_sizes, scale)
    for found, expected in zip(ours(*inputs), theirs(*inputs), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@every_shape
@pytest.mark.parametrize("part", [*Ends._fields, "all"])
def test_gradients_are_pytorchs_through_each_thing_that_it_returns(batch_sizes, part):
    lstm, words, places = make(batch_sizes)
    learnt = [words, *lstm.parameters()]
    gradients = []
    for run in (ours, theirs):
        ends = run(lstm, words, places)
        parts = ends if part == "all" else [getattr(ends, part)]
        loss = sum((found * torch.linspace(-1, 2, found.numel()).view_as(found)).square().sum() for found in parts)
        gradients.append(torch.autograd.grad(loss, learnt))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_gradient_is_taken_once():
    """Its working memory is what was kept for it."""
    total = ours(*make([3, 2])).total.sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_no_gradient_is_kept_where_nothing_is_learnt():
    with torch.inference_mode():
        assert not ours(*make([3, 2])).total.requires_grad
