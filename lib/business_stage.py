"""The `business` stage: what the deployed model may promise on calibration products, and keeps on test products.

Three parts of the held-out products have three jobs. *Tuning* products (a third of the validation groups) chose the
fusion's weights and fit the calibration. *Calibration* products, the rest of them, were seen by nothing that is
fitted: on them promises are made. *Test* products are only measured.
"""

from collections.abc import Collection
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib import config
from lib.artifacts import existing, read_json
from lib.business_measure import Groups
from lib.config import LEVELS, build_dir
from lib.errors import StudyError
from lib.fusion import path_numbers
from lib.runs import Run
from lib.splits import test_rows, training_rows, tuning_rows
from lib.tagging.calibrate import fit_scales, is_right
from lib.tagging.guarantee import representatives, smallest_listed, thresholds
from lib.tagging.parts import NewProducts
from lib.tagging.promises import Candidates, Promises, Threshold, tagged_depth
from lib.tagging.tagger import Tagger, Tags, write_folder
from lib.tagging.trained import trained_tagger

FOLDER = "business"
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Part(NamedTuple):
    """Some rows of the catalogue.

    Attributes
    ----------
    codes : array, shape (rows, 3)
    groups : array, shape (rows,)
    one_each : array
        Places among these rows of one row of each group.
    """

    products: NewProducts
    codes: npt.NDArray[np.int16]
    groups: npt.NDArray[np.int32]
    one_each: Ints


class Study(NamedTuple):
    """A deployed model, and the products that it is judged on; `settings` is the section `business` of params.yaml."""

    catalogue: str
    settings: config.BusinessParams
    tagger: Tagger
    tuning: Part
    calibration: Part
    test: Part
    trained_on: int


class Judged(NamedTuple):
    """What the tagger says of a part.

    Attributes
    ----------
    right : bool array, shape (rows, 3)
        Whether the best path down to each depth is the true one.
    truth : float64 array, shape (rows,)
        Probability of the true path.
    """

    tags: Tags
    right: Bools
    truth: Floats

    @property
    def confidence(self) -> Floats:
        """Calibrated if the tagger has promises, shape (rows, 3)."""
        return self.tags.confidence


def open_study(catalogue: str) -> Study:
    """Read the deployed model as the `train` stage left it, and the held-out products.

    Raises
    ------
    StudyError
        If the model, or an earlier stage's output, is missing.
    """
    settings, folder = config.load_params().business, build_dir(catalogue)
    columns = [f"{level}_code" for level in LEVELS]
    text = {"plain": "text", "masked": "masked_text"}.get(settings.text)
    if text is None:
        raise StudyError("business.text: a tagger reads plain or masked text. Got titled instead.")
    split_column = f"{settings.split}_split"
    wanted = ["brand", text, "group", "sampling_key", split_column, *columns]
    products = pd.read_parquet(existing(folder / "clean" / "products.parquet"), columns=wanted)
    sizes = config.load_catalogue(catalogue).train_sizes
    numbers = [size for size in sizes if isinstance(size, int)]
    size: int | Literal["all"] = "all" if len(numbers) < len(sizes) else max(numbers)
    run = Run(settings.recipe, settings.text, settings.split, size, 0)
    train, held = training_rows(products, settings.split, run.size, run.seed)
    tagger = trained_tagger(catalogue, settings.variant, run.key(len(train)), settings.text)
    features = np.load(existing(folder / "image" / "features.npy"), mmap_mode="r")
    variant = tagger.about.variant
    tuned = tuning_rows(products, held, variant.tuning_share)

    def part(rows: Ints) -> Part:
        table, keys = products.iloc[rows], products["sampling_key"].to_numpy(np.uint64)[rows]
        image = np.asarray(features[rows]) if "image" in variant.inputs else None
        new = NewProducts(table["brand"].tolist(), table[text].tolist(), image)
        groups = table["group"].to_numpy(np.int32)
        return Part(new, table[columns].to_numpy(np.int16), groups, representatives(groups, keys))

    test = test_rows(products, settings.split)
    tuning, calibration, tested = (part(np.sort(rows)) for rows in (held[tuned], held[~tuned], test))
    if not len(calibration.groups) or not len(tested.groups):
        raise StudyError(f"'{catalogue}' has no validation or no test products left to make and to check promises on.")
    return Study(catalogue, settings, tagger, tuning, calibration, tested, len(train))


def reweighted(tagger: Tagger, weights: dict[str, float]) -> Tagger:
    """Return the same parts with one weight each, on every level and for every set of inputs, and not calibrated."""
    same = {part: [weight] * len(LEVELS) for part, weight in weights.items()}
    about = tagger.about.model_copy(update={"weights": dict.fromkeys(tagger.about.weights, same)})
    return Tagger(about, {"levels": tagger.levels, "paths": tagger.paths}, tagger.parts)


def judge(tagger: Tagger, part: Part, hidden: Collection[str] = ()) -> Judged:
    """Tag a part's products, with some inputs hidden if asked, and compare with the truth."""
    tags = tagger.tag(part.products, hidden)
    truth = path_numbers(part.codes, tagger.paths)
    return Judged(tags, is_right(tags, tagger.paths, part.codes), tags.probabilities[np.arange(len(truth)), truth])


def calibrate(study: Study) -> None:
    """Fit the calibration on tuning products: the tagger's confidences are calibrated then, and nothing is promised."""
    part = study.tuning
    scales = fit_scales(study.tagger, part.products, part.codes, part.groups)
    settings = study.settings
    study.tagger.promises = Promises(
        certainty=settings.certainty, coverage=settings.coverage, scales=scales, thresholds=[], candidates=[]
    )


def promise(study: Study, calibration: Judged, tuning: Judged) -> Promises:
    """Make the promises on calibration products, one product a group, and give them to the tagger."""
    settings, one, tuned = study.settings, study.calibration.one_each, study.tuning.one_each
    found = {p: lowest(study, calibration.confidence[one], calibration.right[one], tuning.confidence[tuned], p)
             for p in settings.precisions}  # fmt: skip
    candidates = []
    for precision, values in found.items():
        to_people = tagged_depth(calibration.confidence[one], values) < len(LEVELS)
        truth = calibration.truth[one][to_people]
        candidates += [
            Candidates(precision=precision, share=share, probability=smallest_listed(truth, share))
            for share in settings.candidate_coverage
        ]
    assert study.tagger.promises is not None, "calibrate comes first"
    study.tagger.promises = Promises(
        certainty=settings.certainty,
        coverage=settings.coverage,
        scales=study.tagger.promises.scales,
        thresholds=[
            Threshold(precision=precision, depth=depth, confidence=value)
            for precision, values in found.items()
            for depth, value in enumerate(values, 1)
        ],
        candidates=candidates,
    )
    return study.tagger.promises


def lowest(study: Study, confidence: Floats, right: Bools, tuning: Floats, precision: float) -> list[float | None]:
    """Return the thresholds of one promise (`lib.tagging.guarantee.thresholds`) with the study's settings."""
    return thresholds(confidence, right, tuning, precision, study.settings.certainty, study.settings.steps)


def depths(study: Study, judged: Judged, precision: float) -> Ints:
    """Return to which depth each row is tagged without a person, 0 to 3, at a promised precision."""
    assert study.tagger.promises is not None, "promises come first"
    return judged.tags.depth(study.tagger.promises.thresholds_for(precision))


def right_so_far(judged: Judged, depth: Ints) -> Bools:
    """Say of each row whether it is right down to the depth to which it is tagged; to level 1 if to none."""
    right: Bools = judged.right[np.arange(len(depth)), np.maximum(depth, 1) - 1]
    return right


def groups_of(part: Part) -> Groups:
    """Return the groups of a part's rows, to draw from."""
    return Groups.of(part.groups)


def write_tagger(study: Study, card: str) -> None:
    """Write the deployable folder, `build/NAME/tagger/`, with its promises and its card."""
    taxonomy = read_json(build_dir(study.catalogue, "clean", "taxonomy.json"))
    model = build_dir(study.catalogue, "models", study.settings.variant)
    folder = build_dir(study.catalogue, "tagger")
    write_folder(folder, study.tagger.about, model, taxonomy, study.tagger.promises, card)
