"""Optimizers that update the rows of a batch: what they do to sparse gradients, beside PyTorch's on dense ones."""

import pytest
import torch

from lib.training.loop import RowwiseAdadelta, RowwiseAdamW

ROWS, SIZE, UPDATES = 12, 4, 60
SETTINGS = {
    RowwiseAdadelta: {"lr": 0.5, "rho": 0.95, "eps": 1e-6},
    RowwiseAdamW: {"lr": 0.01, "weight_decay": 0.1},
}
GENERATOR = torch.Generator().manual_seed(0)
SOME = [torch.randperm(ROWS, generator=GENERATOR)[: 1 + number % 3] for number in range(UPDATES)]
EVERY = [torch.arange(ROWS)] * UPDATES
every_kind = pytest.mark.parametrize("kind", SETTINGS)


def train(kind, sparse, batches=SOME, start=0, table=None, state=None, **changes):
    """Pull looked-up rows towards targets that differ for each update; return the table and the optimizer."""
    torch.manual_seed(1)
    initial, targets = torch.randn(ROWS, SIZE), torch.randn(UPDATES, SIZE)
    table = torch.nn.Parameter(initial if table is None else table)
    optimizer = kind([table], **SETTINGS.get(kind, {}) | changes)
    if state is not None:
        optimizer.load_state_dict(state)
    for rows, target in list(zip(batches, targets, strict=False))[start:]:
        optimizer.zero_grad()
        (torch.nn.functional.embedding(rows, table, sparse=sparse) - target).square().sum().backward()
        optimizer.step()
    return table.detach(), optimizer


def test_adadelta_is_the_same_whether_gradients_are_sparse_or_not():
    """Also for rows that no batch had for a while, whose averages shrink all the same."""
    torch.testing.assert_close(train(RowwiseAdadelta, True)[0], train(RowwiseAdadelta, False)[0])


def test_adamw_is_one_without_a_first_moment_and_moves_rare_rows_about_as_far_as_one_with_it():
    ours, _ = train(RowwiseAdamW, True, EVERY)
    torch.testing.assert_close(ours, train(RowwiseAdamW, False, EVERY, betas=(0.0, 0.999))[0])
    start, _ = train(RowwiseAdamW, True, [])
    rare, dense = (train(RowwiseAdamW, sparse, weight_decay=0.0)[0] - start for sparse in (True, False))
    assert torch.nn.functional.cosine_similarity(rare.flatten(), dense.flatten(), dim=0) > 0.9
    assert float(rare.norm() / dense.norm()) == pytest.approx(1, abs=0.25)


@every_kind
def test_dense_gradients_are_updated_as_pytorch_does_bit_by_bit(kind):
    plain = {RowwiseAdadelta: torch.optim.Adadelta, RowwiseAdamW: torch.optim.AdamW}[kind]
    assert torch.equal(train(kind, False)[0], train(plain, False, **SETTINGS[kind])[0])


@every_kind
def test_a_row_without_a_gradient_stays(kind):
    start, after = train(kind, True, [])[0], train(kind, True, SOME[:2])[0]
    unseen = sorted(set(range(ROWS)) - set(torch.cat(SOME[:2]).tolist()))
    assert torch.equal(after[unseen], start[unseen])
    assert not torch.equal(after, start)


@every_kind
def test_a_loaded_state_goes_on_to_the_same_bits(kind):
    table, optimizer = train(kind, True, SOME[:30])
    resumed, _ = train(kind, True, start=30, table=table.clone(), state=optimizer.state_dict())
    assert torch.equal(resumed, train(kind, True)[0])
