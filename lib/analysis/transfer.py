"""The `transfer` stage: how well one catalogue's model tags another one, whose categories have other names.

`open_pair` reads two catalogues and the model of one of them. `by_inputs` asks that model about test products of both,
shown some inputs only; `by_labels` tags the target in every way there is, with more and more of its labels. Both return
samples (`lib.evaluation.bootstrap`), of which the tables are made. What the source's categories are called is in
`lib.analysis.mapping`.
"""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from lib import config, files
from lib.analysis.mapping import APART, Taxonomy, map_taxonomy, read_mapping
from lib.clean.splits import test_rows, training_rows
from lib.config import LEVELS, Input
from lib.evaluation.bootstrap import SEED, Interval, Sample, differences, group_weights, intervals, resample
from lib.evaluation.contrasts import BEST, verdict
from lib.exceptions import StudyError, nearest
from lib.models.base import Level
from lib.models.fusion import fit_path_weights, input_sets, path_numbers
from lib.models.inputs import Products, Vectors, load_catalogue_data
from lib.models.linear import Machines, WordsAndBrand
from lib.tagging.tagger import Tagger, backbone_of, trained_tagger
from lib.training.runs import has_photos

MODEL, RECIPE, FIRST_SEED = BEST, "tuned", 0
TEXT: config.Text = "plain"
SPLIT: config.Split = "grouped"
"""The model that is deployed: see `docs/architecture.md`."""

METRICS = (*LEVELS, "path")
PATH = METRICS.index("path")
OWN, AS_IT_IS, ALONE, BOTH, HOME = "own_paths", "source", "target", "source_and_target", "at_home"
"""Ways to tag: the source's model with the source's paths; with the target's; labels of the target alone; both; and the
source's model on test products of the source itself."""

FOLDS = 5
"""Folds of the labelled products, by near-duplicate group, in which the models are asked about products that they have
not seen, so that it can be chosen how much each counts."""

LINEAR = "linear"
"""The variant whose settings (n-grams, penalty) the models of words have."""

Ints = npt.NDArray[np.int64]
Shown = tuple[Input, ...]


class Way(NamedTuple):
    """One way to tag, and how many labels of the target it had."""

    way: str
    labels: int


class Shop(NamedTuple):
    """One catalogue.

    Attributes
    ----------
    name : str
        Of the catalogue.
    products : Products
        All that is known of them.
    readable : Products
        What the source's model can read of them.
    codes : int array, shape (rows, 3)
        The classes of each product, in the codes of the source; `APART` where its path has no counterpart there.
    tested : int array
        The test rows of the grouped split that have a counterpart.
    draws : uint8 array, shape (draws, groups)
        How often each bootstrap draw takes each near-duplicate group.
    """

    name: str
    table: pd.DataFrame
    products: Products
    readable: Products
    codes: Ints
    tested: Ints
    draws: npt.NDArray[np.uint8]

    @property
    def groups(self) -> Ints:
        """The near-duplicate group of each row."""
        return self.table["group"].to_numpy(np.int64)

    def measure(self, said: Sequence[npt.NDArray[np.integer]]) -> Sample:
        """Measure what is said of the tested rows, paths for each seed: levels 1 to 3, and the path."""
        right = [paths == self.codes[self.tested] for paths in said]
        columns = [np.column_stack([levels, levels.all(axis=1)]) for levels in right]
        return resample(range(len(said)), columns, [self.groups[self.tested]] * len(said), self.draws)


class Pair(NamedTuple):
    """A source and a target.

    Attributes
    ----------
    own : Tagger
        The source's model as it is: it answers with paths of the source.
    tagger : Tagger
        The same model, which answers with the target's paths instead. No label is needed for that, only the mapping.
    comparable : bool
        Both catalogues' photos went through the same backbone with the same weights. Where they did not, the source's
        model is shown no photo of the target.
    """

    asked: config.Transfer
    source: Shop
    target: Shop
    own: Tagger
    tagger: Tagger
    comparable: bool


def hindrance(name: str) -> str | None:
    """Say why the model of the source cannot tag a second shop of `params.yaml`; None if it can."""
    source = config.load_params().others[name].tagged_by
    if _trained(source):
        return None
    return f"`{MODEL}` was not trained on '{source}' as it would be deployed: there is no model to tag '{name}' with."


def open_pair(name: str) -> Pair:
    """Open a second shop of `params.yaml`, the target, and the catalogue whose model tags it, the source.

    Raises
    ------
    StudyError
        If there is no such shop, if anything that it needs has not been made, or if its mapping is wrong.
    """
    others = config.load_params().others
    if name not in others:
        raise StudyError(f"params.yaml: others has no '{name}'. Known: {list(others)}.{nearest(name, others)}")
    tagged_by, asked = others[name].tagged_by, config.load_catalogue(name).transfer
    if asked is None:
        raise StudyError(f"{name}.yaml: 'transfer' is missing: what its categories are called by '{tagged_by}'.")
    ours, theirs = _taxonomy(tagged_by), _taxonomy(name)
    mapped = map_taxonomy(read_mapping(config.root() / asked.mapping), theirs, ours)
    there = mapped[mapped[:, 0] != APART]
    if not len(there):
        raise StudyError(f"{asked.mapping}: no category path of '{name}' has a counterpart.")
    own = open_tagger(tagged_by)
    tagger = Tagger(own.about, {"levels": own.levels, "paths": there.tolist()}, own.model)
    comparable = backbone_of(tagged_by) == backbone_of(name)
    source = _open(tagged_by, np.array(ours["paths"], np.int64), SEED + 1)  # another catalogue, other draws
    target = _open(name, mapped, SEED)
    if not len(target.tested):
        raise StudyError(f"No test product of '{name}' has a category of '{tagged_by}'.")
    if not comparable:
        target = target._replace(readable=target.products.without(["image"]))
    return Pair(asked, source, target, own, tagger, comparable)


def open_tagger(catalogue: str) -> Tagger:
    """Open the model that the `train` stage saved for a catalogue: plain text, grouped split, all rows, the first seed.

    Raises
    ------
    StudyError
        If it is not there.
    """
    if not (found := _trained(catalogue)):
        raise StudyError(f"'{catalogue}' has no trained '{MODEL}': run `dvc repro train@{catalogue}`.")
    return trained_tagger(catalogue, MODEL, found[0].name, TEXT)


def _trained(catalogue: str) -> list[Path]:
    folder = config.build_dir(catalogue, "models", MODEL)
    return sorted(folder.glob(f"{RECIPE}-{TEXT}-{SPLIT}-*-{FIRST_SEED}"))


def _open(catalogue: str, paths: Ints, seed: int) -> Shop:
    """Read a catalogue; `paths` says what each of its own valid paths is in the codes of the source."""
    data = load_catalogue_data(catalogue)
    photos: list[Input] = ["image"] if has_photos(catalogue) else []
    products = data.as_products(["brand", "text", *photos], TEXT)
    codes = paths[path_numbers(data.codes, data.paths)]
    rows = test_rows(data.products, SPLIT)
    draws = group_weights(int(data.products["group"].max()) + 1, seed=seed)
    return Shop(catalogue, data.products, products, products, codes, rows[codes[rows, 0] != APART], draws)


def _taxonomy(catalogue: str) -> Taxonomy:
    found: Taxonomy = files.read_json(config.build_dir(catalogue, "clean", "taxonomy.json"))
    return found


def by_inputs(tagger: Tagger, shop: Shop) -> dict[Shown, Sample]:
    """Measure the source's model on a shop's test products, shown each set of inputs; the last one is all of them."""
    sets = input_sets(tagger.inputs)[1:]
    return {shown: shop.measure([_best(tagger, shop, set(tagger.inputs) - set(shown))]) for shown in sets}


def _best(tagger: Tagger, shop: Shop, hidden: Collection[Input] = ()) -> Ints:
    """Return the best path of each tested row."""
    return np.asarray(tagger.paths[tagger.scores(shop.readable.take(shop.tested), hidden).argmax(axis=1)])


def by_labels(pair: Pair) -> dict[Way, Sample]:
    """Measure every way to tag the target: without a label, and with each number of them, alone and together.

    The labels of a seed are the first training rows by its rank, so that fewer labels are the beginning of more. The
    last number is all training rows; all are all, whatever the seed.
    """
    target = pair.target
    source = source_levels(pair.tagger, target)
    there = len(training_rows(target.table, SPLIT, "all", 0)[0])
    found = {
        Way(OWN, 0): target.measure([_best(pair.own, target)]),
        Way(AS_IT_IS, 0): target.measure([_best(pair.tagger, target)]),
    }
    for labels in [*(n for n in pair.asked.labels if n < there), there]:
        drawn = range(pair.asked.seeds if labels < there else 1)
        learnt = [
            learn(target, training_rows(target.table, SPLIT, labels, seed)[0], source, pair.tagger.paths, seed)
            for seed in drawn
        ]
        found |= {Way(way, labels): target.measure([one[way] for one in learnt]) for way in (ALONE, BOTH)}
    return found


def source_levels(tagger: Tagger, shop: Shop) -> list[list[Level]]:
    """Return what the source's model says of the classes of each level, for all rows of the target.

    Returns
    -------
    For each way to ask it, an array (rows, classes) a level: with all that is known of a product, and without its
    photo. The target's labels decide which to listen to on which level: a photo of another shop may mislead.
    """
    hidden: list[Shown] = [()] if shop.readable.image is None else [(), ("image",)]
    return [tagger.model.predict(shop.readable, inputs).levels for inputs in hidden]


def learn(shop: Shop, labelled: Ints, source: Sequence[Sequence[Level]], paths: Ints, seed: int) -> dict[str, Ints]:
    """Learn from labelled products, and say what the tested ones are.

    Words and brand, and the photo, have a linear support vector machine a level each, fitted on the labelled products
    only. Path by path they are added up (`lib.models.fusion`), with and without what the source's model says; its own
    fit is left as it is, so that this takes seconds and needs none of the source's products.

    Parameters
    ----------
    labelled
        Row numbers of the target; those without a counterpart teach nothing.
    source
        What `source_levels` returns.
    paths
        The paths to choose from, in the codes of the source.

    Returns
    -------
    Paths of the tested rows, int arrays (rows, 3): `ALONE`, by these labels alone, and `BOTH`, together with the
    source's model.
    """
    labelled = labelled[shop.codes[labelled, 0] != APART]
    counts = [level.shape[1] for level in source[0]]
    fold = np.unique(shop.groups[labelled], return_inverse=True)[1] % FOLDS
    parts = [np.flatnonzero(fold == k) for k in np.unique(fold)]
    order = np.argsort(np.concatenate(parts))
    held, final = [], []
    for X in encode(shop.products, labelled):
        out_of_fold = [_fit(X, shop.codes, np.delete(labelled, part), labelled[part], counts, seed) for part in parts]
        held.append([np.concatenate(level)[order] for level in zip(*out_of_fold, strict=True)])
        final.append(_fit(X, shop.codes, labelled, shop.tested, counts, seed))
    then, now = ([[level[rows] for level in part] for part in source] for rows in (labelled, shop.tested))
    truth = path_numbers(shop.codes[labelled], paths)
    alone, both = fit_path_weights(held, paths, truth), fit_path_weights([*then, *held], paths, truth)
    return {ALONE: choose(final, alone, paths), BOTH: choose([*now, *final], both, paths)}


def choose(parts: Sequence[Sequence[Level]], weights: npt.NDArray[np.float64], paths: Ints) -> Ints:
    """Return each row's path with the highest weighted sum of what the parts say of its three classes.

    >>> level = np.log([[0.9, 0.1], [0.2, 0.8]])
    >>> choose([[level] * 3], np.ones((1, 3)), np.array([[0, 0, 0], [1, 1, 1]])).tolist()
    [[0, 0, 0], [1, 1, 1]]
    """
    scores = sum(
        weights[i, level] * part[level][:, paths[:, level]] for i, part in enumerate(parts) for level in range(3)
    )
    return np.asarray(paths[np.argmax(scores, axis=1)])


def encode(products: Products, labelled: Ints) -> list[sparse.csr_array]:
    """Encode products by what the labelled ones have: words and brand, and the photo, where there are any."""
    words = WordsAndBrand(_linear(), config.load_params().text.stop_words).fit(products.take(labelled))
    if products.image is None:
        return [words.encode(products)]
    photos = Vectors("image").fit(products.take(labelled)).standardize(products)
    there = np.asarray(products.image).any(axis=1, keepdims=True)
    photos = np.where(there, photos, np.float32(0))  # no photo: the average one
    return [words.encode(products), sparse.csr_array(photos / np.sqrt(photos.shape[1]))]


def _fit(X: sparse.csr_array, codes: Ints, train: Ints, asked: Ints, counts: list[int], seed: int) -> list[Level]:
    with warnings.catch_warnings():  # scikit-learn doubts that so many classes of so few rows are meant
        warnings.filterwarnings("ignore", "The number of unique classes")
        return Machines(_linear().C).fit(X[train], codes[train], counts, seed).log_probabilities(X[asked])


def _linear() -> config.LinearVariant:
    variant = config.get_variant(config.load_params(), LINEAR)
    if not isinstance(variant, config.LinearVariant):
        raise StudyError(f"params.yaml: the variant '{LINEAR}' should be of the model 'linear'.")
    return variant


# Tables


def scope_table(pair: Pair) -> pd.DataFrame:
    """Count the target's test products: all, those set apart, and those on a path that the source has never seen."""
    target, rows = pair.target, len(test_rows(pair.target.table, SPLIT))
    new_path = path_numbers(target.codes[target.tested], pair.own.paths) < 0
    known = set(pair.source.products.brand) - {""}
    new_brand = ~pd.Series(target.products.brand[target.tested]).isin(known)
    counts = {
        "test products": rows,
        "of a category without counterpart, set apart": rows - len(target.tested),
        "on a path that the source has no product of": int(new_path.sum()),
        "of a brand that the source has not, or of none": int(new_brand.sum()),
    }
    table = pd.DataFrame({"products": counts}).rename_axis("what").reset_index()
    return table.assign(share=table["products"] / rows)


def curve_table(ways: Mapping[Way, Sample]) -> pd.DataFrame:
    """List the accuracy of each way, by level and of paths: `way, labels, metric, mean, low, high, seeds`."""
    rows = [
        (*way, metric, *found, len(sample.seeds))
        for way, sample in ways.items()
        for metric, found in zip(METRICS, intervals(sample), strict=True)
    ]
    return pd.DataFrame(rows, columns=["way", "labels", "metric", *Interval._fields, "seeds"])


def contrast_table(ways: Mapping[Way, Sample]) -> pd.DataFrame:
    """Set ways against one another, paired by group and seed; only at home it is other products.

    Returns
    -------
    DataFrame
        Of path accuracy: `a, a_labels, b, b_labels, difference, low, high, verdict`.
    """
    zero, sizes = Way(AS_IT_IS, 0), sorted({way.labels for way in ways} - {0})
    pairs = [(zero, Way(HOME, 0)), (zero, Way(OWN, 0)), (zero, Way(ALONE, sizes[-1]))]
    for n in sizes:
        pairs += [(Way(ALONE, n), zero), (Way(BOTH, n), zero), (Way(BOTH, n), Way(ALONE, n))]
    found = [(*a, *b, differences(ways[a], ways[b])[PATH]) for a, b in pairs]
    rows = [(*names, *one, verdict(one.low, one.high)) for *names, one in found]
    return pd.DataFrame(rows, columns=["a", "a_labels", "b", "b_labels", "difference", "low", "high", "verdict"])


def input_table(home: Mapping[Shown, Sample], away: Mapping[Shown, Sample]) -> pd.DataFrame:
    """Compare path accuracy at home and on the target, for every set of inputs that the model is shown."""
    rows = []
    for shown, there in away.items():
        three = intervals(home[shown]), intervals(there), differences(there, home[shown])
        rows.append(("+".join(shown), *(value for measured in three for value in measured[PATH])))
    return pd.DataFrame(rows, columns=["shown", *_triples("home", "away", "difference")])


def added_table(home: Mapping[Shown, Sample], away: Mapping[Shown, Sample]) -> pd.DataFrame:
    """Say what each input adds to path accuracy beside all the others, at home and on the target, paired."""
    every, rows = max(home, key=len), []
    for name in every if len(every) > 1 else ():
        others = tuple(other for other in every if other != name)
        rows.append((name, *(x for one in (home, away) for x in differences(one[every], one[others])[PATH])))
    return pd.DataFrame(rows, columns=["input", *_triples("home", "away")])


def _triples(*names: str) -> list[str]:
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
