"""Optimizers that touch only the embeddings of the words in a batch.

A batch holds some hundreds or thousands of 50,000 words. To update the embeddings of all can cost more than the LSTM.
A parameter whose gradient is sparse is updated here a row at a time, only in the updates whose batch has that row. All
other parameters are left to PyTorch's optimizer, bit by bit.
"""

from collections.abc import Callable
from typing import Any

import torch


class _Rowwise(torch.optim.Optimizer):
    """Updates the parameters with a sparse gradient a row at a time, and leaves the others to the next class."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one update."""
        loss = _evaluated(closure)
        for group, parameter in _with_sparse_gradient(self.param_groups):
            self._step_rows(group, parameter, self.state[parameter])
        super().step()
        return loss

    def _step_rows(self, group: dict[str, Any], parameter: torch.Tensor, state: dict[str, Any]) -> None:
        raise NotImplementedError


class RowwiseAdadelta(_Rowwise, torch.optim.Adadelta):
    """Adadelta (Zeiler, 2012), the same as PyTorch's whether gradients are sparse or not.

    A row without a gradient does not move, and its two averages shrink by `rho` in every update. That is made up for
    when the row is next in a batch, so nothing is left out.
    """

    @torch.no_grad()
    def _step_rows(self, group: dict[str, Any], parameter: torch.Tensor, state: dict[str, Any]) -> None:
        rows, gradient = _take_gradient(parameter)
        skipped = _skipped_updates(parameter, state, rows)
        rho, eps = group["rho"], group["eps"]
        squares, deltas = (_average(parameter, state, name) for name in ("squares", "deltas"))
        square = squares[rows] * rho ** (skipped + 1) + (1 - rho) * gradient.square()
        delta = deltas[rows] * rho**skipped
        change = (delta + eps).sqrt() / (square + eps).sqrt() * gradient
        squares[rows] = square
        deltas[rows] = delta * rho + (1 - rho) * change.square()
        parameter[rows] -= group["lr"] * change


class RowwiseAdamW(_Rowwise, torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter, 2019); for sparse gradients without its first moment.

    AdamW spreads a gradient over some ten updates, of which most would fall on rows that are not in the batch. Here a
    row takes the whole of the step at once. Its second moment shrinks as if the row had been in every batch. Weight
    decay comes with the row's updates only.
    """

    @torch.no_grad()
    def _step_rows(self, group: dict[str, Any], parameter: torch.Tensor, state: dict[str, Any]) -> None:
        rows, gradient = _take_gradient(parameter)
        skipped = _skipped_updates(parameter, state, rows)
        beta, eps = group["betas"][1], group["eps"]
        squares = _average(parameter, state, "squares")
        square = squares[rows] * beta ** (skipped + 1) + (1 - beta) * gradient.square()
        squares[rows] = square
        unbiased = square / (1 - beta ** float(state["step"]))
        kept = parameter[rows] * (1 - group["lr"] * group["weight_decay"])
        parameter[rows] = kept - group["lr"] * gradient / (unbiased.sqrt() + eps)


def _evaluated(closure: Callable[[], float] | None) -> float | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _with_sparse_gradient(groups: list[dict[str, Any]]) -> list[tuple[dict[str, Any], torch.Tensor]]:
    return [(group, p) for group in groups for p in group["params"] if p.grad is not None and p.grad.is_sparse]


def _take_gradient(parameter: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows that have a gradient, and it; the parameter is left without one."""
    assert parameter.grad is not None
    gradient = parameter.grad.coalesce()
    parameter.grad = None
    return gradient.indices()[0], gradient.values()


def _skipped_updates(parameter: torch.Tensor, state: dict[str, Any], rows: torch.Tensor) -> torch.Tensor:
    """Count this update, and return how many each row was not in since its last one, shape (rows, 1)."""
    if not state:
        state["step"] = torch.tensor(0.0)  # PyTorch's own name and kind, which it asks for when a state is loaded
        state["seen"] = parameter.new_zeros(len(parameter), 1)
    state["step"] += 1
    skipped: torch.Tensor = state["step"].to(rows.device) - 1 - state["seen"][rows]
    state["seen"][rows] = state["step"].to(rows.device)
    return skipped


def _average(parameter: torch.Tensor, state: dict[str, Any], name: str) -> torch.Tensor:
    if name not in state:
        state[name] = torch.zeros_like(parameter)
    average: torch.Tensor = state[name]
    return average
