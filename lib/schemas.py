"""The tables that stages hand to one another, and a check that names what is wrong in one message."""

from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from lib.config import LEVELS, SPLITS
from lib.config.base import PARTS
from lib.exceptions import StudyError, nearest
from lib.files import existing

_EXPECTED = {
    "field_uniqueness": "each value once",
    "not_nullable": "a value in every row",
    "dtype('string[pyarrow]')": "text",
}
_PARTS = pa.Check.isin(["train", "validation", "test", "development"])


def _text(nullable: bool = False, **options: object) -> pa.Column:
    return pa.Column(str, nullable=nullable, **options)  # type: ignore[arg-type]


RAW_PRODUCTS = pa.DataFrameSchema(
    {
        "product_id": _text(unique=True, checks=pa.Check.str_length(min_value=1)),
        "brand": _text(nullable=True),
        "title": _text(nullable=True),
        "description": _text(nullable=True),
        **{level: _text(nullable=True) for level in LEVELS},
        "image": _text(nullable=True, checks=pa.Check.str_matches(r"^[0-9]{7,}\.jpg$")),
        "part": _text(checks=pa.Check.isin(["", *PARTS])),
        "model": _text(),
    },
    strict=True,
    ordered=True,
    name="raw products",
)

REJECTS = pa.DataFrameSchema(
    {"product_id": _text(nullable=True), "reason": _text(), "detail": _text()},
    strict=True,
    ordered=True,
    name="rejects",
)

CLEAN_PRODUCTS = pa.DataFrameSchema(
    {
        "product_id": _text(unique=True),
        "brand": _text(),
        "title": _text(),
        "text": _text(),
        "masked_text": _text(),
        **{level: _text() for level in LEVELS},
        **{f"{level}_code": pa.Column("int16", pa.Check.ge(0)) for level in LEVELS},
        "image": _text(nullable=True),
        "group": pa.Column("int32", pa.Check.ge(0)),
        "loose_group": pa.Column("int32", pa.Check.ge(0)),
        **{f"{split}_split": _text(checks=_PARTS) for split in SPLITS},
        "fresh": pa.Column(bool),
        "sampling_key": pa.Column("uint64"),
    },
    strict=True,
    ordered=True,
    name="clean products",
)


def validate(table: pd.DataFrame, schema: pa.DataFrameSchema, where: Path | str) -> pd.DataFrame:
    """Return `table` if it fits `schema`.

    Raises
    ------
    StudyError
        If it does not, with every column that is wrong, what was expected of it, and the first value that is not so.

    Examples
    --------
    >>> table = pd.DataFrame({"product_id": ["1"], "reason": ["no id"], "details": ["line 3"]})
    >>> validate(table, REJECTS, "rejects.parquet")
    Traceback (most recent call last):
    lib.exceptions.StudyError: rejects.parquet does not fit the table 'rejects':
      details: unknown column; expected only ['product_id', 'reason', 'detail']. Did you mean 'detail'?
      detail: this column is missing.
    """
    try:
        return schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases, by_column = error.failure_cases, error.failure_cases["schema_context"] == "Column"
        lines = [_explain(case, schema) for _, case in cases[~by_column].groupby(level=0)]
        lines += [_explain(same, schema) for _, same in cases[by_column].groupby(["column", "check"], sort=False)]
        text = "\n".join(lines) or str(error)
        raise StudyError(f"{where} does not fit the table '{schema.name}':\n{text}") from error


def read_table(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a Parquet file and check it against `schema`."""
    return validate(pd.read_parquet(existing(path)), schema, path)


def write_table(path: Path, table: pd.DataFrame, schema: pa.DataFrameSchema) -> None:
    """Check `table` against `schema` and write it as Parquet; `path` should be a temporary name."""
    validate(table, schema, path.name).to_parquet(path, index=False, compression="zstd")


def _explain(cases: pd.DataFrame, schema: pa.DataFrameSchema) -> str:
    """Say in one line what is wrong with one column in one respect."""
    case, columns = cases.iloc[0], list(schema.columns)
    column, check, found = case["column"], case["check"], case["failure_case"]
    if check == "column_in_schema":
        return f"  {found}: unknown column; expected only {columns}.{nearest(found, columns)}"
    if check == "column_in_dataframe":
        return f"  {found}: this column is missing."
    if check == "column_ordered":
        return f"  {found}: this column is out of order; expected {columns}."
    expected = _EXPECTED.get(check, str(check))
    return f"  {column}: expected {expected}. Got '{found}' instead in row {case['index']} ({len(cases)} in all)."
