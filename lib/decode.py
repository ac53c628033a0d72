"""From the conditional probabilities of a chain of levels to category paths, and to the probabilities of each level.

The chain is one of first order: a level depends on the product and on the class of the level before. It is given as log
conditional probabilities: shape (rows, classes) for the first level, and (rows, parents, classes) for each other one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from lib.config import Decoding


class Paths(NamedTuple):
    """Decoded paths of each row, best first.

    Attributes
    ----------
    codes : int64 tensor, shape (rows, paths, levels)
    scores : float tensor, shape (rows, paths, levels)
        Log-probability of each class given the one before it in its path; their sum is the path's.
    """

    codes: torch.Tensor
    scores: torch.Tensor


def marginals(conditionals: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the log-probabilities of each level whatever its parent, shapes (rows, classes).

    >>> first = torch.tensor([[0.6, 0.4]]).log()
    >>> second = torch.tensor([[[0.5, 0.5], [0.0, 1.0]]]).log()
    >>> [round(p, 4) for p in marginals([first, second])[1][0].exp().tolist()]
    [0.3, 0.7]
    """
    level, *rest = conditionals
    levels = [level]
    for table in rest:
        level = torch.logsumexp(level[:, :, None] + table, dim=1)
        levels.append(level)
    return levels


def beam(conditionals: Sequence[torch.Tensor], width: int, whole_path: bool = True) -> Paths:
    """Search level by level, and keep the best paths at each.

    Ties go to the path with the better parent, then to the lower code.

    Parameters
    ----------
    width : int
        Paths kept; fewer where there are not as many.
    whole_path : bool
        Whether a path ranks by its probability, the product of its classes' conditional ones (paper, section 3.4.1), or
        by its last class's conditional probability alone, as in the original code.
    """
    first, *rest = conditionals
    scores, codes = _best(first, width)
    paths = Paths(codes[:, :, None], scores[:, :, None])
    for table in rest:
        paths = _extend(paths, table, width, whole_path)
    return paths


def decode(conditionals: Sequence[torch.Tensor], decoding: Decoding, width: int) -> Paths:
    """Decode in one of the ways that a chain's variant may name; *hard* takes the best class of each level in turn."""
    if decoding == "hard":
        return beam(conditionals, 1)
    return beam(conditionals, width, whole_path=decoding == "soft")


def _extend(paths: Paths, table: torch.Tensor, width: int, whole_path: bool) -> Paths:
    """Put each class of a level behind each path, and keep the best."""
    classes = table.shape[2]
    rows = torch.arange(len(table), device=table.device)[:, None]
    scores = table[rows, paths.codes[:, :, -1]]
    ranks = scores + paths.scores.sum(dim=2, keepdim=True) if whole_path else scores
    chosen = _best(ranks.flatten(1), width)[1]
    parents = chosen // classes
    codes = torch.cat([paths.codes[rows, parents], (chosen % classes)[:, :, None]], dim=2)
    return Paths(
        codes, torch.cat([paths.scores[rows, parents], scores.flatten(1).gather(1, chosen)[:, :, None]], dim=2)
    )


def _best(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the highest values of each row and where they are; of equal ones the first."""
    if count == 1:
        index = values.argmax(dim=1, keepdim=True)
        return values.gather(1, index), index
    ordered, indices = torch.sort(values, dim=1, descending=True, stable=True)
    return ordered[:, :count], indices[:, :count]
