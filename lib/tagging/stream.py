"""From a table of new products to a table of tags, some rows at a time: a million rows need the memory of a few."""

import csv
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lib import config
from lib.clean.photos import open_photos
from lib.config import LEVELS
from lib.config.base import Reject
from lib.exceptions import StudyError
from lib.features.vectors import PART
from lib.files import whole
from lib.tagging import photo_vectors
from lib.tagging.incoming import Chunk, Wanted, layout_of, looked_for, needed_fields, read_chunks, usual_columns
from lib.tagging.promises import listed, tempered
from lib.tagging.tagger import Backbone, Tagger, Tags

ROWS = 1024  # that are tagged at once
NO_INPUT = "no input"


REVIEW, AUTO = "review", "auto"
DECISIONS = (REVIEW, "auto to level 1", "auto to level 2", AUTO)
"""By the number of levels that are tagged without a person."""

_ROW_GROUP = 8192  # rows of Parquet that are held before they are written


class Tagged(NamedTuple):
    """A row of the result.

    Attributes
    ----------
    product_id : str
    level_1, level_2, level_3 : str
        As far down as is tagged without a person, empty below; of a product for review the most probable path.
    confidence : float
        Of these levels together.
    decision : str
        One of `DECISIONS`.
    inputs : str
        What the product has that tells something, joined by `+`.
    candidates : str
        Unless everything is tagged: the paths to choose from with their confidences, most probable first.
    """

    product_id: str
    level_1: str
    level_2: str
    level_3: str
    confidence: float
    decision: str
    inputs: str
    candidates: str


REJECT_COLUMNS = ("product_id", "reason", "detail")
Write = Callable[[Sequence[tuple[object, ...]]], None]


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
    if (promises := tagger.promises) is None:
        raise StudyError(
            f"{job.model} has no thresholds yet: the stage `business` works them out. "
            f"Run `dvc repro business@{tagger.about.catalogue}`."
        )
    thresholds, smallest = promises.thresholds_for(job.precision), promises.smallest_listed(job.precision, job.shown)
    chunks = _chunks(job, tagger)
    named = {"brand": "brand that the tagger knows", "text": "text", "image": "usable photo"}
    nothing = "no " + ", no ".join(named[name] for name in tagger.inputs)
    summary, begun = Summary(), time.monotonic()
    with open_table(job.output, Tagged._fields) as write, open_table(job.rejects_path, REJECT_COLUMNS) as reject:
        for chunk in chunks:
            tags = tagger.tag(chunk.products) if chunk.ids else None
            decided = decide(tagger, tags, chunk.ids, thresholds, smallest) if tags else []
            rows = [row for row in decided if row.inputs]
            empty = [Reject(row.product_id, NO_INPUT, nothing) for row in decided if not row.inputs]
            rejects = [*chunk.rejects, *empty]
            write(rows)
            reject([(one.product_id or "", one.reason, one.detail) for one in rejects])
            summary.decisions.update(row.decision for row in rows)
            summary.inputs.update(row.inputs for row in rows)
            summary.rejects.update(one.reason for one in rejects)
    summary.seconds = time.monotonic() - begun
    return summary


def _chunks(job: Job, tagger: Tagger) -> Iterator[Chunk]:
    """Open all that is read, and return the products with their photos' vectors, if there are any."""
    backbone, usual = tagger.about.backbone, usual_columns(tagger.about.catalogue)
    if job.images is not None and job.features is not None:
        raise StudyError("--images and --features: expected one of the two.")
    if (job.images or job.features) and ("image" not in tagger.inputs or backbone is None):
        raise StudyError(f"{job.model} does not look at photos. It reads {', '.join(tagger.inputs)}.")
    if len({path.resolve() for path in (job.table, job.output, job.rejects_path)}) < 3:
        raise StudyError("The table, the output and the rejects should be three different files.")
    by_name = usual.image_name is not None and "image" not in job.columns
    needed = needed_fields(tagger, job.images is not None and not by_name, job.without)
    columns = {name: looked_for(name, job.columns, usual.columns) for name in needed}
    layout = layout_of(job.table, job.encoding, job.delimiter)
    wanted = Wanted(layout, columns, usual.image_name if by_name else None, each_row=job.features is not None)
    if job.features is not None:
        return photo_vectors.with_features(read_chunks(job.table, wanted, tagger, ROWS), job.features, tagger)
    if job.images is None or backbone is None or "image" in job.without:
        return read_chunks(job.table, wanted, tagger, ROWS)
    weights = job.weights or known_weights(tagger.about.catalogue, backbone)
    network = photo_vectors.network_of(backbone, weights, len(open_photos(job.images)))
    return photo_vectors.with_photos(read_chunks(job.table, wanted, tagger, PART), job.images, network)


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


# The result


def decide(
    tagger: Tagger, tags: Tags, ids: Sequence[str], thresholds: Sequence[float], smallest: float
) -> list[Tagged]:
    """Say of each product how far it is tagged.

    Parameters
    ----------
    thresholds
        Lowest confidence for each depth, 1 to 3.
    smallest
        Smallest probability of a path that a person is shown.
    """
    sure_of = tempered(tags.probabilities, tags.confidence[:, -1])
    paths, confidence, rows = tags.prefixes.path.tolist(), tags.confidence.tolist(), []
    for row, (product_id, depth, inputs) in enumerate(zip(ids, tags.depth(thresholds), tags.sets, strict=True)):
        shown = int(depth) or len(LEVELS)
        level_1, level_2, level_3 = tagger.names(paths[row][shown - 1])[:shown] + [""] * (len(LEVELS) - shown)
        choice = [] if depth == len(LEVELS) else listed(tags.probabilities[row], smallest)
        candidates = " | ".join(f"{' > '.join(tagger.names(path))} ({sure_of[row, path]:.2f})" for path in choice)
        sure = round(confidence[row][shown - 1], 4)
        rows.append(Tagged(product_id, level_1, level_2, level_3, sure, DECISIONS[depth], inputs, candidates))
    return rows


@contextmanager
def open_table(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    """Write a table in pieces, as CSV or Parquet by the end of its name; whole or not at all.

    Raises
    ------
    StudyError
        If its name ends otherwise, or it cannot be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise StudyError(f"{path}: expected a name that ends in .csv or .parquet.")
    with whole(path) as partial:
        if path.suffix == ".parquet":
            with _parquet(partial, columns) as write:
                yield write
        else:
            with partial.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                yield writer.writerows


@contextmanager
def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    schema = pa.schema([(name, pa.float32() if name == "confidence" else pa.string()) for name in columns])
    held: list[tuple[object, ...]] = []

    def write(rows: Sequence[tuple[object, ...]], least: int = _ROW_GROUP) -> None:
        held.extend(rows)
        if len(held) >= least:
            arrays = [pa.array(values, of.type) for values, of in zip(zip(*held, strict=True), schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            held.clear()

    with pq.ParquetWriter(path, schema) as writer:
        yield write
        write([], least=1)
