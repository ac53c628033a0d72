r"""How many labels are needed, how often a copied label is right, and which labels are doubtful.

**How many.** A law of error by training size is fitted to the learning curve. Two laws, because a few sizes cannot tell
them apart and they differ where it matters, beyond the largest:

.. math:: \text{error}(n) = a n^{-b} \qquad\text{and}\qquad \text{error}(n) = a n^{-b} + c, \quad a, c \ge 0

The first (`power`) goes on to no error at all, so that it asks for as few labels as one may hope; the second (`floor`)
may end at an error `c` that no number of labels removes. Power laws of learning curves: Cortes et al. (1994, *Learning
curves: asymptotic values and rate of convergence*, NIPS 6); Viering & Loog (2023, *The shape of learning curves: a
review*, IEEE TPAMI 45:7799). Given `b`, both are linear in `a` and `c`. So `b` is searched on a grid, and the rest is
weighted least squares (variable projection; Golub & Pereyra, 1973): it cannot fail to converge, and every draw of the
curve is fitted at once.

**Doubtful.** What a model says of rows that it was not trained on is held against their labels. Confident learning
itself (Northcutt, Jiang & Chuang, 2021, *Confident Learning: Estimating Uncertainty in Dataset Labels*, JAIR 70:1373)
is called in notebook 07; here its outcome is counted, and checked where the truth is known.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

from lib.analysis.errors import Bools, Chosen, Trained, main_rows, read_held_out, seeds_of, wilson
from lib.clean.truth import MAX_LABELS, WRONG_LABEL, known_truth, label_suspicion
from lib.config import LEVELS, build_dir, report_dir
from lib.evaluation.bootstrap import Floats, Interval, drawn_sums, group_weights, interval, intervals, seed_means
from lib.evaluation.contrasts import main_recipes
from lib.evaluation.samples import SAMPLED, load_truth, resample_all
from lib.exceptions import StudyError
from lib.files import existing, read_json, read_table
from lib.training.metrics import usual_decodings
from lib.training.runs import study_of

FOLDER = "labels"
LAWS = {"power": 2, "floor": 3}
"""The laws, and the number of their parameters: so many sizes are needed."""

EXPONENTS = np.geomspace(0.01, 3, 241)
REFINED = 41  # exponents between two neighbours of the best one
LEAST_DEVIATION = 1e-4  # of an error: no size counts for infinitely much

LEAST = 1e-6  # no probability counts as less: predictions are stored with 16 bits
REVIEWED = 0.02
"""Share of the held-out products whose labels are to be looked at first."""
REVIEW_SHARES = (0.01, REVIEWED, 0.05)
BASELINE = "linear baseline"
ODDS = "log odds of the path"
UNKNOWN = -1

Ints = npt.NDArray[np.integer]


# The learning curve and its laws


class Curve(NamedTuple):
    """A learning curve.

    Attributes
    ----------
    sizes
        int (sizes,), ascending.
    accuracy
        float64 (1 + draws, sizes): as measured in row 0, then on every bootstrap draw. A row's values belong together.
    """

    sizes: npt.NDArray[np.int64]
    accuracy: Floats


class Laws(NamedTuple):
    """Fitted laws, one a row of what was fitted: each a float64 array (fits,)."""

    scale: Floats
    exponent: Floats
    floor: Floats

    def errors(self, size: float) -> Floats:
        """Return the error that each law gives for a training size."""
        error: Floats = self.scale * size**-self.exponent + self.floor
        return error

    def labels_needed(self, accuracy: float) -> Floats:
        """Return the training size at which each law reaches an accuracy; infinite where it never does.

        >>> Laws(np.array([2.0, 2.0]), np.array([0.5, 0.5]), np.array([0.0, 0.2])).labels_needed(0.9).round(6).tolist()
        [400.0, inf]
        """
        above = (1 - accuracy) - self.floor
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            size = np.exp(-np.log(above / self.scale) / self.exponent)
        labels: Floats = np.where(above > 0, np.maximum(size, 1), np.inf)
        return labels


def open_curve(catalogue: str) -> tuple[Curve, pd.DataFrame]:
    """Read the learning curve that `params.yaml` names: path accuracy on test products, decoded as usual.

    A variant that was not trained so is stood in for by one of the main experiment: of those with most training sizes
    the one that `params.yaml` lists last.

    Returns
    -------
    curve
        Resampled by near-duplicate group and by seed, all sizes on the same draws.
    table
        `variant, recipe, text, split, train_size, mean, low, high, seeds`.

    Raises
    ------
    StudyError
        If there is no such run.
    """
    study, results = study_of(catalogue), read_table(report_dir(catalogue, "results.csv"))
    settings, variant = study.labels, study.variants.get(study.labels.variant)
    text = settings.text if variant is None or "text" in variant.inputs else "masked"
    recipes = main_recipes(zip(results["variant"], results["recipe"], strict=True), study.main.recipes[0])
    wanted = {"variant": settings.variant, "text": text, "split": settings.split}
    wanted["recipe"] = recipes.get(settings.variant, "")
    runs = results[(results[list(wanted)] == list(wanted.values())).all(axis=1)]
    if not len(runs):
        main = main_rows(results)
        main = main[main["split"] == min(main["split"], key=lambda split: split != settings.split, default="")]
        sizes = main.groupby("variant")["train_size"].nunique()
        stand_ins = [name for name in study.variants if sizes.get(name) == sizes.max()]
        runs = main[main["variant"] == (stand_ins or [""])[-1]]
    if not len(runs):
        raise StudyError(
            f"labels: neither '{settings.variant}' on {text} text and the {settings.split} split nor a run of the main "
            f"experiment is in results.csv of '{catalogue}'. Add one to runs in params.yaml."
        )
    samples = {m: s for m, s in resample_all(catalogue, runs).items() if m.measured_on == "test"}
    decoding = usual_decodings((measure.variant, measure.decoding) for measure in samples)[runs["variant"].iloc[0]]
    ordered = sorted((m.train_size, m, s) for m, s in samples.items() if m.decoding == decoding)
    path = SAMPLED.index("path")
    rows = [(m.variant, m.recipe, m.text, m.split, size, *intervals(s)[path], len(s.seeds)) for size, m, s in ordered]
    columns = ["variant", "recipe", "text", "split", "train_size", "mean", "low", "high", "seeds"]
    accuracy = np.stack([means[:, path] for means in seed_means([sample for *_, sample in ordered])], axis=1)
    return Curve(np.array([size for size, *_ in ordered]), accuracy), pd.DataFrame(rows, columns=columns)


def fit_law(curve: Curve, law: str) -> Laws:
    """Fit a law to the measured curve and to every draw of it, a size weighing by the inverse variance of its draws.

    Raises
    ------
    StudyError
        If there is no such law, or it has more parameters than the curve has sizes.
    """
    if law not in LAWS:
        raise StudyError(f"There is no law '{law}' of learning curves. Known: {list(LAWS)}.")
    if len(curve.sizes) < LAWS[law]:
        raise StudyError(f"The law '{law}' needs {LAWS[law]} training sizes. Got {curve.sizes.tolist()}.")
    errors = 1 - curve.accuracy
    deviations = np.maximum(errors[1:].std(axis=0), LEAST_DEVIATION) if len(errors) > 1 else np.ones(len(curve.sizes))
    weights, sizes = deviations**-2, curve.sizes / curve.sizes[0]
    coarse, _, _ = _best_law(errors, sizes, weights, EXPONENTS[None], law == "floor")
    step = EXPONENTS[1] / EXPONENTS[0]
    finer = coarse[:, None] * np.geomspace(1 / step, step, REFINED)
    exponent, scale, floor = _best_law(errors, sizes, weights, finer, law == "floor")
    return Laws(scale * float(curve.sizes[0]) ** exponent, exponent, floor)


def _best_law(
    errors: Floats, sizes: Floats, weights: Floats, exponents: Floats, with_floor: bool
) -> tuple[Floats, Floats, Floats]:
    """Return the exponent of least squares among some, with its scale and floor: three arrays (fits,)."""
    x = sizes ** -exponents[..., None]  # (fits or 1, exponents, sizes)
    y, share = errors[:, None], weights / weights.sum()
    scale = (share * x * y).sum(axis=-1) / (share * x * x).sum(axis=-1)
    floor = np.zeros_like(scale)
    if with_floor:
        x_mean, y_mean = (share * x).sum(axis=-1), (share * y).sum(axis=-1)
        spread = (share * (x - x_mean[..., None]) ** 2).sum(axis=-1)
        slope = np.maximum((share * (x - x_mean[..., None]) * y).sum(axis=-1) / spread, 0)
        above = y_mean - slope * x_mean
        scale, floor = np.where(above > 0, slope, scale), np.maximum(above, 0)
    residuals = y - scale[..., None] * x - floor[..., None]
    best = (share * residuals**2).sum(axis=-1).argmin(axis=1)
    rows = np.arange(len(errors))
    return np.broadcast_to(exponents, scale.shape)[rows, best], scale[rows, best], floor[rows, best]


def curve_tables(curve: Curve, targets: Sequence[float]) -> dict[str, pd.DataFrame]:
    """Fit each law that the sizes allow, check it, and ask it for labels.

    Parameters
    ----------
    targets
        Accuracies to be reached.

    Returns
    -------
    laws
        `law, parameter, value, low, high`, and `misfit`, the law's largest deviation from the curve as a share.
    check
        The accuracy at the largest size, predicted from the smaller ones by each law that these allow: `law,
        train_size, sizes` (those fitted)`, predicted, low, high, measured, measured_low, measured_high, error,
        error_low, error_high` (predicted minus measured, paired)`, inside` (the measured value lies in the interval).
    needed
        `law, target, labels, low, high` (infinite where the law never gets there)`, reached` (share of the draws that
        do)`, times_largest` (labels by the largest size that was measured: above 1, the law is extrapolated).
    """
    laws, needed, check = [], [], []
    for law in possible_laws(curve):
        fitted = fit_law(curve, law)
        said = np.array([fitted.errors(size)[0] for size in curve.sizes])
        misfit = float(np.abs(said - (1 - curve.accuracy[0])).max())
        for name, values in fitted._asdict().items():
            if name != "floor" or law == "floor":
                laws.append((law, name, *limits(values), misfit))
        for target in targets:
            labels = fitted.labels_needed(target)
            reached = float(np.isfinite(labels[1:]).mean()) if len(labels) > 1 else math.nan
            needed.append((law, target, *limits(labels), reached, labels[0] / curve.sizes[-1]))
    smaller = Curve(curve.sizes[:-1], curve.accuracy[:, :-1])
    for law in possible_laws(smaller):
        predicted, measured = 1 - fit_law(smaller, law).errors(float(curve.sizes[-1])), curve.accuracy[:, -1]
        expected = limits(predicted)
        inside = expected.low <= measured[0] <= expected.high
        check.append((law, int(curve.sizes[-1]), len(smaller.sizes), *expected, *limits(measured),
                      *limits(predicted - measured), inside))  # fmt: skip
    of_check = "law train_size sizes predicted low high measured measured_low measured_high error error_low error_high"
    return {
        "laws": pd.DataFrame(laws, columns=["law", "parameter", "value", "low", "high", "misfit"]),
        "check": pd.DataFrame(check, columns=[*of_check.split(), "inside"]),
        "needed": pd.DataFrame(needed, columns=["law", "target", "labels", "low", "high", "reached", "times_largest"]),
    }


def band(curve: Curve, law: str, sizes: Floats) -> pd.DataFrame:
    """Return a law's accuracy at some sizes: `train_size, mean, low, high`."""
    fitted = fit_law(curve, law)
    rows = [(size, *limits(1 - fitted.errors(float(size)))) for size in sizes]
    return pd.DataFrame(rows, columns=["train_size", "mean", "low", "high"])


def possible_laws(curve: Curve) -> list[str]:
    """List the laws that have no more parameters than the curve has sizes."""
    return [law for law, parameters in LAWS.items() if len(curve.sizes) >= parameters]


def limits(values: Floats) -> Interval:
    """Return the estimate in `values[0]` with the interval of the draws after it, some of which may be infinite."""
    return interval(values, method="inverted_cdf")


# Labels that are copied within a group of near-duplicates


def grouping_table(rows: npt.NDArray[np.intp], groups: Ints) -> pd.DataFrame:
    """Count the labels that cover the products to choose from: one a product, or one a group.

    Returns
    -------
    DataFrame
        One row: `products, groups, saved` (share of the labels)`, in_groups` (products that have a copy)`, largest`.
    """
    sizes = np.unique(groups[rows], return_counts=True)[1]
    row = {"products": len(rows), "groups": len(sizes), "saved": 1 - len(sizes) / len(rows)}
    return pd.DataFrame([row | {"in_groups": sizes[sizes > 1].sum(), "largest": sizes.max()}])


def copies_table(catalogue: str, rows: npt.NDArray[np.intp], codes: Ints, groups: Ints) -> pd.DataFrame:
    """Say how often a label that is copied within its group is right, each of a group being equally likely asked for.

    Parameters
    ----------
    rows
        The products to choose from.
    codes, groups
        Labels (rows, 3) and near-duplicate groups of all products.

    Returns
    -------
    DataFrame
        `level` (a level, or path)`, against` (the product's own label, or the truth where it is known)`, copies`
        (products that get a copy)`, share, low, high`, and, against the truth, the same of products' own labels: `own,
        own_low, own_high`. Intervals are bootstrapped over groups. Empty where no product has a copy.
    """
    references: dict[str, Ints] = {"own label": codes}
    if (truth := true_codes(catalogue)) is not None:
        references["truth"] = truth
    table = []
    for against, reference in references.items():
        known = rows[(reference[rows] != UNKNOWN).any(axis=1)]
        labels, right = (_with_path(of[known]) for of in (codes, reference))
        for name, said, so in zip((*LEVELS, "path"), labels, right, strict=True):
            counts = copied_right(said, so, groups[known])
            copies = counts[:, -1].sum()
            if not copies:
                continue
            totals = drawn_sums(counts, np.arange(len(counts)), group_weights(len(counts)))
            with np.errstate(invalid="ignore", divide="ignore"):
                share, own = (totals[:, :2] / totals[:, 2:]).T
            of_own = interval(own) if against == "truth" else (np.nan,) * 3
            table.append((name, against, round(copies), *interval(share), *of_own))
    columns = ["level", "against", "copies", "share", "low", "high", "own", "own_low", "own_high"]
    return pd.DataFrame(table, columns=columns)


def copied_right(labels: Ints, reference: Ints, groups: Ints) -> Floats:
    """Count, group by group, the products that a copied label is right for.

    One product of a group of `m` is asked for, each as likely as the others, and `m - 1` get its label.

    Parameters
    ----------
    labels, reference
        What a label says, and what is so: (rows,) non-negative numbers of classes.
    groups
        (rows,)

    Returns
    -------
    float64 (groups, 3): expected copies that are right; of the same products, own labels that are; copies.

    Examples
    --------
    >>> copied_right(np.array([4, 4, 7, 7]), np.array([4, 4, 7, 4]), np.array([0, 0, 0, 1])).tolist()
    [[0.6666666666666666, 2.0, 2.0], [0.0, 0.0, 0.0]]
    """
    members = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(members).astype(float)
    table = pd.DataFrame({"group": members, "class": labels}).value_counts().rename("labels").to_frame()
    table = table.join(pd.DataFrame({"group": members, "class": reference}).value_counts().rename("right"), how="inner")
    agreeing = (table["labels"] * table["right"]).groupby("group").sum()
    pairs = agreeing.reindex(range(len(sizes)), fill_value=0).to_numpy()
    own = np.bincount(members, weights=labels == reference, minlength=len(sizes))
    return np.column_stack([(pairs - own) / sizes, own * (sizes - 1) / sizes, sizes - 1])


def true_codes(catalogue: str) -> Ints | None:
    """Return the true class of each product and level, -1 where nobody knows it, or None if nobody does for any."""
    true = known_truth(catalogue)
    if true is None:
        return None
    names = read_json(build_dir(catalogue, "clean", "taxonomy.json"))["levels"]
    products = pd.read_parquet(existing(build_dir(catalogue, "clean", "products.parquet")), columns=["product_id"])
    both = products.merge(true[["product_id", *LEVELS]], on="product_id", how="left")
    codes = [
        both[level].map({name: code for code, name in enumerate(of_level)}).fillna(UNKNOWN).to_numpy(np.int16)
        for level, of_level in zip(LEVELS, names, strict=True)
    ]
    return np.stack(codes, axis=1)


def _with_path(codes: Ints) -> list[Ints]:
    """Return the columns of codes, and the rows as whole numbers of their own."""
    wide = codes.astype(np.int64) + 1  # an unknown class is 0
    return [*wide.T, (wide * np.array([10**8, 10**4, 1])).sum(axis=1)]


# Labels that are doubtful


class Labelled(NamedTuple):
    """Held-out rows with their labels, and what a model says of them.

    Attributes
    ----------
    model
        Whose probabilities they are.
    rows
        (rows,): row numbers of `clean/products.parquet`, test rows and then validation rows.
    codes
        int16 (rows, 3): the labels.
    probabilities
        One float64 array a level, (rows, classes), averaged over the seeds; rows sum to 1.
    """

    model: Trained
    rows: npt.NDArray[np.int32]
    codes: npt.NDArray[np.int16]
    probabilities: list[Floats]


def open_labelled(chosen: Chosen) -> Labelled:
    """Read what is said of the test and validation rows of the preferred split.

    No seed has been fitted on any of them. Validation rows had a say in when training stopped, but not more. Where the
    same variant was trained on plain text, that model is asked: a description that names another category is evidence.
    """
    results = read_table(report_dir(chosen.catalogue, "results.csv"))
    own = chosen.models[chosen.split]
    plain = own._replace(text="plain")
    model = plain if seeds_of(plain, results) else own
    seeds = seeds_of(model, results)
    test, validation = (read_held_out(chosen.catalogue, model, seeds, part) for part in ("test", "validation"))
    rows = np.concatenate([test.rows, validation.rows])
    pairs = zip(test.mean_probabilities(), validation.mean_probabilities(), strict=True)
    codes = load_truth(chosen.catalogue).codes[rows]
    return Labelled(model, rows, codes, [np.concatenate(pair) for pair in pairs])


def log_odds(probabilities: Sequence[Floats], codes: npt.NDArray[np.int16]) -> Floats:
    """Measure how much likelier a model holds its own answer than a row's labels, all three levels together.

    A level that is hard to tell has answers of about the same probability, and adds little.

    Parameters
    ----------
    probabilities
        One array a level, (rows, classes), of a model that was not trained on these rows. Rows sum to 1.
    codes
        (rows, 3): the labels that the rows have.

    Returns
    -------
    float64 array, shape (rows,)
        Natural logarithm, at least 0: the sum over the levels of log(largest probability / that of the label).

    Examples
    --------
    >>> log_odds([np.array([[0.8, 0.2], [0.2, 0.8]])], np.array([[1], [1]])).round(2).tolist()
    [1.39, 0.0]
    """
    rows = np.arange(len(codes))
    odds = [np.log(p.max(axis=1) / np.maximum(p[rows, codes[:, i]], LEAST)) for i, p in enumerate(probabilities)]
    total: Floats = np.sum(odds, axis=0)
    return total


def most(scores: Floats, share: float) -> Bools:
    """Mark the greatest share of some scores, rounded up; of equal ones the first.

    >>> most(np.array([0.1, 0.9, 0.5, 0.7]), 0.5).tolist()
    [False, True, False, True]
    """
    marked = np.zeros(len(scores), bool)
    marked[np.argsort(-scores, kind="stable")[: int(np.ceil(share * len(scores)))]] = True
    return marked


def suspicions(first: Bools, suspected: Bools, labelled: Labelled, names: list[list[str]]) -> pd.DataFrame:
    """Count doubtful labels by category, most first.

    Parameters
    ----------
    first
        bool (rows, 3): labels to look at first.
    suspected
        bool (rows, 3): labels that confident learning calls wrong.

    Returns
    -------
    DataFrame
        `level`, `category` (the label), `products`, of them `first` and `suspected`, and `instead`: the class that the
        model most often holds to be right where one is to be looked at first.
    """
    parts = []
    for level, answers in enumerate(labelled.probabilities):
        named = np.array(names[level], object)
        rows = pd.DataFrame({
            "category": named[labelled.codes[:, level]],
            "first": first[:, level],
            "suspected": suspected[:, level],
            "instead": named[answers.argmax(axis=1)],
        })  # fmt: skip
        counts = {"products": ("first", "size"), "first": ("first", "sum"), "suspected": ("suspected", "sum")}
        part = rows.groupby("category").agg(**counts)
        instead = rows[rows["first"]].groupby("category")["instead"].agg(lambda said: said.mode().iloc[0])
        part = part.assign(instead=instead.reindex(part.index).fillna("")).reset_index()
        parts.append(part[(part["first"] > 0) | (part["suspected"] > 0)].assign(level=LEVELS[level]))
    table = pd.concat(parts)
    order = ["level", "first", "suspected", "category"]
    table = table.sort_values(order, ascending=[True, False, False, True], ignore_index=True)
    return table[["level", "category", "products", "first", "suspected", "instead"]]


def check_suspicions(chosen: Chosen, labelled: Labelled, suspected: Bools) -> dict[str, pd.DataFrame] | None:
    """Compare suspicions with what is true of a catalogue, or return None where nobody knows.

    Parameters
    ----------
    suspected
        bool (rows, 3): labels that confident learning calls wrong.

    Returns
    -------
    label_check
        For each way to choose labels to look at (`chosen`), how many `products` that are, `wrong` (of them), and
        `precision` and `recall` with the limits of Wilson's interval; one row is of all held-out products, and its
        precision is that of chance.
    label_ranking
        What `average_precisions` returns; without wrong labels empty.
    """
    true = known_truth(chosen.catalogue)
    if true is None:
        return None
    products = pd.read_parquet(existing(build_dir(chosen.catalogue, "clean", "products.parquet")))
    damage = products["product_id"].iloc[labelled.rows].map(dict(zip(true["product_id"], true["damage"], strict=True)))
    known = damage.notna().to_numpy()
    there: Bools = np.array([WRONG_LABEL in kinds for kinds in damage[known]], bool)
    odds = log_odds(labelled.probabilities, labelled.codes)[known]
    reviews: dict[str, Bools] = {"all held-out products": np.ones(len(there), bool)}
    called = np.any(suspected[known], axis=1)
    reviews["called wrong by confident learning"] = np.asarray(called, bool)
    reviews |= {f"first {100 * share:.0f}% by {ODDS}": most(odds, share) for share in REVIEW_SHARES}
    rows = []
    for name, review in reviews.items():
        looked_at, wrong = int(review.sum()), int((review & there).sum())
        shares = [wilson(wrong / of if of else math.nan, max(of, 1)) for of in (looked_at, int(there.sum()))]
        rows.append((name, looked_at, wrong, *shares[0], *shares[1]))
    ends = [f"{share}{end}" for share in ("precision", "recall") for end in ("", "_low", "_high")]
    check = pd.DataFrame(rows, columns=["chosen", "products", "wrong", *ends])
    if not there.any():
        return {"label_check": check, "label_ranking": pd.DataFrame({"score": []})}
    others = products.drop(index=products.index[labelled.rows])
    others = others.nsmallest(max(MAX_LABELS - len(labelled.rows), 0), "sampling_key")
    both = pd.concat([products.iloc[labelled.rows], others])
    by_level = zip(labelled.codes.T.astype(int), labelled.probabilities, strict=True)
    quality = np.min([get_label_quality_scores(codes, array) for codes, array in by_level], axis=0)
    scores = {BASELINE: label_suspicion(both)[: len(labelled.rows)][known], ODDS: odds}
    scores["cleanlab's label quality"] = 1 - quality[known]
    groups, weights = load_truth(chosen.catalogue).groups[labelled.rows[known]], chosen.answers[chosen.split].weights
    ranking = average_precisions(there, scores, groups, weights, BASELINE)
    return {"label_check": check, "label_ranking": ranking}


def average_precisions(
    there: Bools, scores: Mapping[str, Floats], groups: Ints, weights: npt.NDArray[np.uint8], base: str
) -> pd.DataFrame:
    """Measure how well scores put what is there before what is not, and by how much each beats a baseline.

    Parameters
    ----------
    there
        bool (rows,); true somewhere.
    scores
        Name -> float (rows,), greater where something is more likely to be there.
    groups, weights
        The group of each row, and what `bootstrap.group_weights` returns: intervals are over groups.
    base
        Name of the baseline among the scores.

    Returns
    -------
    DataFrame
        `score`, `average_precision, low, high`, and `gain, gain_low, gain_high` over the baseline, paired.
    """
    taken = [np.ones(len(there)), *(draw[groups].astype(np.float64) for draw in weights)]
    taken = [rows for rows in taken if rows[there].any()]
    precision = {
        name: np.array([average_precision_score(there, score, sample_weight=rows) for rows in taken])
        for name, score in scores.items()
    }
    rows = [(name, *interval(found), *interval(found - precision[base])) for name, found in precision.items()]
    columns = ["score", "average_precision", "low", "high", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns)
