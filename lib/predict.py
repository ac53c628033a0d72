"""What a trained network says of rows: each level's log-probabilities, and the paths of a chain."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from lib.chains import Chain
from lib.config import Decoding
from lib.data import Batch, Batches, Inputs
from lib.decode import decode, marginals
from lib.evaluate import Decoded
from lib.models import MultitaskMLP
from lib.recurrent import MultitaskLSTM
from lib.sequences import LengthBatches, make_batches

Network = MultitaskMLP | MultitaskLSTM | Chain
ROWS_AT_ONCE = 4096  # rows that go through a network at once when nothing is learnt
CHAINED_ROWS_AT_ONCE = 512  # each with a table of every parent's classes; or with outputs of every token


def predictor_batches(network: Network, inputs: Inputs, rows: np.ndarray) -> Batches | LengthBatches:
    """Return the batches in which a network reads rows that it does not learn from."""
    return make_batches(inputs, rows, ROWS_AT_ONCE if isinstance(network, MultitaskMLP) else CHAINED_ROWS_AT_ONCE)


def log_probabilities(network: MultitaskMLP | MultitaskLSTM, inputs: Inputs, rows: np.ndarray) -> list[np.ndarray]:
    """Return each level's float16 log-probabilities for some rows, shapes (rows, classes)."""

    def read(batch: Batch) -> list[torch.Tensor]:
        return [nn.functional.log_softmax(logits, dim=1).half() for logits in network(batch)]

    return _read_all(network, inputs, rows, read)


def chain_predictions(
    network: Chain, inputs: Inputs, rows: np.ndarray, decodings: Sequence[Decoding], width: int
) -> tuple[list[np.ndarray], dict[Decoding, Decoded]]:
    """Return each level's float16 log-probabilities whatever its parent, and the paths by each decoding.

    Parameters
    ----------
    width : int
        Paths that a beam keeps.
    """

    def read(batch: Batch) -> list[torch.Tensor]:
        conditionals = network.conditionals(batch)
        found = [level.half() for level in marginals(conditionals)]
        for decoding in decodings:
            paths = decode(conditionals, decoding, width)
            found += [paths.codes.short(), paths.scores.half()]
        return found

    arrays = _read_all(network, inputs, rows, read)
    levels, decoded = arrays[: -2 * len(decodings)], arrays[-2 * len(decodings) :]
    pairs = zip(decodings, decoded[::2], decoded[1::2], strict=True)
    return levels, {decoding: Decoded(codes, scores) for decoding, codes, scores in pairs}


def _read_all(
    network: Network, inputs: Inputs, rows: np.ndarray, read: Callable[[Batch], list[torch.Tensor]]
) -> list[np.ndarray]:
    """Read rows in batches, and put what was read in the order of `rows`."""
    network.eval()
    batches = predictor_batches(network, inputs, rows)
    with torch.inference_mode():
        parts = [[tensor.cpu() for tensor in read(batch)] for batch in batches]
        order = torch.argsort(batches.order)
        return [torch.cat(part)[order].numpy() for part in zip(*parts, strict=True)]
