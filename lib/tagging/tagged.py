"""What is said of each new product, and the file that it goes to."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lib.config import LEVELS
from lib.config.base import Reject
from lib.exceptions import StudyError
from lib.files import whole
from lib.tagging.promises import Shares, listed, tempered
from lib.tagging.tagger import Tagger, Tags

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
    depths = tags.depth(thresholds).tolist()
    sure_of = tempered(tags.probabilities, tags.confidence[:, -1])
    paths, confidence = tags.prefixes.path.tolist(), tags.confidence.tolist()
    rows = []
    for row, (product_id, depth, inputs) in enumerate(zip(ids, depths, tags.sets, strict=True)):
        shown = depth or len(LEVELS)
        names = tagger.names(paths[row][shown - 1])[:shown]
        level_1, level_2, level_3 = names + [""] * (len(LEVELS) - shown)
        candidates = (
            "" if depth == len(LEVELS) else _candidates(tagger, tags.probabilities[row], sure_of[row], smallest)
        )
        sure = round(confidence[row][shown - 1], 4)
        rows.append(Tagged(product_id, level_1, level_2, level_3, sure, DECISIONS[depth], inputs, candidates))
    return rows


def _candidates(tagger: Tagger, probabilities: Shares, confidence: Shares, smallest: float) -> str:
    """Write the paths to choose from: `A > B > C (0.41) | A > B > D (0.22)`."""
    paths = listed(probabilities, smallest)
    return " | ".join(f"{' > '.join(tagger.names(path))} ({confidence[path]:.2f})" for path in paths)


def reject_row(reject: Reject) -> tuple[object, ...]:
    """Lay out a reject."""
    return reject.product_id or "", reject.reason, reject.detail


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
        if path.suffix == ".csv":
            with partial.open("w", encoding="utf-8", newline="") as file:
                yield _csv(file, columns)
        else:
            with _parquet(partial, columns) as write:
                yield write


def _csv(file: IO[str], columns: Sequence[str]) -> Write:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    return writer.writerows


@contextmanager
def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    schema = pa.schema([(name, pa.float32() if name == "confidence" else pa.string()) for name in columns])
    held: list[tuple[object, ...]] = []

    with pq.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            arrays = [
                pa.array(values, field.type) for values, field in zip(zip(*held, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.table(arrays, schema=schema))
            held.clear()

        def write(rows: Sequence[tuple[object, ...]]) -> None:
            held.extend(rows)
            if len(held) >= _ROW_GROUP:
                flush()

        yield write
        if held:
            flush()
