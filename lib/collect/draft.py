"""Writes a first `catalogues/NAME.yaml` for a table that was recognised, and its line in `params.yaml`."""

import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from lib import config
from lib.collect.cells import first_address
from lib.collect.mapping import Product, TableMapping, left_out, to_product
from lib.collect.measure import ROWS
from lib.collect.merging import merge
from lib.collect.paths import CategoryRule, depth_of, load_ids
from lib.collect.recognise import NAMELESS, Recognised
from lib.collect.rows import guess_format
from lib.collect.survey import Survey
from lib.collect.table import TableSource
from lib.config import LEVELS
from lib.config.base import Record, Reject
from lib.exceptions import StudyError
from lib.files import whole

WEIGHTS = "lib/demo_shop/weights.safetensors"
SIZES: dict[int, tuple[list[int | str], int]] = {
    0: (["all"], 1),
    1_000: (["all"], 3),
    3_000: ([500, 1500, "all"], 3),
    ROWS: ([1000, 3000, "all"], 3),
}
"""From so many products on: the training sizes, and the seeds."""

_REASON = 44  # characters before a comment
_ENDS = (".jpg", ".jpeg", ".png", ".webp")
_SAMPLE = 500  # photos that are sought beside the table


class Seen(NamedTuple):
    """What a table holds: products, what is none, and a survey of their paths."""

    records: list[Record]
    rejects: list[Reject]
    survey: Survey


def see(
    items: Iterable[Record | Product | Reject], rule: CategoryRule, max_share: float, notices: Counter[str]
) -> Seen:
    """Merge a table's rows as collecting does, and survey their paths."""
    found = list(items)
    products, repeated = merge((item for item in found if isinstance(item, Product)), notices)
    records = [record for record, _ in products]
    rejects = [*(item for item in found if isinstance(item, Reject)), *repeated]
    return Seen(records, rejects, Survey.of(records, rule, max_share, notices))


@dataclass(frozen=True)
class Draft:
    """A catalogue's first file.

    Attributes
    ----------
    name
        Of the catalogue.
    text
        The file, with a comment on each choice.
    source
        The table's path.
    beside
        What else belongs into the catalogue's source folder.
    seen
        What the table's first rows hold, by this file.
    doubts
        What a person should look at.
    """

    name: str
    text: str
    source: Path
    beside: list[Path]
    seen: Seen
    doubts: list[str]


def draft(name: str, found: Recognised, max_share: float) -> Draft:
    """Write a catalogue's file for a table, of which at most such a share of products may be lost."""
    feed, paths = found.feed, found.paths
    columns = {role: column for role, column in found.columns.items() if role != "image"} | paths.columns
    keys: dict[str, Any] = {"columns": columns, "language": feed.language, "leave_out_rows": found.out}
    mapping, notices = TableMapping(**keys, categories=CategoryRule(**paths.rule)), Counter[str]()
    ids = load_ids(paths.ids, mapping.categories) if paths.ids else None
    rows = (row for row in feed.read if not left_out(row, mapping))
    seen = see((to_product(row, mapping, ids, notices) for row in rows), mapping.categories, max_share, notices)

    # Of paths that are deeper or shallower, what keeps most products, and changes least of them.
    choices, depths = seen.survey.choices(), Counter(map(depth_of, seen.survey.names))
    ends = max(depths, default=0) < len(LEVELS)
    order = ["refuse", "repeat", "ends_here", "drop"] if ends else ["refuse", "ends_here", "repeat", "drop"]
    choices["order"] = choices["shallower"].map(order.index)
    best = choices.sort_values(["stops", "products", "order", "deeper"], ascending=[True, False, True, False]).iloc[0]
    rule = paths.rule | {key: best[key] for key in ("shallower", "deeper") if best[key] != "refuse"}
    seen = seen._replace(survey=Survey.of(seen.records, CategoryRule(**rule), max_share, notices))
    kept = f"{best['products']:,} of {depths.total():,} products are kept"
    fewer = sum(count for depth, count in depths.items() if depth < len(LEVELS))
    more = sum(count for depth, count in depths.items() if depth > len(LEVELS))

    photos = _photos(found)
    doubts = [f"there is no {role}" for role in ("title", "description", "brand") if role not in columns]
    doubts += [photos.doubt] if photos.doubt else []
    if paths.ids_alone:
        count = f"{paths.ids_alone:.1%} of products have a category that is only a number, and are left out"
        doubts.append(f"{count} (leave_out_rows). {NAMELESS}")
    if len(feed.rows) < 1000:
        doubts.append(f"{len(feed.rows):,} products are few: differences between models will hardly show")

    read = "title" not in columns or found.facts["filled"].get(columns.get("description"), 0) >= 0.5
    sizes, seeds = next(value for least, value in reversed(SIZES.items()) if len(feed.rows) >= least)
    layout = {k: v for k, v in feed.layout.as_keys().items() if k != "format" or v != guess_format(feed.path.name)}
    table = {"file": feed.path.name, **layout, **keys, "columns": columns | {**photos.column}, "categories": rule}
    count = f"{'' if feed.whole else 'more than '}{len(feed.rows):,} products"
    content = {
        "title": name.replace("_", " ").capitalize(),
        "description": f"{count}, from a table of {found.form.name}.",
        "kind": "table",
        "publish_examples": False,
        "table": {key: value for key, value in {**table, **photos.place}.items() if value},
        "text": ["description"] if read else [key for key in ("title", "description") if key in columns],
        "image": {"backbone": "small_vgg", "size": 64},
        "train_sizes": sizes,
        "seeds": seeds,
        "experiments": ["core", "deploy"],
    }
    why = {
        "publish_examples": "true: the report may show texts and photos of products",
        "table.file": f"{len(feed.read):,} rows were looked at, and {feed.bad:,} could not be read",
        "table.language": "of lists of texts by language; most rows have this one",
        "table.leave_out_rows": "no products, or ids of categories without names",
        "table.columns.category": f"{len(set(seen.survey.names)):,} different paths",
        "table.categories.deeper": f"{more:,} paths have more than three names; {kept}",
        "table.categories.shallower": f"{fewer:,} paths have fewer than three names; {kept}",
        "text": "what a model reads: description, title, or both",
        "experiments": "or some others of `runs:` in params.yaml, or `all`",
    }
    why |= {f"table.{key}": "as the file's first lines show" for key in layout}
    why |= {f"table.{key}": photos.why for key in photos.place}
    why |= {f"table.categories.{key}": reason for key, reason in paths.why.items()}
    why |= {f"table.columns.{role}": reason for role, reason in paths.why.items()}
    for role, column in found.columns.items():
        filled, distinct = found.facts.loc[column, ["filled", "distinct"]]
        why[f"table.columns.{role}"] = f"filled in {filled:.0%} of products, {distinct:,.0f} different ones"
    head = f"# Made by `python -m lib.check --source`. After a change, look again: python -m lib.check {name}"
    text = "\n".join([head, *_lines(content, why), ""])
    config.validate(TableSource, yaml.safe_load(text)["table"], f"catalogues/{name}.yaml", "table.")
    return Draft(name, text, feed.path, [*([paths.ids] if paths.ids else []), *photos.files], seen, doubts)


def _lines(keys: dict[str, Any], why: dict[str, str], above: str = "", indent: str = "") -> Iterator[str]:
    """Write keys in lines of YAML, each with the reason for its value."""
    for key, value in keys.items():
        if f"{above}{key}" in ("table", "table.columns", "table.categories"):
            yield f"{indent}{key}:"
            yield from _lines(value, why, f"{above}{key}.", f"{indent}  ")
        else:
            reason = " ".join(why.get(f"{above}{key}", "").split())
            line = f"{indent}{key}: {_flow(value)}"
            yield f"{line:<{_REASON}}  # {reason}" if reason else line


def _flow(value: Any) -> str:
    r"""Write a value in one line of YAML.

    >>> _flow([">", "a: b", "Default Category"]), _flow("\n")
    ("['>', 'a: b', Default Category]", '"\\n"')
    """
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**20)
    text = text.removesuffix("\n...\n").strip()
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text


# Photos


class Photos(NamedTuple):
    """Where the photos of products are: the key of their column, the keys of their place, why, and their files."""

    column: Mapping[str, str] = MappingProxyType({})
    place: Mapping[str, Any] = MappingProxyType({})
    why: str = ""
    files: tuple[Path, ...] = ()
    doubt: str = ""


def _photos(found: Recognised) -> Photos:
    """Look for photos beside the table, by the names in its column or by the products' ids."""
    folder, column = found.feed.path.parent, found.columns.get("image")
    ids = [text for text in found.feed.texts(found.columns["id"]) if text][:_SAMPLE]
    wanted = [({}, {"image_name": f"{{id}}{end}"}, [f"{one}{end}" for one in ids]) for end in _ENDS]
    hosts = Counter[str]()
    if column:
        first = list[str]()
        for cell in found.feed.cells(column):
            with suppress(ValueError):
                first.append(first_address(cell, column) or "")
        hosts.update(host for address in first if (host := urlsplit(address).netloc))
        names = [one.lstrip("/") for one in first if one and not urlsplit(one).netloc]
        wanted.insert(0, ({"image": column}, {}, names[:_SAMPLE]))
    places = [path for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix.lower() == ".zip"]
    held = {path: _held(path) for path in places}
    for keys, place, names in wanted:
        for path in [*places, folder] if names else []:
            there = [name for name in names if ((folder / name).is_file() if path == folder else name in held[path])]
            if 2 * len(there) >= len(names):
                kind = {"zip" if path.is_file() else "folder": path.name if path != folder else "."}
                files = {path} if path != folder else {folder / Path(name).parts[0] for name in there}
                why = f"{len(there):,} of {len(names):,} photos are there"
                return Photos(keys, {"images": kind, **place}, why, tuple(sorted(files)))
    if not hosts:
        return Photos(doubt="there are no photos that could be found: models read text and brand")
    asked = {"hosts": [host for host, _ in hosts.most_common(5)], "user_agent": "my-study (me@example.com)"}
    return Photos(
        {"# image": column or ""},
        {"# images": {"addresses": asked}},
        "nobody is asked unless you take the `# ` away, here and above, and say who you are",
        doubt=f"photos are on {', '.join(asked['hosts'])}: nobody is asked unless you say so in the catalogue's file",
    )


def _held(path: Path) -> set[str]:
    if path.is_dir():
        return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        return set(archive.namelist())
    return set()


# Placing


def name_of(path: Path) -> str:
    """Make a catalogue's name from a file's.

    >>> name_of(Path("WC Export-2026.csv.gz")), name_of(Path("2026.csv")), name_of(Path("Prüfung.xlsx"))
    ('wc_export_2026', 'feed_2026', 'pr_fung')
    """
    stem = re.sub(r"(\.(gz|bz2|zip|csv|tsv|txt|jsonl?|ndjson|parquet|xlsx|xml|tab|pq))+$", "", path.name.lower())
    name = re.sub("[^a-z0-9]+", "_", stem).strip("_")
    return name if name[:1].isalpha() and isinstance(yaml.safe_load(name), str) else f"feed_{name}".rstrip("_")


def add_to_params(text: str, name: str, source: str) -> str:
    r"""Return the text of `params.yaml` with one more catalogue under `study:`, and everything else as it was.

    >>> print(add_to_params("study:\n  demo:\n    source: a  # why\n# more\nothers: {}\n", "mine", "data/mine"))
    study:
      demo:
        source: a  # why
      mine: {source: data/mine, weights: lib/demo_shop/weights.safetensors}
    # more
    others: {}
    <BLANKLINE>
    """
    node: Any = yaml.compose(text, yaml.SafeLoader)
    study = last = next(value for key, value in node.value if key.value == "study")
    entry = f"{name}: {{source: {_flow(source)}, weights: {WEIGHTS}}}"
    if study.flow_style:
        at, entry = study.end_mark.index - 1, f"{', ' if study.value else ''}{entry}"
    else:
        while isinstance(last, yaml.MappingNode) and not last.flow_style:  # its own end is where the next key begins
            last = last.value[-1][1]
        at = f"{text}\n".index("\n", last.end_mark.index)
        entry = f"\n{' ' * study.value[0][0].start_mark.column}{entry}"
    return text[:at] + entry + text[at:]


def place(made: Draft, force: bool = False) -> str:
    """Put the table into `data/NAME/` unless it is below `data/` already, write the catalogue's file, and list it.

    Returns
    -------
    str
        What was done with the files.

    Raises
    ------
    StudyError
        If there is such a catalogue already, and it is not to be replaced.
    """
    root, path, name = config.root(), made.source.resolve(), made.name
    target, params = root / f"catalogues/{name}.yaml", root / "params.yaml"
    inside = path.is_relative_to(root / "data") and path.parent != root / "data"
    folder = path.parent if inside else root / "data" / name
    source = folder.relative_to(root).as_posix()
    copied = {} if inside else {folder / file.name: file for file in (path, *made.beside)}
    there = [] if force else [file for file in (target, *copied) if file.exists()]
    if there:
        raise StudyError(f"{there[0]} exists. `--name ANOTHER` gives this table another name, `--force` replaces it.")
    listed = {**config.load_params().study, **config.load_params().others}
    if name in listed and (root / listed[name].source).resolve() != folder.resolve():
        raise StudyError(
            f"params.yaml lists '{name}' with the source {listed[name].source}, not {source}. Give this table another "
            "name (`--name`), or change that line first."
        )
    for copy, file in copied.items():
        with whole(copy) as partial:
            (shutil.copytree if file.is_dir() else shutil.copy2)(file, partial)
    with whole(target) as partial:
        partial.write_text(made.text, "utf-8")
    if name not in listed:
        with whole(params) as partial:
            partial.write_text(add_to_params(params.read_text("utf-8"), name, source), "utf-8")
    names = ", ".join(file.name for file in copied.values())
    return f"Copied to {source}/: {names}." if copied else f"Its files stay in {source}/."
