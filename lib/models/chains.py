"""Chained models: each level is predicted from the product and from the class of the level before (paper, section 3.4).

In training the true class of the level before is given. When predicting, a chain says for every class that it may be
what the next level's probabilities are, and what stands here makes paths of that, and probabilities of each level. A
chain is given as log conditional probabilities: shape (rows, classes) for the first level, and (rows, parents, classes)
for each other one. Where level 3 sees both levels before it, its shape is (rows, classes of level 1, classes of level
2, classes).
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from lib import config
from lib.models.base import Network, Settings
from lib.models.inputs import Batch


class Chain(Network):
    """What the chained networks share. `forward` returns a level's logits given the true class of the level before."""

    rows_at_once = 512  # each with a table of every parent's classes

    def __init__(self, settings: Settings, encoders: Mapping[str, Any]) -> None:
        super().__init__(settings, encoders)
        assert isinstance(settings.variant, config.ChainVariant)
        self.decodings, self.beam_width = settings.variant.decodings, settings.variant.beam_width

    @abstractmethod
    def conditional_logits(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given each class that it may see, of the shapes that stand above."""

    def conditionals(self, batch: Batch) -> list[torch.Tensor]:
        """Return the log conditional probabilities."""
        return [nn.functional.log_softmax(logits, dim=-1) for logits in self.conditional_logits(batch)]

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return each row's path, decoded hard, shape (rows, 3)."""
        return beam(self.conditionals(batch), 1).codes[:, 0]

    def read(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return each level's log-probabilities whatever its parent, by its number, and the paths of each decoding."""
        conditionals = self.conditionals(batch)
        said = {str(level): table for level, table in enumerate(marginals(conditionals))}
        for decoding in self.decodings:  # *hard* takes the best class of each level in turn
            paths = beam(
                conditionals, 1 if decoding == "hard" else self.beam_width, whole_path=decoding != "soft_child"
            )
            said |= {decoding: paths.codes.short(), f"{decoding}_scores": paths.scores.half()}
        return said


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
    joint, *rest = conditionals
    levels = [joint]
    for table in rest:  # all that a level sees, together with itself
        joint = (joint if joint.ndim == table.ndim - 1 else levels[-1])[..., None] + table
        levels.append(torch.logsumexp(joint, dim=tuple(range(1, joint.ndim - 1))))
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
    chosen = _best(first, width)
    paths = Paths(chosen[:, :, None], first.gather(1, chosen)[:, :, None])
    rows = torch.arange(len(first), device=first.device)[:, None]
    for table in rest:  # put each class of the level behind each path, and keep the best
        seen = paths.codes[:, :, 2 - table.ndim :]  # the last class, or both
        scores = table[rows, *seen.unbind(2)]
        ranks = scores + paths.scores.sum(dim=2, keepdim=True) if whole_path else scores
        chosen = _best(ranks.flatten(1), width)
        parents, classes = chosen // table.shape[-1], chosen % table.shape[-1]
        paths = Paths(
            torch.cat([paths.codes[rows, parents], classes[:, :, None]], dim=2),
            torch.cat([paths.scores[rows, parents], scores.flatten(1).gather(1, chosen)[:, :, None]], dim=2),
        )
    return paths


def _best(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return where the highest values of each row are; of equal ones the first."""
    if count == 1:
        return values.argmax(dim=1, keepdim=True)
    return torch.sort(values, dim=1, descending=True, stable=True).indices[:, :count]


def initialise(modules: Iterable[nn.Module]) -> None:
    """Draw the dense layers' weights as Glorot and Bengio (2010) do."""
    for module in modules:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
