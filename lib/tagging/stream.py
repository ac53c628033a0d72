"""From a table of new products to a table of tags, some rows at a time: a million rows need the memory of a few."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lib import config
from lib.clean.photos import open_photos
from lib.config.base import Reject
from lib.exceptions import StudyError
from lib.features.vectors import PART
from lib.tagging import photo_vectors
from lib.tagging.columns import needed_fields, usual_columns
from lib.tagging.incoming import Chunk, Wanted, layout_of, read_chunks
from lib.tagging.promises import Promises
from lib.tagging.tagged import AUTO, REJECT_COLUMNS, REVIEW, Tagged, decide, open_table, reject_row
from lib.tagging.tagger import Backbone, Tagger

ROWS = 1024  # that are tagged at once
NO_INPUT = "no input"


@dataclass(frozen=True)
class Job:
    """What to tag, and with what.

    Attributes
    ----------
    table
        New products: CSV, TSV, JSON lines or Parquet.
    output
        CSV or Parquet.
    model
        A tagger's folder.
    precision
        What is tagged automatically is to be right so often.
    shown
        Share of products whose candidates should hold the right path; None: as the tagger's study chose.
    columns
        Field -> column, where the catalogue's file does not say it right.
    without
        Fields that the products lack.
    images
        A folder or a zip archive of photos.
    features
        Instead: their vectors, a row for each row of the table.
    weights
        The photos' network; None: the file that `params.yaml` names.
    rejects
        What could not be used; None: beside the output.
    encoding, delimiter
        Of CSV.
    """

    table: Path
    output: Path
    model: Path
    precision: float
    shown: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    without: Collection[str] = ()
    images: Path | None = None
    features: Path | None = None
    weights: Path | None = None
    rejects: Path | None = None
    encoding: str | None = None
    delimiter: str | None = None

    @property
    def rejects_path(self) -> Path:
        """Where rejects go."""
        return self.rejects or self.output.with_name(f"{self.output.stem}.rejects.csv")


@dataclass
class Summary:
    """What came of it.

    Attributes
    ----------
    decisions : Counter
        Products by decision.
    inputs : Counter
        Products by what they have.
    rejects : Counter
        Rejects by reason. A reason that begins with `photo: ` costs a product's photo and not the product.
    seconds : float
        From the first row to the last, loading the tagger aside.
    """

    decisions: Counter[str] = field(default_factory=Counter)
    inputs: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def products(self) -> int:
        """Products that were tagged or are for review."""
        return self.decisions.total()

    def text(self, job: Job) -> str:
        """Say it in a few lines."""
        rate = self.products / max(self.seconds, 1e-9)
        lines = [f"{self.products:,} products in {self.seconds:.1f} s ({rate:,.0f} products/s): {job.output}"]
        for decision in (AUTO, "auto to level 2", "auto to level 1", REVIEW):
            count = self.decisions[decision]
            lines.append(f"  {decision:15} {count:>9,}  {count / max(self.products, 1):6.1%}")
        lines.append("They had: " + ", ".join(f"{name} {count:,}" for name, count in self.inputs.most_common()) + ".")
        if job.images is None and job.features is None:
            lines.append("No photo was looked at: --images names a folder or an archive of them.")
        found = ", ".join(f"{reason} {count:,}" for reason, count in self.rejects.most_common()) or "none"
        lines.append(f"Rejects: {found} ({job.rejects_path}).")
        return "\n".join(lines)


def tag_table(job: Job) -> Summary:
    """Tag a table's products; the result and the rejects are written whole or not at all.

    Raises
    ------
    StudyError
        If anything that was asked for is not there or does not fit; nothing is written then.
    """
    tagger = Tagger.load(job.model)
    promises = promises_of(tagger, job.model)
    thresholds, smallest = promises.thresholds_for(job.precision), promises.smallest_listed(job.precision, job.shown)
    _check(job, tagger)
    summary, begun = Summary(), time.monotonic()
    chunks = _with_images(job, tagger)
    with open_table(job.output, Tagged._fields) as write, open_table(job.rejects_path, REJECT_COLUMNS) as reject:
        for chunk in chunks:
            rows, rejects = [], list(chunk.rejects)
            if chunk.ids:
                tags = tagger.tag(chunk.products)
                for row in decide(tagger, tags, chunk.ids, thresholds, smallest):
                    if row.inputs:
                        rows.append(row)
                    else:
                        rejects.append(Reject(row.product_id, NO_INPUT, _nothing(tagger)))
            write(rows)
            reject([reject_row(one) for one in rejects])
            summary.decisions.update(row.decision for row in rows)
            summary.inputs.update(row.inputs for row in rows)
            summary.rejects.update(one.reason for one in rejects)
    summary.seconds = time.monotonic() - begun
    return summary


def promises_of(tagger: Tagger, folder: Path) -> Promises:
    """Return what a tagger promises.

    Raises
    ------
    StudyError
        If that is not known yet.
    """
    if tagger.promises is None:
        raise StudyError(
            f"{folder} has no thresholds yet: the stage `business` works them out. "
            f"Run `dvc repro business@{tagger.about.catalogue}`."
        )
    return tagger.promises


def _nothing(tagger: Tagger) -> str:
    named = {"brand": "brand that the tagger knows", "text": "text", "image": "usable photo"}
    return "no " + ", no ".join(named[name] for name in tagger.inputs)


def _check(job: Job, tagger: Tagger) -> None:
    if job.images is not None and job.features is not None:
        raise StudyError("--images and --features: expected one of the two.")
    if (job.images or job.features) and ("image" not in tagger.inputs or tagger.about.backbone is None):
        raise StudyError(f"{job.model} does not look at photos. It reads {', '.join(tagger.inputs)}.")
    paths = [job.table.resolve(), job.output.resolve(), job.rejects_path.resolve()]
    if len(set(paths)) < len(paths):
        raise StudyError("The table, the output and the rejects should be three different files.")


def _with_images(job: Job, tagger: Tagger) -> Iterator[Chunk]:
    """Open all that is read, and return the products with their photos' vectors, if there are any."""
    usual = usual_columns(tagger.about.catalogue)
    by_name = usual.image_name is not None and "image" not in job.columns
    needed = needed_fields(tagger, job.images is not None and not by_name, job.without)
    layout = layout_of(job.table, job.encoding, job.delimiter)
    wanted = Wanted(layout, needed, job.columns, usual, by_name, each_row=job.features is not None)
    backbone = tagger.about.backbone
    if job.features is not None:
        count = photo_vectors.count_features(job.features, tagger)
        return photo_vectors.with_features(read_chunks(job.table, wanted, tagger, ROWS), job.features, count)
    if job.images is not None and backbone is not None and "image" not in job.without:
        photos = len(open_photos(job.images))
        weights = job.weights or known_weights(tagger.about.catalogue, backbone)
        network = photo_vectors.network_of(backbone, weights, photos)
        return photo_vectors.with_photos(read_chunks(job.table, wanted, tagger, PART), job.images, network)
    return read_chunks(job.table, wanted, tagger, ROWS)


def known_weights(catalogue: str, backbone: Backbone) -> Path | None:
    """Return the file that `params.yaml` names for a catalogue; None where torchvision has the weights.

    Raises
    ------
    StudyError
        If it names none.
    """
    if backbone.settings.weights is not None:
        return None
    study = config.load_params().study
    weights = study[catalogue].weights if catalogue in study else None
    if weights is None:
        raise StudyError(
            f"params.yaml names no weights for '{catalogue}' (study: weights:). Name them with --weights FILE."
        )
    return config.root() / weights
