"""How a table's file holds its rows: as a catalogue's file says, and as the file's own bytes tell."""

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from charset_normalizer import from_bytes
from pydantic import AfterValidator, Field, model_validator

from lib.collect.unpacking import HEAD, unpacked
from lib.config import Strict
from lib.config.base import Reject
from lib.exceptions import StudyError

Format = Literal["csv", "tsv", "json", "jsonl", "parquet", "xlsx", "xml"]
DELIMITERS: dict[Format, str] = {"csv": ",", "tsv": "\t"}
MAX_LINE = 16 * 2**20  # characters or bytes; a longer line, cell or object is no product

_BINARY: dict[bytes, Format] = {b"PAR1": "parquet", b"PK\x03\x04": "xlsx"}
_ENDINGS: dict[str, Format] = {"tab": "tsv", "ndjson": "jsonl", "pq": "parquet", "xlsm": "xlsx"}
_ENDINGS |= {name: name for name in get_args(Format)}
_KEYS: dict[str, tuple[Format, ...]] = {  # what only some formats have
    "sheet": ("xlsx", "json", "xml"),
    "encoding": ("csv", "tsv", "json", "jsonl", "xml"),
    **dict.fromkeys(("delimiter", "quoting", "escape"), ("csv", "tsv")),
    "skip_lines": ("csv", "tsv", "xlsx"),
}
_ENCODINGS = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp850", "cp932", "euc_jp", "gb18030", "big5", "cp949"]
_KANA = re.compile("[\u3040-\u30ff]")
_SIGN_IN_WORD = re.compile(r"[^\W\d_][¹³¿]|[¹³¿][^\W\d_]")


class Row(NamedTuple):
    """One row, and its place in the file for messages, if it has one."""

    where: str
    values: dict[str, Any]


class Table(NamedTuple):
    """The rows of a file.

    Attributes
    ----------
    fields : list of str or None
        Its columns; None where only the rows tell what they have.
    rows : iterator
    hint : str
        A sentence for those who miss a column, if the file looks as if it were to be read otherwise.
    """

    fields: list[str] | None
    rows: Iterator[Row | Reject]
    hint: str = ""


@dataclass(frozen=True)
class Layout:
    """How a file holds its rows. None stands for what is usual, or told by the file itself.

    Attributes
    ----------
    format : str or None
    encoding, delimiter, quoting, escape : str or None
        Of text, and of CSV and TSV. `quoting` is `none` where quote marks are ordinary characters.
    skip_lines : int
        Lines, or rows of a spreadsheet, before the one that names the columns.
    sheet : str or None
        Name of the sheet; in JSON, of the list that holds the rows; in XML, of their element.
    """

    format: Format | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    escape: str | None = None
    skip_lines: int = 0
    sheet: str | None = None

    def as_keys(self) -> dict[str, Any]:
        """Return the keys of a catalogue's file that say the same; what is usual is left out.

        >>> Layout("csv", delimiter=";").as_keys()
        {'format': 'csv', 'delimiter': ';'}
        """
        return {key: value for key, value in asdict(self).items() if value}

    def told(self) -> str:
        """Say how the file is read, for a message.

        >>> Layout("csv", delimiter=";").told()
        "csv, delimiter ';'"
        """
        keys = self.as_keys()
        return ", ".join([str(keys.pop("format", "a table")), *(f"{key} {value!r}" for key, value in keys.items())])


def _inside(name: str) -> str:
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise ValueError(f"expected a name below the catalogue's source folder. Got '{name}' instead")
    return name


def _encoding(name: str) -> str:
    try:
        " ".encode(name).decode(name, "surrogateescape")  # some encode a text, and decode no file
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"there is no encoding '{name}'; expected one such as utf-8, cp1252 or utf-16") from error
    return name


Inside = Annotated[str, AfterValidator(_inside)]
"""A name below the source folder, which is all that DVC watches for changes."""
Character = Annotated[str, Field(min_length=1, max_length=1)]


class FileKeys(Strict):
    """The keys that say which file holds the table, and how. What the file itself tells may be left out."""

    file: Inside
    format: Format | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    delimiter: Character | None = None
    quoting: Literal['"', "none"] | None = None
    escape: Character | None = None
    skip_lines: Annotated[int, Field(ge=0, le=2**31)] = 0
    sheet: str | None = None

    @model_validator(mode="after")
    def _fit_the_format(self) -> Self:
        form = self.format or guess_format(self.file)
        for key, formats in _KEYS.items() if form else ():
            if getattr(self, key) and form not in formats:
                kinds = f"{', '.join(formats[:-1])} and {formats[-1]}"
                raise ValueError(f"`{key}` is for {kinds}, and not for {form}")
        return self

    @property
    def layout(self) -> Layout:
        """How the file holds its rows."""
        quoting = None if self.quoting == '"' else self.quoting
        return Layout(self.format, self.encoding, self.delimiter, quoting, self.escape, self.skip_lines, self.sheet)


# Formats


def guess_format(file: str) -> Format | None:
    """Tell a file's format from the end of its name.

    >>> guess_format("products.CSV.gz"), guess_format("products.txt")
    ('csv', None)
    """
    name = re.sub(r"(\.(gz|bz2|zip))+$", "", file.lower())
    return _ENDINGS.get(PurePath(name).suffix[1:])


def tell_format(path: Path) -> tuple[Format | None, bool]:
    """Tell a file's format, and whether its bytes show it; else it goes by the name, or is nobody's guess (None).

    Raises
    ------
    StudyError
        As `unpacked` does, and if the file is a web page.
    """
    with unpacked(path) as opened:
        head = opened.head
        named = guess_format(opened.name) or guess_format(path.name)
    for mark, binary in _BINARY.items():
        if head.startswith(mark):
            return binary, True
    text = head.decode(json.detect_encoding(head), "replace").lstrip("\ufeff \t\r\n")
    if re.match(r"(<\?xml[^>]*>|<!--.*?-->|\s)*<(!doctype\s+)?html\b", text, re.I | re.S):
        raise StudyError(f"{path} is a web page, not a table.")
    if re.match(r"<(\?xml|!--|!doctype|[a-z_])", text, re.I):
        return "xml", True
    if re.match(r"\[\s*([\]{]|$)", text):
        return "json", True
    if not re.match(r"""\{\s*(["'}]|u['"]|$)""", text):
        return named, False
    first, _, rest = text.partition("\n")
    if rest.strip():
        goes_on = first.rstrip()[-1] in "[{,:" or not rest.lstrip().startswith("{")
        return "json" if goes_on and not first.rstrip().endswith("}") else "jsonl", True
    holds_list = re.search(r"""["']\s*:\s*\[\s*\{""", first)  # of one line that is all there is
    return "json" if holds_list and named != "jsonl" else "jsonl", True


# Encodings


def text_encoding(head: bytes, encoding: str | None) -> str:
    """Return the encoding of a text: as was said, or UTF-8, or UTF-16 where its mark or its zeros show that."""
    name = codecs.lookup(encoding or json.detect_encoding(head)).name
    return "utf-8-sig" if name == "utf-8" else name  # as a spreadsheet writes it, with a mark at the beginning


def sniff_encoding(path: Path) -> str | None:
    """Return the encoding of a text, which is read up to where it is not as usual; None if it needs not be said."""
    with unpacked(path) as opened:
        decoder = codecs.getincrementaldecoder(text_encoding(opened.head, None))()
        before = part = b""
        try:
            while part := opened.file.read(HEAD):
                decoder.decode(part)
                before = part
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            lines = [line for line in (before + part).splitlines() if not line.isascii()]
            return _fitting(b"\n".join(lines[:1000]))
    return None


def _fitting(sample: bytes) -> str:
    """Return an encoding in which a text that is not UTF-8 was probably written."""
    high = re.findall(b"[\x80-\xff]", sample)
    best = from_bytes(sample, cp_isolation=_ENCODINGS).best() if len(set(high)) > 2 else None
    name = best.encoding if best else "cp1252"
    with suppress(UnicodeDecodeError):
        if len(_KANA.findall(sample.decode("cp932"))) > len(high) / 8:
            return "cp932"
    with suppress(UnicodeDecodeError):
        western = sample.decode("cp1252")
        if name in ("cp1252", "cp1250"):  # they differ little, and a sign within a word is none in the other
            return "cp1250" if _SIGN_IN_WORD.search(western) or western != sample.decode(name) else "cp1252"
    return name


def wrong_encoding(path: Path, encoding: str, problem: str) -> StudyError:
    """Say that a text is in another encoding, and in which it may be."""
    name, fits = encoding.removesuffix("-sig"), sniff_encoding(path) or "utf-8"
    return StudyError(f"{path} is not {name}: {problem}. Name its encoding in the catalogue's file, such as {fits}.")
