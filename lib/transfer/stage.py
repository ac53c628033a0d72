"""The `transfer` stage: how well one catalogue's model tags another, as tables in `reports/SOURCE/transfer/PAIR/`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.bootstrap import SEED, Interval, Sample, differences, group_weights, intervals, resample
from lib.config import LEVELS, Input
from lib.contrasts import verdict
from lib.errors import StudyError
from lib.fusion import input_sets
from lib.splits import test_rows, training_rows
from lib.transfer.models import learn, source_levels
from lib.transfer.shops import SPLIT, Pair, Shop, in_scope, open_pair

Bools = npt.NDArray[np.bool_]
METRICS = (*LEVELS, "path")
OWN, AS_IT_IS, ALONE, BOTH, HOME = "own_paths", "source", "target", "source_and_target", "at_home"
"""Ways to tag: the source's model with the source's paths; with the target's; labels of the target alone; both; and the
source's model on test products of the source itself."""


class Way(NamedTuple):
    """One way to tag, and how many labels of the target it had."""

    way: str
    labels: int


class Trial(NamedTuple):
    """What is measured of a pair.

    Attributes
    ----------
    rows
        The target's test rows that have a counterpart.
    samples
        What each way gets right of them: levels 1 to 3, and the path.
    inputs
        The same of the source's model, for each set of inputs that it is shown.
    home
        The same of test rows of the source.
    """

    pair: Pair
    rows: npt.NDArray[np.int64]
    samples: dict[Way, Sample]
    inputs: dict[tuple[Input, ...], Sample]
    home: dict[tuple[Input, ...], Sample]

    @property
    def all_labels(self) -> int:
        """How many training rows the target has."""
        return max(way.labels for way in self.samples)


def try_pair(name: str) -> Trial:
    """Measure every way to tag the target of a pair of `params.yaml`.

    Test rows are those of the target's grouped split. The labels of a seed are the first training rows by its rank, so
    that fewer labels are the beginning of more.

    Raises
    ------
    StudyError
        If something that the pair needs is not there, or if more labels are asked for than the target has.
    """
    pair = open_pair(name)
    tested = in_scope(pair.target, test_rows(pair.target.data.products, SPLIT))
    if not len(tested):
        raise StudyError(f"transfer.{name}: no test product of '{pair.target.name}' has a category of the source.")
    at_home = test_rows(pair.source.data.products, SPLIT)
    weights = group_weights(int(pair.target.groups.max()) + 1)
    home_weights = group_weights(int(pair.source.groups.max()) + 1, seed=SEED + 1)  # another catalogue, other draws
    said = _correct(
        pair.target, tested, [pair.own.paths[pair.own.scores(pair.target.products.take(tested)).argmax(axis=1)]]
    )
    samples = {Way(OWN, 0): _sample(pair.target, tested, [0], said, weights)}
    inputs, home = {}, {}
    for shown in input_sets(pair.own.inputs)[1:]:
        inputs[shown] = _shown(pair, pair.target, tested, shown, weights)
        home[shown] = _shown(pair, pair.source, at_home, shown, home_weights)
    samples[Way(AS_IT_IS, 0)] = inputs[tuple(pair.own.inputs)]
    for way, seeds, found in _labelled(pair, tested):
        samples[way] = _sample(pair.target, tested, seeds, _correct(pair.target, tested, found), weights)
    return Trial(pair, tested, samples, inputs, home)


def _shown(
    pair: Pair, shop: Shop, rows: npt.NDArray[np.int64], shown: Sequence[Input], weights: npt.NDArray[np.uint8]
) -> Sample:
    """Ask the source's model, shown only some inputs; each catalogue's products get paths of that catalogue."""
    tagger = pair.own if shop is pair.source else pair.tagger
    scores = tagger.scores(shop.products.take(rows), set(tagger.inputs) - set(shown))
    return _sample(shop, rows, [0], _correct(shop, rows, [tagger.paths[scores.argmax(axis=1)]]), weights)


def _labelled(
    pair: Pair, tested: npt.NDArray[np.int64]
) -> Iterator[tuple[Way, list[int], list[npt.NDArray[np.int64]]]]:
    """Yield what is said of the tested rows with so many labels, for each seed, by labels alone and by both."""
    target, seeds = pair.target, list(range(pair.settings.seeds))
    source = source_levels(pair.tagger, target)
    there = len(training_rows(target.data.products, SPLIT, "all", 0)[0])
    for labels in [*(n for n in pair.settings.labels if n < there), there]:
        found, drawn = [], seeds if labels < there else seeds[:1]  # all are all, whatever the seed
        for seed in drawn:
            labelled, _ = training_rows(target.data.products, SPLIT, labels, seed)
            found.append(learn(target, labelled, tested, source, pair.tagger.paths, seed))
        yield Way(ALONE, labels), drawn, [one.alone for one in found]
        yield Way(BOTH, labels), drawn, [one.both for one in found]


def _correct(shop: Shop, rows: npt.NDArray[np.int64], found: Sequence[npt.NDArray[np.integer]]) -> list[Bools]:
    """Say for each seed which levels, and which paths, are right: bool (rows, 4)."""
    right = [paths == shop.codes[rows] for paths in found]
    return [np.column_stack([levels, levels.all(axis=1)]) for levels in right]


def _sample(
    shop: Shop, rows: npt.NDArray[np.int64], seeds: list[int], correct: list[Bools], weights: npt.NDArray[np.uint8]
) -> Sample:
    return resample(seeds, correct, [shop.groups[rows]] * len(seeds), weights)


def tables(trial: Trial) -> dict[str, pd.DataFrame]:
    """Make the tables of a pair.

    Returns
    -------
    `scope`: what is counted. `curve`: `way, labels, metric, mean, low, high, seeds`. `contrasts`: path accuracy,
    `a, a_labels, b, b_labels, difference, low, high, verdict`. `inputs`: path accuracy by what is shown, at home
    and on the target, and the loss. `added`: what each input adds to the others.
    """
    ways = trial.samples | {Way(HOME, 0): trial.home[tuple(trial.pair.own.inputs)]}
    curve = [
        (*way, metric, *found, len(sample.seeds))
        for way, sample in ways.items()
        for metric, found in zip(METRICS, intervals(sample), strict=True)
    ]
    return {
        "scope": scope(trial),
        "curve": pd.DataFrame(curve, columns=["way", "labels", "metric", *Interval._fields, "seeds"]),
        "contrasts": _contrasts(ways, trial),
        "inputs": _inputs(trial),
        "added": _added(trial),
    }


def scope(trial: Trial) -> pd.DataFrame:
    """Count the target's test products: all, those set apart, and those on a path that the source has never seen."""
    target, source = trial.pair.target, trial.pair.source
    rows = test_rows(target.data.products, SPLIT)
    seen = {tuple(path) for path in source.data.paths.tolist()}
    new_path = np.array([tuple(path) not in seen for path in target.codes[trial.rows].tolist()])
    known = set(source.products.brand) - {""}
    new_brand = np.array([target.products.brand[row] not in known for row in trial.rows.tolist()])
    counts = {
        "test products": len(rows),
        "of a category without counterpart, set apart": len(rows) - len(trial.rows),
        "on a path that the source has no product of": int(new_path.sum()),
        "of a brand that the source has not, or of none": int(new_brand.sum()),
    }
    table = pd.DataFrame({"products": counts}).rename_axis("what").reset_index()
    return table.assign(share=table["products"] / len(rows))


def _contrasts(ways: dict[Way, Sample], trial: Trial) -> pd.DataFrame:
    """Set ways against one another, paired by group and seed; only at home it is other products."""
    zero, sizes = Way(AS_IT_IS, 0), sorted({way.labels for way in ways} - {0})
    pairs = [(zero, Way(HOME, 0)), (zero, Way(OWN, 0)), (zero, Way(ALONE, trial.all_labels))]
    for n in sizes:
        pairs += [(Way(ALONE, n), zero), (Way(BOTH, n), zero), (Way(BOTH, n), Way(ALONE, n))]
    path = METRICS.index("path")
    rows = []
    for a, b in pairs:
        found = differences(ways[a], ways[b])[path]
        rows.append((*a, *b, *found, verdict(found.low, found.high)))
    return pd.DataFrame(rows, columns=["a", "a_labels", "b", "b_labels", "difference", "low", "high", "verdict"])


def _inputs(trial: Trial) -> pd.DataFrame:
    """Compare path accuracy at home and on the target, for every set of inputs that the model is shown."""
    path, rows = METRICS.index("path"), []
    for shown, sample in trial.inputs.items():
        home, away = (intervals(one)[path] for one in (trial.home[shown], sample))
        rows.append(("+".join(shown), *home, *away, *differences(sample, trial.home[shown])[path]))
    names = [f"{what}{end}" for what in ("home", "away", "difference") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["shown", *names])


def _added(trial: Trial) -> pd.DataFrame:
    """Say what each input adds to path accuracy beside all the others, at home and on the target, paired."""
    every, path, rows = tuple(trial.pair.own.inputs), METRICS.index("path"), []
    for name in every if len(every) > 1 else ():
        others = tuple(other for other in every if other != name)
        home, away = (differences(one[every], one[others])[path] for one in (trial.home, trial.inputs))
        rows.append((name, *home, *away))
    names = [f"{what}{end}" for what in ("home", "away") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["input", *names])


def folder(name: str) -> str:
    """Return where a pair's tables are, below `reports/SOURCE/`."""
    return f"transfer/{name}"
