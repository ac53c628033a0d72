"""A catalogue of one's own: a table in any format, and photos beside it."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lib.collect import Summary, collect
from lib.exceptions import StudyError
from lib.schemas import RAW_PRODUCTS, REJECTS, read_table

ROWS = [
    {
        "sku": f"A{number:02d}",
        "maker": "Nørd, & Sons" if number % 2 else None,
        "name": f"Thing {number}",
        "text": f'<p>A "thing",\nthe {number}th</p>',
        "path": "Women >> Shoes >> Boots",
        "photo": f"p{number}.jpg",
    }
    for number in range(30)
]
COLUMNS = {
    "id": "sku",
    "brand": "maker",
    "title": "name",
    "description": "text",
    "category": "path",
    "image": "photo",
}


def as_csv(rows: list[dict], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def as_parquet(rows: list[dict]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=7)
    return sink.getvalue()


def as_lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Mine:
    """A catalogue of one's own."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.raw = root, root / "data/mine", root / "build/mine/raw"
        (self.folder / "photos").mkdir(parents=True)
        for number in range(0, 30, 2):
            (self.folder / f"photos/p{number}.jpg").write_bytes(f"photo {number}".encode())
        self.text, self.source = ["description"], "data/mine"
        self.section: dict = {
            "file": "products.csv",
            "columns": dict(COLUMNS),
            "categories": {"separator": ">>"},
            "images": {"folder": "photos"},
        }

    def collect(self, content: bytes | list[dict] | None = None, file: str | None = None) -> Summary:
        """Collect; `content`, if given, is written first, into a file that the catalogue then names, if `file` is."""
        self.section["file"] = file or self.section["file"]
        file = file or "products.csv"
        if content is not None:
            (self.folder / file).write_bytes(as_csv(content) if isinstance(content, list) else content)
        self._change("catalogues/fashion.yaml", "catalogues/mine.yaml", table=self.section, text=self.text)
        self._change("params.yaml", "params.yaml", study={"mine": {"source": self.source}})
        return collect("mine")

    def message(self, content: bytes | list[dict] | None = None, file: str | None = None) -> str:
        """Collect what cannot be collected, and return what the user reads."""
        with pytest.raises(StudyError) as error:
            self.collect(content, file)
        assert not self.raw.exists()
        return str(error.value).replace(f"{self.folder}/", "")

    def allow_rejects(self, share: float) -> None:
        """Let `clean.max_reject_share` be another."""
        clean = self._read("params.yaml")["clean"]
        self._change("params.yaml", "params.yaml", clean=clean | {"max_reject_share": share})

    def products(self) -> pd.DataFrame:
        return read_table(self.raw / "products.parquet", RAW_PRODUCTS).set_index("product_id", drop=False)

    def rejects(self) -> pd.DataFrame:
        return read_table(self.raw / "rejects.parquet", REJECTS)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.raw.iterdir()}

    def _read(self, source: str) -> dict:
        return yaml.load((self.root / source).read_text("utf-8"), yaml.CSafeLoader)

    def _change(self, source: str, target: str, **keys: object) -> None:
        content = self._read(source) | keys
        (self.root / target).write_text(yaml.dump(content, Dumper=yaml.CSafeDumper), "utf-8")
