"""Chains of levels: paths and probabilities against brute force, and networks that give what they should."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from made_products import VARIANTS, model_of, shop

from lib.models.chains import beam, marginals
from lib.models.inputs import Inputs
from lib.models.lstm import ChainedLSTM
from lib.models.sequential import SequentialMLP

COUNTS = [3, 4, 5]
ROWS = 40
KINDS = {"sequential": SequentialMLP, "lstm": ChainedLSTM}


@pytest.fixture
def conditionals():
    torch.manual_seed(0)
    shapes = [(ROWS, 3), (ROWS, 3, 4), (ROWS, 4, 5)]
    return [torch.log_softmax(2 * torch.randn(shape), dim=-1) for shape in shapes]


def every_path(conditionals, row):
    """All paths of a row with their conditional log-probabilities."""
    first, second, third = (table[row] for table in conditionals)
    paths = product(*map(range, COUNTS))
    return {(a, b, c): [float(first[a]), float(second[a, b]), float(third[b, c])] for a, b, c in paths}


def test_marginals_are_sums_over_all_paths_and_a_beam_that_keeps_all_ranks_them_by_their_probability(conditionals):
    levels, paths = marginals(conditionals), beam(conditionals, 60)
    for row in range(ROWS):
        every = every_path(conditionals, row)
        for level, count in enumerate(COUNTS):
            sums = [sum(np.exp(sum(s)) for path, s in every.items() if path[level] == code) for code in range(count)]
            np.testing.assert_allclose(levels[level][row].exp(), sums, rtol=1e-5)
        best_first = sorted(every, key=lambda path: -sum(every[path]))
        assert [tuple(path) for path in paths.codes[row].tolist()] == best_first
        np.testing.assert_allclose(paths.scores[row], [every[path] for path in best_first], rtol=1e-6)


def test_a_hard_path_takes_the_best_class_of_each_level_in_turn_and_a_soft_one_is_at_least_as_probable(conditionals):
    hard, soft = beam(conditionals, 1), beam(conditionals, 5)
    assert hard.codes.shape == (ROWS, 1, 3)
    first, second, third = conditionals
    for row, (a, b, c) in enumerate(hard.codes[:, 0].tolist()):
        assert [a, b, c] == [first[row].argmax(), second[row, a].argmax(), third[row, b].argmax()]
    gains = soft.scores[:, 0].sum(1) - hard.scores[:, 0].sum(1)
    assert (gains >= 0).all()
    assert (gains > 0.01).any()


def test_without_the_parents_probability_an_improbable_parent_can_win():
    tables = [[[0.9, 0.1]], [[[0.6, 0.4], [0.01, 0.99]]], [[[0.5, 0.5], [0.5, 0.5]]]]
    logs = [torch.tensor(table).log() for table in tables]
    assert beam(logs, 2).codes[0, 0].tolist() == [0, 0, 0]
    child = beam(logs, 2, whole_path=False)
    assert child.codes[0, 0].tolist() == [1, 1, 0]
    np.testing.assert_allclose(child.scores[0, 0].exp(), [0.1, 0.99, 0.5], rtol=1e-5)


def test_ties_go_to_the_lowest_codes():
    flat = [torch.zeros(1, 2), torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)]
    paths = beam(flat, 5).codes[0].tolist()
    assert paths == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]


def test_a_chain_may_see_all_levels_before(conditionals):
    first, second, _ = conditionals
    torch.manual_seed(1)
    third = torch.log_softmax(2 * torch.randn(ROWS, 3, 4, 5), dim=-1)
    joint = (first[:, :, None] + second)[..., None] + third
    torch.testing.assert_close(marginals([first, second, third])[2], joint.logsumexp(dim=(1, 2)))
    paths = beam([first, second, third], 60)
    assert torch.equal(paths.codes[:, 0] @ torch.tensor([20, 5, 1]), joint.flatten(1).argmax(1))
    torch.testing.assert_close(paths.scores.sum(2), joint.flatten(1).sort(descending=True).values)


# Networks


def make(kind: str, counts=COUNTS, **recipe):
    """Return an untrained chain and a batch of 30 rows."""
    inputs = {"inputs": ["image"]} if kind == "sequential" else {}
    settings = model_of(VARIANTS[kind] | inputs, hidden_dropout=0.0, input_dropout=0.0, **recipe).settings
    settings, (products, _), network = replace(settings, class_counts=counts), shop(30), KINDS[kind]
    encoders = {name: encoder.fit(products) for name, encoder in network.make_encoders(settings).items()}
    torch.manual_seed(0)
    columns = {name: encoder.encode(products) for name, encoder in encoders.items()}
    codes = torch.stack([torch.randint(count, (30,)) for count in counts], dim=1)
    return network(settings, encoders).eval(), Inputs(codes, columns).batch(torch.arange(30))


@pytest.mark.parametrize(
    "options", [{"kind": "sequential"}, {"kind": "sequential", "frozen_trunk": True}, {"kind": "lstm"}]
)
def test_given_the_true_parent_a_chain_says_what_it_says_of_that_class_and_the_parent_matters(options):
    network, batch = make(**options)
    first, second, third = network.conditional_logits(batch)
    rows, codes = torch.arange(30), batch.codes
    expected = [first, second[rows, codes[:, 0]], third[rows, codes[:, 1]]]
    for logits, wanted in zip(network(batch), expected, strict=True):
        torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-5)
    assert [table.shape for table in (first, second, third)] == [(30, 3), (30, 3, 4), (30, 4, 5)]
    assert not torch.allclose(third[:, 0], third[:, 1])


def test_a_frozen_trunk_learns_from_the_first_level_alone():
    for frozen in (False, True):
        network, batch = make("sequential", frozen_trunk=frozen)
        assert len(network.trunks) == (1 if frozen else 3)
        logits = network(batch)
        (logits[1].square().sum() + logits[2].square().sum()).backward()
        for prefix, learns in (("input_layer", not frozen), ("trunks", not frozen), ("heads.0", 0), ("heads.1", 1)):
            gradients = [p.grad for name, p in network.named_parameters() if name.startswith(prefix)]
            assert any(g is not None and bool(g.any()) for g in gradients) == learns, (prefix, frozen)


def test_with_all_parents_level_3_also_sees_level_1():
    network, batch = make("sequential", parents="all")
    third = network.conditional_logits(batch)[2]
    assert third.shape == (30, 3, 4, 5)
    rows, (first, second, _) = torch.arange(30), batch.codes.T
    torch.testing.assert_close(network(batch)[2], third[rows, first, second], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(third[:, 0], third[:, 1])
    assert network.read(batch)["soft"].shape == (30, 3, 3)


def test_a_leaked_label_is_read_in_training_and_the_parent_when_predicting():
    network, batch = make("lstm", leak_own_label=True)
    other_parent = batch._replace(codes=batch.codes.clone().index_fill_(1, torch.tensor([0]), 0))
    assert torch.equal(network(batch)[1], network(other_parent)[1])  # level 2 does not see level 1
    other_label = batch._replace(codes=(batch.codes + 1) % torch.tensor(COUNTS))
    assert not torch.equal(network(batch)[1], network(other_label)[1])
    assert [table.shape for table in network.conditional_logits(batch)][1:] == [(30, 3, 4), (30, 4, 5)]


@pytest.mark.parametrize("counts", [[2, 5, 3], [5, 2, 3]])
def test_a_leaked_label_has_a_token_however_many_classes_there_are(counts):
    network, batch = make("lstm", counts, leak_own_label=True)
    assert torch.isfinite(network.loss(batch))
    assert network.predict(batch).shape == (30, 3)
