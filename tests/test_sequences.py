"""Token sequences: what is cut, what stands for what is missing, and batches by length that a seed repeats."""

import numpy as np
import pytest
import torch

from lib.data import Batches, make_inputs
from lib.sequences import NO_TOKENS, OWN_TOKENS, UNKNOWN, LengthBatches, encode_tokens, make_batches
from lib.text import Sequences

WORDS = Sequences(np.array([0, 4, 4, 6]), np.array([7, 5, 9, 7, 5, 5]))  # three rows; 5 is in no vocabulary below
VOCABULARY = np.array([7, 9])


def rows_of(sequences):
    return [sequences.ids[a:b].tolist() for a, b in zip(sequences.indptr[:-1], sequences.indptr[1:], strict=True)]


def make(rows=200, seed=0):
    lengths = np.random.default_rng(seed).integers(1, 60, rows)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    tokens = Sequences(indptr, np.repeat(np.arange(rows), lengths))  # each token says which row it is of
    return lengths, make_inputs(np.zeros((rows, 3)), brand=np.arange(rows), tokens=tokens)


def test_words_outside_the_vocabulary_are_left_out_before_a_row_is_cut():
    assert rows_of(encode_tokens(WORDS, VOCABULARY, 2)) == [[OWN_TOKENS, OWN_TOKENS + 1], [NO_TOKENS], [NO_TOKENS]]
    assert rows_of(encode_tokens(WORDS, VOCABULARY, 9))[0] == [OWN_TOKENS, OWN_TOKENS + 1, OWN_TOKENS]


def test_the_brand_is_the_last_token_and_an_unknown_one_has_its_own():
    rows = rows_of(encode_tokens(WORDS, VOCABULARY, 1, brand=np.array([1, 0, 2])))
    assert rows == [[OWN_TOKENS, OWN_TOKENS + 2], [UNKNOWN], [OWN_TOKENS + 3]]


def test_a_batch_holds_the_sequences_of_its_rows_padded_behind_their_ends():
    lengths, inputs = make()
    batch = inputs.batch(torch.tensor([5, 0, 5]))
    assert batch.lengths.tolist() == lengths[[5, 0, 5]].tolist()
    assert batch.tokens.shape[1] == max(lengths[[5, 0]])
    for row, tokens, length in zip([5, 0, 5], batch.tokens, batch.lengths, strict=True):
        assert tokens[:length].tolist() == [row] * length
        assert not tokens[length:].any()


@pytest.mark.parametrize("seed", [None, 3])
def test_a_pass_by_length_sees_every_row_once_and_says_where_it_was(seed):
    _, inputs = make()
    rows = np.arange(150)[::-1].copy()
    batches = LengthBatches(inputs, rows, 32, seed)
    seen = torch.cat([batch.brand for batch in batches])
    assert sorted(seen.tolist()) == list(range(150))
    assert seen.tolist() == rows[batches.order].tolist()
    assert len(list(batches)) == len(batches) == 5


def test_its_order_is_that_of_its_seed_alone():
    _, inputs = make()
    orders = [LengthBatches(inputs, np.arange(200), 16, seed).order.tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_its_batches_hold_rows_of_about_the_same_length():
    _, inputs = make(2000)
    by_length, any_order = (
        sum(batch.tokens.numel() for batch in kind(inputs, np.arange(2000), 20, 0)) for kind in (LengthBatches, Batches)
    )
    assert by_length < inputs.tokens.numel() * 1.1 < any_order


@pytest.mark.parametrize("kind", [Batches, LengthBatches])
def test_a_last_batch_that_is_not_full_can_be_dropped(kind):
    _, inputs = make()
    batches = kind(inputs, np.arange(50), 16, 0, drop_last=True)
    assert [len(batch.codes) for batch in batches] == [16] * 3
    assert len(batches.order) == 48


def test_rows_without_sequences_come_as_before():
    inputs = make_inputs(np.zeros((4, 3)), brand=np.arange(4))
    assert isinstance(make_batches(inputs, np.arange(4), 2), Batches)
    assert inputs.batch(torch.tensor([1])).tokens is None
