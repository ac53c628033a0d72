"""Chains of levels: paths and probabilities against brute force, and networks that give what they should."""

from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch
from scipy import sparse

from lib.chains import ChainedLSTM, SequentialMLP
from lib.data import make_inputs
from lib.decode import beam, decode, marginals
from lib.models import InputLayer
from lib.recurrent import Encoder, MultitaskLSTM, pack
from lib.sequences import OWN_TOKENS, encode_tokens
from lib.text import Sequences

COUNTS = [3, 4, 5]
ROWS = 40


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


def test_marginals_are_sums_over_all_paths(conditionals):
    levels = marginals(conditionals)
    for row in range(ROWS):
        for level, count in enumerate(COUNTS):
            of_class = np.zeros(count)
            for path, scores in every_path(conditionals, row).items():
                of_class[path[level]] += np.exp(sum(scores))
            np.testing.assert_allclose(levels[level][row].exp(), of_class, rtol=1e-5)


def test_a_beam_that_keeps_every_path_ranks_all_by_their_probability(conditionals):
    paths = beam(conditionals, 60)
    for row in range(ROWS):
        every = every_path(conditionals, row)
        best_first = sorted(every, key=lambda path: -sum(every[path]))
        assert [tuple(path) for path in paths.codes[row].tolist()] == best_first
        np.testing.assert_allclose(paths.scores[row], [every[path] for path in best_first], rtol=1e-6)


def test_a_beam_of_one_takes_the_best_class_of_each_level_in_turn(conditionals):
    codes = decode(conditionals, "hard", width=5).codes
    assert codes.shape == (ROWS, 1, 3)
    for row, (a, b, c) in enumerate(codes[:, 0].tolist()):
        assert [a, b, c] == [table.argmax() for table in (t[row] for t in (conditionals[0],))] + [
            conditionals[1][row, a].argmax(),
            conditionals[2][row, b].argmax(),
        ]


def test_a_soft_path_is_at_least_as_probable_as_the_hard_one(conditionals):
    hard, soft = (decode(conditionals, how, 5).scores[:, 0].sum(1) for how in ("hard", "soft"))
    assert (soft >= hard).all()
    assert (soft > hard + 0.01).any()


def test_without_the_parents_probability_an_improbable_parent_can_win():
    tables = [
        torch.tensor([[0.9, 0.1]]).log(),
        torch.tensor([[[0.6, 0.4], [0.01, 0.99]]]).log(),
        torch.tensor([[[0.5, 0.5], [0.5, 0.5]]]).log(),
    ]
    assert decode(tables, "soft", 2).codes[0, 0].tolist() == [0, 0, 0]
    child = decode(tables, "soft_child", 2)
    assert child.codes[0, 0].tolist() == [1, 1, 0]
    np.testing.assert_allclose(child.scores[0, 0].exp(), [0.1, 0.99, 0.5], rtol=1e-5)


def test_ties_go_to_the_lowest_codes():
    flat = [torch.zeros(1, 2), torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)]
    paths = decode(flat, "soft", 5).codes[0].tolist()
    assert paths == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]


# Networks


def make_batch(rows=30, image=False):
    """Rows whose third level is said by their words; the first row has no word."""
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(count, size=rows) for count in COUNTS], axis=1)
    lengths = np.concatenate([[0], rng.integers(1, 9, rows - 1)])
    ids = rng.integers(0, 6, lengths.sum())
    words = Sequences(np.concatenate([[0], np.cumsum(lengths)]), ids)
    brand = rng.integers(0, 4, rows)
    photos = rng.normal(size=(rows, 7)).astype(np.float32) if image else None
    bag = sparse.csr_array((rng.random((rows, 6)) < 0.4).astype(np.float32))
    tokens = encode_tokens(words, np.arange(6), 100, brand)
    return make_inputs(codes, brand, bag, photos, tokens).batch(torch.arange(rows))


TOKENS = OWN_TOKENS + 6 + 3


def sequential(frozen=False, hidden_layers=2):
    torch.manual_seed(0)
    return SequentialMLP(InputLayer(3, 6, 0, 16, 0.0), COUNTS, hidden_layers, 0.0, frozen)


def lstm(leak=False, counts=COUNTS):
    torch.manual_seed(0)
    return ChainedLSTM(TOKENS, 8, 16, counts, 0.5, leak)


@pytest.mark.parametrize("network", [sequential(), sequential(frozen=True), lstm()])
def test_given_the_true_parent_a_chain_says_what_it_says_of_that_class(network):
    batch = make_batch()
    network.eval()
    first, second, third = network.conditional_logits(batch)
    rows, codes = torch.arange(30), batch.codes
    expected = [first, second[rows, codes[:, 0]], third[rows, codes[:, 1]]]
    for found, wanted in zip(network(batch), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", [sequential(), lstm()])
def test_conditionals_are_probabilities_and_the_parent_matters(network):
    batch = make_batch()
    for table, shape in zip(network.eval().conditionals(batch), [(30, 3), (30, 3, 4), (30, 4, 5)], strict=True):
        assert table.shape == shape
        torch.testing.assert_close(table.exp().sum(-1), torch.ones(shape[:-1]))
    assert not torch.allclose(table[:, 0], table[:, 1])
    assert network.predict(batch).shape == (30, 3)


def test_a_frozen_trunk_learns_from_the_first_level_alone():
    batch, shared = make_batch(), [("input_layer", True), ("trunks", True), ("heads.0", True), ("heads.1", False)]
    for network, frozen in ((sequential(), False), (sequential(frozen=True), True)):
        logits = network(batch)
        (logits[1].square().sum() + logits[2].square().sum()).backward()
        for prefix, of_first_level in shared:
            gradients = [p.grad for name, p in network.named_parameters() if name.startswith(prefix)]
            moved = any(g is not None and bool(g.any()) for g in gradients)
            assert moved is not (of_first_level and (frozen or prefix == "heads.0")), (prefix, frozen)


def test_the_levels_of_a_chain_share_the_first_layer_and_no_other():
    network = sequential(hidden_layers=3)
    assert len(network.trunks) == 3
    assert sum(isinstance(m, torch.nn.Linear) for m in network.trunks[0]) == 2
    assert len(sequential(frozen=True).trunks) == 1


def test_a_leaked_label_is_read_in_training_and_the_parent_when_predicting():
    network, batch = lstm(leak=True).eval(), make_batch()
    other_parent = batch._replace(codes=batch.codes.clone().index_fill_(1, torch.tensor([0]), 0))
    assert torch.equal(network(batch)[1], network(other_parent)[1])  # level 2 does not see level 1
    other_label = batch._replace(codes=(batch.codes + 1) % torch.tensor(COUNTS))
    assert not torch.equal(network(batch)[1], network(other_label)[1])
    assert [table.shape for table in network.conditionals(batch)][1:] == [(30, 3, 4), (30, 4, 5)]


@pytest.mark.parametrize("counts", [[2, 5, 3], [5, 2, 3]])
def test_a_leaked_label_has_a_token_however_many_classes_there_are(counts):
    network = lstm(leak=True, counts=counts).eval()
    batch = make_batch()
    batch = batch._replace(codes=batch.codes % torch.tensor(counts))
    assert torch.isfinite(network.loss(batch))
    assert network.predict(batch).shape == (30, 3)


def test_the_mean_is_over_a_rows_own_tokens_whatever_stands_beside_it():
    batch = make_batch()
    encoder = Encoder(TOKENS, 8, 16)
    together = encoder(pack(batch))
    for row, length in enumerate(batch.lengths.tolist()):
        outputs, _ = encoder.lstm(encoder.embedding[batch.tokens[row : row + 1, :length]])
        torch.testing.assert_close(together[row], outputs[0].mean(0))


def test_its_embeddings_gradient_is_sparse_and_right():
    batch = make_batch()
    encoder = Encoder(TOKENS, 8, 16)
    encoder(pack(batch)).square().sum().backward()
    found, encoder.embedding.grad = encoder.embedding.grad, None
    assert found.is_sparse
    total = 0
    for row, length in enumerate(batch.lengths.tolist()):
        outputs, _ = encoder.lstm(encoder.embedding[batch.tokens[row : row + 1, :length]])
        total = total + outputs[0].mean(0).square().sum()
    total.backward()
    torch.testing.assert_close(found.to_dense(), encoder.embedding.grad)


def test_the_multitask_lstm_reads_the_photo_only_where_it_is_an_input():
    batch = make_batch(image=True)
    text, both = (MultitaskLSTM(Encoder(TOKENS, 8, 16), COUNTS, size, 0.0, 0.0).eval() for size in (0, 7))
    for network, reads in ((text, False), (both, True)):
        logits = network(batch)
        assert [level.shape for level in logits] == [(30, count) for count in COUNTS]
        dark = network(batch._replace(image=torch.zeros_like(batch.image)))
        assert torch.equal(logits[0], dark[0]) is not reads


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "network",
    [ChainedLSTM(TOKENS, 8, 16, COUNTS, 0.0, False), MultitaskLSTM(Encoder(TOKENS, 8, 16), COUNTS, 0, 0.0, 0.0)],
)
def test_a_gpu_gives_what_a_processor_does(network):
    batch = make_batch()
    there = deepcopy(network).cuda()
    batch_there = batch._replace(**{name: getattr(batch, name).cuda() for name in ("tokens", "codes")})
    for a, b in zip(network(batch), there(batch_there), strict=True):
        torch.testing.assert_close(a, b.cpu(), atol=1e-5, rtol=1e-4)
    network.loss(batch).backward()
    there.loss(batch_there).backward()
    for a, b in zip(network.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(a.grad.to_dense(), b.grad.cpu().to_dense(), atol=1e-5, rtol=1e-4)
