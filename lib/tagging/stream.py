"""From a table of new products to a table of tags, some rows at a time: a million rows need the memory of a few."""

import csv
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lib import config
from lib.clean.photos import open_photos
from lib.config import LEVELS
from lib.config.base import Reject
from lib.exceptions import StudyError
from lib.features.vectors import PART
from lib.files import refuse_folder, whole
from lib.tagging import photo_vectors
from lib.tagging.folder import Backbone
from lib.tagging.incoming import (
    Chunk,
    Wanted,
    layout_of,
    looked_for,
    needed_fields,
    read_chunks,
    usual_columns,
    usual_source,
)
from lib.tagging.promises import listed, tempered
from lib.tagging.tagger import Tagger, Tags

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
MOST_CANDIDATES = 20
"""Of one product, unless another number is asked for."""

MORE = " more"
"""Ends a list of candidates that is cut, after the number of those that it lacks."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet may take for a formula (OWASP, *CSV injection*)."""

Cells = tuple[object, ...]
Write = Callable[[Sequence[Cells]], int]
"""Writes rows, and returns how many of their cells it escaped."""


@dataclass(frozen=True)
class Job:
    """What to tag, and with what.

    Attributes
    ----------
    table
        New products: a file of any form that the study reads.
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
    max_candidates
        Of one product; the others are counted.
    raw
        Whether cells of CSV are left as they are where a spreadsheet may take them for formulas.
    format, encoding, delimiter, quoting, escape, skip_lines, sheet
        How the table holds its rows (`lib.collect.layout.Layout`), where the table itself does not tell.
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
    max_candidates: int = MOST_CANDIDATES
    raw: bool = False
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    escape: str | None = None
    skip_lines: int | None = None
    sheet: str | None = None

    @property
    def rejects_path(self) -> Path:
        """Where rejects go."""
        return self.rejects or self.output.parent / f"{self.output.stem}.rejects.csv"


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
    notices : Counter
        What was met in the table that a user should know of.
    promised : dict
        Set of inputs -> which depths have a promise, in words.
    certainty, together : float
        Of one promise, and of those of three depths together.
    cut : int
        Products of which some candidates are counted only.
    examples : dict
        The detail of the first reject of each reason.
    escaped : int
        Cells of CSV that begin with a `'`, so that no spreadsheet takes them for formulas.
    seconds : float
        From the first row to the last, loading the tagger aside.
    """

    decisions: Counter[str] = field(default_factory=Counter)
    inputs: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    notices: Counter[str] = field(default_factory=Counter)
    promised: dict[str, str] = field(default_factory=dict)
    certainty: float = 0.0
    together: float = 0.0
    cut: int = 0
    escaped: int = 0
    seconds: float = 0.0

    @property
    def products(self) -> int:
        """Products that were tagged or are for review."""
        return self.decisions.total()

    def add(self, rows: Sequence[Tagged], rejects: Sequence[Reject]) -> None:
        """Count some more rows."""
        self.decisions.update(row.decision for row in rows)
        self.inputs.update(row.inputs for row in rows)
        self.cut += sum(row.candidates.endswith(MORE) for row in rows)
        self.rejects.update(one.reason for one in rejects)
        for one in rejects:
            self.examples.setdefault(one.reason, f"{one.product_id or ''} ({one.detail})".lstrip())

    def text(self, job: Job) -> str:
        """Say it in a few lines."""
        rate = self.products / max(self.seconds, 1e-9)
        lines = [f"{self.products:,} products in {self.seconds:.1f} s ({rate:,.0f} products/s): {job.output}"]
        for decision in (AUTO, "auto to level 2", "auto to level 1", REVIEW):
            count = self.decisions[decision]
            lines.append(f"  {decision:15} {count:>9,}  {count / max(self.products, 1):6.1%}")
        lines.append("They had, and what is promised of these:")
        lines += [f"  {name:15} {count:>9,}  {self.promised[name]}" for name, count in self.inputs.most_common()]
        lines.append(
            f"A promise: of distinct products with these inputs that are tagged so far and no deeper, at least "
            f"{100 * job.precision:g}% are right. It holds with {self.certainty:.0%} certainty, the promises of all "
            f"three depths together with {self.together:.0%}."
        )
        if job.images is None and job.features is None:
            lines.append("No photo was looked at: --images names a folder or an archive of them.")
        lines += [f"Noticed: {count:,} {text}." for text, count in sorted((+self.notices).items())]
        if self.cut:
            lines.append(
                f"Of {self.cut:,} products {job.max_candidates:,} candidates are listed, and the others counted: "
                "--max-candidates lists more."
            )
        if self.escaped:
            lines.append(
                f"Cells that a spreadsheet may take for formulas: {self.escaped:,}. They begin with a ' now; "
                "--raw leaves them as they are."
            )
        found = ", ".join(f"{reason} {count:,}" for reason, count in self.rejects.most_common()) or "none"
        lines.append(f"Rejects: {found} ({job.rejects_path}).")
        return "\n".join(lines)


def tag_table(job: Job) -> Summary:
    """Tag a table's products; the result and the rejects are written whole or not at all.

    Raises
    ------
    StudyError
        If anything that was asked for is not there or does not fit; nothing is written then. If no product at all can
        be tagged; then the rejects are written, and no result.
    """
    tagger = Tagger.load(job.model)
    if (promises := tagger.promises) is None:
        raise StudyError(
            f"{job.model} has no thresholds yet: the stage `business` works them out. "
            f"Run `dvc repro business@{tagger.about.catalogue}`."
        )
    limits, smallest = promises.thresholds_for(job.precision), promises.smallest_listed(job.precision, job.shown)
    promised = {name: _in_words(values) for name, values in limits.items()}
    summary = Summary(promised=promised, certainty=promises.certainty, together=promises.together)
    chunks = _chunks(job, tagger, summary.notices)
    named = {"brand": "brand that the tagger knows", "text": "text", "image": "usable photo"}
    nothing = "no " + ", no ".join(named[name] for name in tagger.inputs)
    begun = time.monotonic()
    with whole(job.rejects_path) as rejected:
        with suppress(_NoProduct), whole(job.output) as tagged:
            with (
                open_table(tagged, job.output.suffix, Tagged._fields, job.raw) as write,
                open_table(rejected, job.rejects_path.suffix, REJECT_COLUMNS, job.raw) as reject,
            ):
                for chunk in chunks:
                    tags = tagger.tag(chunk.products) if chunk.ids else None
                    decided = decide(tagger, tags, chunk.ids, limits, smallest, job.max_candidates) if tags else []
                    rows = [row for row in decided if row.inputs]
                    empty = [Reject(row.product_id, NO_INPUT, nothing) for row in decided if not row.inputs]
                    rejects = [*chunk.rejects, *empty]
                    summary.escaped += write(rows)
                    summary.escaped += reject([(one.product_id or "", one.reason, one.detail) for one in rejects])
                    summary.add(rows, rejects)
            if not summary.products:  # both files are closed: a disk that is full was met before either has its name
                raise _NoProduct
        if not summary.products and not summary.rejects:
            raise StudyError(f"{job.table} holds no product. Nothing is written.")
    if not summary.products:
        lines = [f"No product of {job.table} can be tagged; {job.output} is not written. {job.rejects_path} says why:"]
        counts = summary.rejects.most_common()
        lines += [f"  {reason}: {count:,}, such as {summary.examples[reason]}" for reason, count in counts]
        raise StudyError("\n".join(lines))
    summary.seconds = time.monotonic() - begun
    return summary


def _in_words(limits: Sequence[float]) -> str:
    """Say which depths have a threshold.

    >>> _in_words([0.9, float("inf"), 0.8]), _in_words([float("inf")] * 3)
    ('auto, auto to level 1', 'nothing: all go to a person')
    """
    depths = reversed(list(zip(DECISIONS[1:], limits, strict=True)))
    return ", ".join(name for name, limit in depths if limit < float("inf")) or "nothing: all go to a person"


class _NoProduct(Exception):
    """Ends the writing of a result that would hold nothing."""


def _chunks(job: Job, tagger: Tagger, notices: Counter[str]) -> Iterator[Chunk]:
    """Open all that is read, and return the products with their photos' vectors, if there are any."""
    backbone, usual = tagger.about.backbone, usual_source(tagger.about.catalogue)
    if job.images is not None and job.features is not None:
        raise StudyError("--images and --features: expected one of the two.")
    if (job.images or job.features) and ("image" not in tagger.inputs or backbone is None):
        raise StudyError(f"{job.model} does not look at photos. It reads {', '.join(tagger.inputs)}.")
    _check_outputs(job)
    if "product_id" in job.without:
        raise StudyError(
            "--without product_id: every product needs an id; --column product_id=COLUMN names its column."
        )
    if job.max_candidates < 1:
        raise StudyError(f"--max-candidates: expected 1 or more. Got {job.max_candidates}.")
    image_name = usual.image_name if usual and "image" not in job.columns else None
    needed = needed_fields(tagger, job.images is not None and image_name is None, job.without)
    columns = {name: looked_for(name, job.columns, usual_columns(usual)) for name in needed}
    said = ("format", "encoding", "delimiter", "quoting", "escape", "skip_lines", "sheet")
    layout = layout_of(job.table, **{key: getattr(job, key) for key in said})
    wanted = Wanted(layout, columns, usual, image_name, each_row=job.features is not None)
    if job.features is not None:
        chunks = read_chunks(job.table, wanted, tagger, ROWS, notices)
        return photo_vectors.with_features(chunks, job.features, tagger)
    if job.images is None or backbone is None or "image" in job.without:
        return read_chunks(job.table, wanted, tagger, ROWS, notices)
    weights = job.weights or known_weights(tagger.about.catalogue, backbone)
    network = photo_vectors.network_of(backbone, weights, len(open_photos(job.images)))
    return photo_vectors.with_photos(read_chunks(job.table, wanted, tagger, PART, notices), job.images, network)


def _check_outputs(job: Job) -> None:
    """Refuse names that cannot be written, or that stand for something that is read."""
    for path in (job.output, job.rejects_path):
        if path.suffix not in (".csv", ".parquet"):
            raise StudyError(f"{path}: expected a name that ends in .csv or .parquet.")
        refuse_folder(path)
    table, model, *outputs = (Path(os.path.realpath(p)) for p in (job.table, job.model, job.output, job.rejects_path))
    if len({table, *outputs}) < 3:
        raise StudyError("The table, the output and the rejects should be three different files.")
    if any(path.is_relative_to(model) for path in outputs):
        raise StudyError(f"{job.model} is the tagger's folder, which must stay as it is. Write the output elsewhere.")


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
    tagger: Tagger,
    tags: Tags,
    ids: Sequence[str],
    limits: Mapping[str, Sequence[float]],
    smallest: Mapping[str, float],
    most: int = MOST_CANDIDATES,
) -> list[Tagged]:
    """Say of each product how far it is tagged.

    Parameters
    ----------
    limits
        Set of inputs -> lowest confidence for each depth, 1 to 3.
    smallest
        Set of inputs -> smallest probability of a path that a person is shown.
    most
        Paths that a person is shown of a product; how many more there are is said.
    """
    sure_of = tempered(tags.probabilities, tags.confidence[:, -1])
    paths, confidence, rows = tags.prefixes.path.tolist(), tags.confidence.tolist(), []
    for row, (product_id, depth, inputs) in enumerate(zip(ids, tags.depth(limits), tags.sets, strict=True)):
        shown = int(depth) or len(LEVELS)
        level_1, level_2, level_3 = tagger.names(paths[row][shown - 1])[:shown] + [""] * (len(LEVELS) - shown)
        choice = [] if depth == len(LEVELS) else listed(tags.probabilities[row], smallest[inputs])
        shown_paths = [f"{' > '.join(tagger.names(path))} ({sure_of[row, path]:.2f})" for path in choice[:most]]
        rest = [f"... and {len(choice) - most:,}{MORE}"] if len(choice) > most else []
        candidates = " | ".join(shown_paths + rest)
        sure = round(confidence[row][shown - 1], 4)
        rows.append(Tagged(product_id, level_1, level_2, level_3, sure, DECISIONS[depth], inputs, candidates))
    return rows


@contextmanager
def open_table(path: Path, suffix: str, columns: Sequence[str], raw: bool = False) -> Iterator[Write]:
    """Write a table in pieces.

    Parameters
    ----------
    suffix
        `.csv` or `.parquet`.
    raw
        Whether cells of CSV that begin like a formula are left as they are. Those of Parquet always are.
    """
    if suffix == ".parquet":
        with _parquet(path, columns) as write:
            yield write
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        # A writer puts quotes around a line break if it ends lines with one of its kind.
        lines = SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n"))
        writer = csv.writer(lines, lineterminator="\r\n")
        writer.writerow(columns)

        def write_csv(rows: Sequence[Cells]) -> int:
            safe = rows if raw else [tuple(map(escape, row)) for row in rows]
            writer.writerows(safe)
            return sum(a is not b for a, b in zip(chain(*rows), chain(*safe), strict=True))

        yield write_csv


def escape(cell: object) -> object:
    """Put a `'` before a text that a spreadsheet may take for a formula; a number is no text.

    >>> escape("=1+1"), escape("-5"), escape(-5.0), escape("a=b")
    ("'=1+1", "'-5", -5.0, 'a=b')
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


@contextmanager
def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    schema = pa.schema([(name, pa.float32() if name == "confidence" else pa.string()) for name in columns])
    held: list[Cells] = []

    def write(rows: Sequence[Cells], least: int = _ROW_GROUP) -> int:
        held.extend(rows)
        if len(held) >= least:
            arrays = [pa.array(values, of.type) for values, of in zip(zip(*held, strict=True), schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            held.clear()
        return 0

    with pq.ParquetWriter(path, schema) as writer:
        yield write
        write([], least=1)
