"""What networks read: batches that hold each row once, in an order that a seed repeats, and encoders."""

import numpy as np
import pytest
import torch

from lib.models.inputs import Batches, Categories, Inputs, Products, Ragged, Vectors

ROWS = 200
LENGTHS = np.random.default_rng(0).integers(1, 60, ROWS)


def make(padded: bool = True) -> Inputs:
    """Return rows whose sequences say which row they are of."""
    numbers, indptr = torch.arange(ROWS), torch.from_numpy(np.concatenate([[0], np.cumsum(LENGTHS)]))
    ids = torch.from_numpy(np.repeat(np.arange(ROWS), LENGTHS))
    return Inputs(torch.stack([numbers] * 3, dim=1), {"brand": numbers, "text": Ragged(indptr, ids, padded)})


@pytest.mark.parametrize("padded", [False, True])
def test_a_batch_holds_exactly_the_rows_that_were_asked_for(padded):
    rows = [5, 0, 5]
    batch = make(padded).batch(torch.tensor(rows))
    assert batch.columns["brand"].tolist() == batch.codes[:, 0].tolist() == rows
    ids, places = batch.columns["text"]
    if not padded:
        sequences = torch.tensor_split(ids, places[1:])
    else:
        assert places.tolist() == LENGTHS[rows].tolist()
        assert ids.shape[1] == max(LENGTHS[rows])
        assert not any(row[length:].any() for row, length in zip(ids, places, strict=True))
        sequences = [row[:length] for row, length in zip(ids, places, strict=True)]
    assert [sequence.tolist() for sequence in sequences] == [[row] * LENGTHS[row] for row in rows]


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("padded", [False, True])
def test_a_pass_sees_every_row_once_in_an_order_that_its_seed_gives(padded, seed):
    inputs = make(padded)
    batches, again, other = (Batches(inputs, 32, given) for given in (seed, seed, 4))
    seen = torch.cat([batch.columns["brand"] for batch in batches])
    assert seen.tolist() == batches.order.tolist() == again.order.tolist() != other.order.tolist()
    assert sorted(seen.tolist()) == list(range(ROWS))
    assert len(list(batches)) == len(batches) == 7
    if seed is None and not padded:
        assert seen.tolist() == list(range(ROWS))
    assert [len(batch.codes) for batch in Batches(inputs, 32, seed, drop_last=True)] == [32] * 6


def test_sequences_go_in_batches_of_about_the_same_length():
    padding = [
        sum(batch.columns["text"][0].numel() for batch in Batches(make(), 5, seed=0, by_length=by_length))
        for by_length in (True, False)
    ]
    assert padding[0] < LENGTHS.sum() * 1.1 < padding[1]


def test_encoders_know_what_training_rows_have_and_nothing_else():
    seen = Products.of(["b", "a", "b"], [""] * 3, np.array([[1, 5], [3, 5], [5, 5]], np.float16))
    brand, photo = Categories("brand").fit(seen), Vectors("image").fit(seen)
    new = seen.having(brand=np.array(["b", "unheard of", None], object))
    assert brand.numbers(new).tolist() == [2, 0, 0]
    assert brand.one_hot(new).toarray().tolist() == [[0, 1], [0, 0], [0, 0]]
    assert photo.mean.tolist() == [3, 5]
    assert photo.scale[1] == 1  # of what never varies
