import numpy as np
import pandas as pd
import torch

from lib.data import Batches, encode_brands, fit_brands, make_inputs
from lib.text import Sequences, bag_of_words


def test_a_brand_that_training_never_saw_is_the_unknown_one():
    encoder = fit_brands(pd.Series(["nike", "puma", "nike"]))
    assert encode_brands(encoder, pd.Series(["puma", "reebok", "nike", ""])).tolist() == [2, 0, 1, 0]


def make(rows: int = 10):
    rng = np.random.default_rng(0)
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 4, rows))])
    bag = bag_of_words(Sequences(indptr, rng.integers(0, 6, indptr[-1])), np.arange(6))
    image = rng.normal(size=(rows, 3)).astype(np.float16)
    return bag, image, make_inputs(rng.integers(0, 2, (rows, 3)), np.arange(rows), bag, image)


def test_a_batch_holds_exactly_the_rows_that_were_asked_for():
    bag, image, inputs = make()
    rows = np.array([7, 0, 3, 3])
    batch = inputs.batch(torch.from_numpy(rows))
    ends = [*batch.offsets.tolist()[1:], len(batch.words)]
    words = [sorted(batch.words[a:b].tolist()) for a, b in zip(batch.offsets.tolist(), ends, strict=True)]
    assert words == [bag[[row]].indices.tolist() for row in rows]
    assert batch.brand.tolist() == rows.tolist()
    assert (batch.image.numpy() == image[rows].astype(np.float32)).all()


def test_a_pass_sees_every_row_once_in_an_order_that_its_seed_gives():
    _, _, inputs = make()
    orders = [torch.cat([b.brand for b in Batches(inputs, np.arange(10), 4, seed)]).tolist() for seed in (1, 1, 2)]
    assert sorted(orders[0]) == list(range(10))
    assert orders[0] == orders[1] != orders[2]


def test_without_a_seed_rows_keep_their_order():
    _, _, inputs = make()
    batches = Batches(inputs, np.array([5, 2, 9]), 2)
    assert len(batches) == 2
    assert [b.brand.tolist() for b in batches] == [[5, 2], [9]]


def test_an_input_that_a_variant_does_not_read_is_not_there():
    batch = make_inputs(np.zeros((2, 3))).batch(torch.tensor([0]))
    assert batch.brand is None
    assert batch.words is None
    assert batch.image is None
