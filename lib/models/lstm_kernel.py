"""One LSTM layer over packed sequences, written for one thread of a processor.

PyTorch's own, packed, takes two to four times as long there: autograd records a dozen small operations for each step.
Here the whole layer is one operation with a gradient of its own. It also spares work that this study does not need:

- a word's product with the input matrix is taken once for each distinct word of a batch, not for each place of it;
- of the outputs only their sum over time is kept;
- tanh is computed as a sigmoid, tanh(x) = 2 sigmoid(2 x) - 1, which is three times as fast and lets all four gates go
  through one call.

Values and gradients are those of `torch.nn.LSTM`, within rounding. Notation as there: gates i, f, g, o.

The paper names a sigmoid as the activation. So `slope` makes the function that squashes g and the cell another one:
slope sigmoid(slope x) - (slope - 1) is tanh with a slope of 2, and the sigmoid itself with a slope of 1.
"""

from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable


class Ends(NamedTuple):
    """Where an LSTM stands behind the last token of each row; all of shape (rows, hidden size).

    Attributes
    ----------
    total : tensor
        Sum of the outputs so far.
    hidden, cell : tensors
        The LSTM's state.
    """

    total: torch.Tensor
    hidden: torch.Tensor
    cell: torch.Tensor


def run_lstm(
    projected: torch.Tensor, places: torch.Tensor, batch_sizes: torch.Tensor, weight_hh: torch.Tensor, slope: int = 2
) -> Ends:
    """Read rows to their ends, the longest first.

    Parameters
    ----------
    projected : float32 tensor, shape (distinct tokens, 4 x hidden size)
        Input product and both biases of each token.
    places : int64 tensor, shape (tokens,)
        Which of them stands where, packed: first the first token of every row, then the second of those that have one.
    batch_sizes : int64 tensor, shape (steps,)
        Rows that have a token at each step.
    weight_hh : float32 tensor, shape (4 x hidden size, hidden size)
    slope : int
        2 for tanh, 1 for the sigmoid.
    """
    return Ends(*_PackedLSTM.apply(projected, places, batch_sizes.tolist(), weight_hh, slope))


class _PackedLSTM(torch.autograd.Function):
    """Keeps, of each step, the gates behind their sigmoids, the cell, its squashed value's sigmoid, and the output."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        places: torch.Tensor,
        batch_sizes: list[int],
        weight_hh: torch.Tensor,
        slope: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        hidden_size, below = weight_hh.shape[1], slope - 1
        scale = _gate_scale(weight_hh, slope)
        weight = weight_hh * scale[:, None]
        gates = (projected * scale).index_select(0, places)
        cells, squashed, outputs = (gates.new_empty(len(gates), hidden_size) for _ in range(3))
        rows = batch_sizes[0]
        total, hidden, cell = (gates.new_zeros(rows, hidden_size) for _ in range(3))
        for start, end in pairwise(accumulate(batch_sizes, initial=0)):
            n, step = end - start, gates[start:end]
            if start:
                step.addmm_(hidden[:n], weight.T)
            i, f, g, o = step.sigmoid_().chunk(4, dim=1)
            c, u, h = cells[start:end], squashed[start:end], outputs[start:end]
            torch.mul(f, cell[:n], out=c).addcmul_(i, g, value=slope).sub_(i, alpha=below)
            torch.mul(c, slope, out=u).sigmoid_()
            torch.mul(o, u, out=h).mul_(slope).sub_(o, alpha=below)
            total[:n] += h
            hidden[:n], cell[:n] = h, c
        ctx.batch_sizes = batch_sizes
        ctx.words, ctx.slope = len(projected), slope
        ctx.save_for_backward(places, weight, gates, cells, squashed, outputs)
        return total, hidden, cell

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_total: torch.Tensor, of_hidden: torch.Tensor, of_cell: torch.Tensor
    ) -> tuple[torch.Tensor, None, None, torch.Tensor, None]:
        places, weight, gates, cells, squashed, outputs = ctx.saved_tensors
        of_hidden, of_cell = of_hidden.clone(), of_cell.clone()
        slope, below = ctx.slope, ctx.slope - 1
        of_weight, of_gates = torch.zeros_like(weight), torch.empty_like(gates[: len(of_total)])
        steps = list(pairwise(accumulate(ctx.batch_sizes, initial=0)))
        for t in reversed(range(len(steps))):
            start, end = steps[t]
            n, before = end - start, steps[t - 1][0]
            d_h, d_c, d, step = of_hidden[:n], of_cell[:n], of_gates[:n], gates[start:end]
            i, f, g, o = step.chunk(4, dim=1)
            d_i, d_f, d_g, d_o = d.chunk(4, dim=1)
            u = squashed[start:end]
            d_h += of_total[:n]
            torch.mul(d_h, u, out=d_o).mul_(slope).sub_(d_h, alpha=below)
            d_c.add_(torch.ops.aten.sigmoid_backward(d_h.mul_(o), u), alpha=slope**2)
            torch.mul(d_c, g, out=d_i).mul_(slope).sub_(d_c, alpha=below)
            torch.mul(d_c, i, out=d_g).mul_(slope)
            if t:
                torch.mul(d_c, cells[before : before + n], out=d_f)
            else:
                d_f.zero_()
            d_c *= f
            torch.ops.aten.sigmoid_backward(d, step, grad_input=step)
            if t:
                torch.mm(step, weight, out=d_h)
                of_weight.addmm_(step.T, outputs[before : before + n])
        scale = _gate_scale(weight, slope)
        of_projected = torch.ops.aten.embedding_dense_backward(gates, places, ctx.words, -1, False)
        return of_projected.mul_(scale), None, None, of_weight.mul_(scale[:, None]), None


def _gate_scale(weight: torch.Tensor, slope: int) -> torch.Tensor:
    """Return what each gate's sum is multiplied with before its sigmoid: the slope, where the gate squashes."""
    one = weight.new_ones(weight.shape[1])
    return torch.cat([one, one, slope * one, one])
