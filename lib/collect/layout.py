"""How a table's file holds its rows: as a catalogue's file says, and as the file's own first bytes tell."""

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from lib.collect.unpacking import HEAD, unpacked
from lib.config import Strict
from lib.config.base import Reject
from lib.exceptions import StudyError

Format = Literal["csv", "tsv", "json", "jsonl", "parquet", "xlsx", "xml"]
DELIMITERS: dict[Format, str] = {"csv": ",", "tsv": "\t"}
MAX_LINE = 16 * 2**20  # characters or bytes; a longer line, cell or object is no product

_ENDINGS = {".tab": ".tsv", ".ndjson": ".jsonl", ".pq": ".parquet", ".xlsm": ".xlsx"}  # other ends of names
_BINARY: dict[bytes, Format] = {b"PAR1": "parquet", b"PK\x03\x04": "xlsx"}
_ENCODINGS = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp850", "mac_roman", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
_KANA, _HIGH = re.compile("[\u3040-\u30ff]"), re.compile(b"[\x80-\xff]")
_SIGN_IN_WORD = re.compile(r"[^\W\d_][¹³¿]|[¹³¿][^\W\d_]")
_FOR = {  # what only some formats have
    "sheet": ("xlsx", "json", "xml"),
    "encoding": ("csv", "tsv", "json", "jsonl", "xml"),
    "delimiter": ("csv", "tsv"),
    "quoting": ("csv", "tsv"),
    "escape": ("csv", "tsv"),
    "skip_lines": ("csv", "tsv", "xlsx"),
}


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


def as_yaml(keys: dict[str, Any]) -> str:
    """Write keys and values as they would stand in a catalogue's file.

    >>> print(as_yaml({"skip_lines": 1, "delimiter": ";"}))
    `skip_lines: 1`, `delimiter: ";"`
    """
    plain = {key: isinstance(value, int) or str(value).isalnum() for key, value in keys.items()}
    return ", ".join(f"`{key}: {value if plain[key] else json.dumps(value)}`" for key, value in keys.items())


def _inside(name: str) -> str:
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise ValueError(f"expected a name below the catalogue's source folder. Got '{name}' instead")
    return name


Inside = Annotated[str, AfterValidator(_inside)]
"""A name below the source folder, which is all that DVC watches for changes."""


def _encoding(name: str) -> str:
    try:
        " ".encode(name).decode(name, "surrogateescape")  # some encode a text, and decode no file
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"there is no encoding '{name}'; expected one such as utf-8, cp1252 or utf-16") from error
    return name


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
        for key, formats in _FOR.items() if form else ():
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
    name = file.lower()
    for packed in (".gz", ".bz2", ".zip"):
        name = name.removesuffix(packed)
    suffix = PurePath(name).suffix
    formats: dict[str, Format] = {f".{name}": name for name in get_args(Format)}
    return formats.get(_ENDINGS.get(suffix, suffix))


class Told(NamedTuple):
    """The format of a file, and whether its bytes show it; else it goes by the name, or is nobody's guess (None)."""

    format: Format | None
    certain: bool


def tell_format(path: Path) -> Told:
    """Tell a file's format by its first bytes, or else by its name.

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
            return Told(binary, True)
    text = head.decode(json.detect_encoding(head), "replace").lstrip("\ufeff \t\r\n")
    if re.match(r"<(\?xml|!--|!doctype|[a-z_])", text, re.I):
        if re.match(r"(<\?xml[^>]*>|<!--.*?-->|\s)*<(!doctype\s+)?html\b", text, re.I | re.S):
            raise StudyError(f"{path} is a web page, not a table.")
        return Told("xml", True)
    if re.match(r"""\[\s*([\]{]|$)""", text):
        return Told("json", True)
    if re.match(r"""\{\s*(["'}]|u['"]|$)""", text):
        return Told(_json_or_lines(text, named, len(head) == HEAD), True)
    return Told(named, False)


def _json_or_lines(text: str, named: Format | None, cut: bool) -> Format:
    """Tell one JSON text from a line for each object; a single object of one line goes by the file's name."""
    lines = [line for line in (line.strip() for line in text.splitlines()) if line]
    if len(lines) < 2:
        if named == "jsonl":
            return "jsonl"
        with suppress(ValueError):
            json.loads(lines[0])
            return "json" if "[{" in text.replace(" ", "") else "jsonl"
        return "json" if cut and re.search(r"""["']\s*:\s*\[\s*\{""", text) else "jsonl"
    whole = lines[:-1] if cut else lines
    return "jsonl" if sum(line[0] + line[-1] == "{}" for line in whole) > len(whole) / 2 else "json"


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
            return _fitting(before + part)
    return None


def _fitting(text: bytes) -> str:
    """Return an encoding in which a text that is not UTF-8 was probably written."""
    from charset_normalizer import from_bytes

    lines = [line for line in text.splitlines() if not line.isascii()]
    sample = b"\n".join(lines[:1000])
    with suppress(UnicodeDecodeError):
        japanese = sample.decode("cp932")
        if len(_KANA.findall(japanese)) > sum(not letter.isascii() for letter in japanese) / 5:
            return "cp932"
    if len(set(_HIGH.findall(sample))) < 3:  # too few to tell
        return "cp1252"
    best = from_bytes(sample, cp_isolation=_ENCODINGS).best()
    name = best.encoding if best is not None else "cp1252"
    with suppress(UnicodeDecodeError):
        western = sample.decode("cp1252")
        if name in ("cp1252", "cp1250"):  # they differ little, and a sign within a word is none in the other
            return "cp1250" if _SIGN_IN_WORD.search(western) or western != sample.decode(name) else "cp1252"
    return name


def wrong_encoding(path: Path, encoding: str, problem: str) -> StudyError:
    """Say that a text is in another encoding, and in which it may be."""
    name, fits = encoding.removesuffix("-sig"), sniff_encoding(path) or "utf-8"
    return StudyError(f"{path} is not {name}: {problem}. Name its encoding in the catalogue's file, such as {fits}.")
