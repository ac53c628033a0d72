"""Writes a first `catalogues/NAME.yaml` for a table that was recognised, and its line in `params.yaml`."""

import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from lib import config
from lib.collect.cells import first_address
from lib.collect.mapping import Product, TableMapping, left_out, to_product
from lib.collect.measure import ROWS
from lib.collect.merging import merge
from lib.collect.paths import CategoryRule, load_ids
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
    files
        What belongs into the catalogue's source folder: the table first.
    seen
        What the table's first rows hold, by this file.
    doubts
        What a person should look at.
    """

    name: str
    text: str
    files: list[Path]
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
    choices, depths = seen.survey.choices(), seen.survey.depths()["products"]
    fewer, more = (depths[which].sum() for which in (depths.index < len(LEVELS), depths.index > len(LEVELS)))
    order = (
        ["refuse", "ends_here", "repeat", "drop"] if fewer < depths.sum() else ["refuse", "repeat", "ends_here", "drop"]
    )
    choices["order"] = choices["shallower"].map(order.index)
    best = choices.sort_values(["stops", "products", "order", "deeper"], ascending=[True, False, True, False]).iloc[0]
    rule = paths.rule | {key: best[key] for key in ("shallower", "deeper") if best[key] != "refuse"}
    seen = seen._replace(survey=replace(seen.survey, rule=CategoryRule(**rule)))
    kept = f"{best['products']:,} of {depths.sum():,} products are kept"

    photos = _photos(found)
    doubts = [f"there is no {role}" for role in ("title", "description", "brand") if role not in columns]
    doubts += [photos.doubt] if photos.doubt else []
    if paths.unnamed:
        share = f"{len(paths.unnamed) / len(paths.names):.1%} of products have a category that is only a number"
        doubts.append(f"{share}, and are left out (leave_out_rows). {NAMELESS}")
    if len(feed.rows) < 1000:
        doubts.append(f"{len(feed.rows):,} products are few: differences between models will hardly show")

    read = "title" not in columns or found.facts["filled"].get(columns.get("description"), 0) >= 0.5
    sizes, seeds = next(value for least, value in reversed(SIZES.items()) if len(feed.rows) >= least)
    layout = {k: v for k, v in feed.layout.as_keys().items() if k != "format" or v != guess_format(feed.path.name)}
    why = paths.why | {
        "file": f"{len(feed.read):,} rows were looked at, and {feed.bad:,} could not be read",
        "leave_out_rows": "no products, or ids of categories without names",
        "category": f"{len(set(seen.survey.names)):,} different paths",
        "deeper": f"{more:,} paths have more than three names; {kept}",
        "shallower": f"{fewer:,} paths have fewer than three names; {kept}",
        "images": photos.why,
    }
    for role, column in found.columns.items():
        filled, distinct = found.facts.loc[column, ["filled", "distinct"]]
        why[role] = f"filled in {filled:.0%} of products, {distinct:,.0f} different ones"

    count = f"{'' if feed.whole else 'more than '}{len(feed.rows):,} products"
    text = _FILE.format(
        name=name,
        title=_flow(name.replace("_", " ").capitalize()),
        description=_flow(f"{count}, from a table of {found.form.name}."),
        table=_lines({"file": feed.path.name, **layout, **keys, "columns": None}, why, "  "),
        columns=_lines(columns | photos.column, why, "    "),
        categories=f"  categories:\n{_lines(rule, why, '    ')}" if rule else "",
        photos=_lines(photos.place, why, "  "),
        text="[description]" if read else _flow([key for key in ("title", "description") if key in columns]),
        sizes=_flow(sizes),
        seeds=seeds,
    )
    config.validate(TableSource, yaml.safe_load(text)["table"], f"catalogues/{name}.yaml", "table.")
    return Draft(name, text, [feed.path, *([paths.ids] if paths.ids else []), *photos.files], seen, doubts)


_FILE = """\
# Made by `python -m lib.check --source`. After a change, look again: python -m lib.check {name}
title: {title}
description: {description}
kind: table
publish_examples: false                       # true: the report may show texts and photos of products

table:
{table}  columns:
{columns}{categories}{photos}
text: {text}  # what a model reads: description, title, or both
image: {{backbone: small_vgg, size: 64}}
train_sizes: {sizes}
seeds: {seeds}
experiments: [core, deploy]                   # or some others of `runs:` in params.yaml, or `all`
"""


def _lines(keys: Mapping[str, Any], why: Mapping[str, str], indent: str) -> str:
    """Write keys in lines of YAML, each with the reason for its value."""
    text = ""
    for key, value in keys.items():
        line, reason = f"{indent}{key}: {_flow(value)}", " ".join(why.get(key, "").split())
        text += (f"{line:<{_REASON}}  # {reason}\n" if reason else f"{line}\n") if value else ""
    return text


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

    column: dict[str, Any]
    place: dict[str, Any]
    why: str
    files: list[Path]
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
    for keys, place, names in wanted:
        for path in [*places, folder] if names else []:
            there = _there(path, names)
            if 2 * len(there) >= len(names):
                kind = {"zip" if path.is_file() else "folder": path.name if path != folder else "."}
                files = {path} if path != folder else {folder / Path(name).parts[0] for name in there}
                why = f"{len(there):,} of {len(names):,} photos are there"
                return Photos(keys, {"images": kind, **place}, why, sorted(files))
    if not hosts:
        return Photos({}, {}, "", [], "there are no photos that could be found: models read text and brand")
    asked = {"hosts": [host for host, _ in hosts.most_common(5)], "user_agent": "my-study (me@example.com)"}
    doubt = f"nobody is asked for photos on {', '.join(asked['hosts'])}, unless `# ` is taken away before both lines"
    return Photos({"# image": column}, {"# images": {"addresses": asked}}, "", [], doubt)


def _there(place: Path, names: list[str]) -> list[str]:
    """Return those names that a folder or an archive has."""
    with suppress(zipfile.BadZipFile, OSError):
        if place.is_dir():
            return [name for name in names if (place / name).is_file()]
        with zipfile.ZipFile(place) as archive:
            return sorted({*names} & {*archive.namelist()})
    return []


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
    root, path, name = config.root(), made.files[0].resolve(), made.name
    target, params = root / f"catalogues/{name}.yaml", root / "params.yaml"
    inside = path.is_relative_to(root / "data") and path.parent != root / "data"
    folder = path.parent if inside else root / "data" / name
    source = folder.relative_to(root).as_posix()
    copied = {} if inside else {folder / file.name: file for file in made.files}
    there = [] if force else [file for file in (target, *copied) if file.exists()]
    if there:
        raise StudyError(f"{there[0]} exists. `--name ANOTHER` gives this table another name, `--force` replaces it.")
    listed = {**config.load_params().study, **config.load_params().others}
    if name in listed and (root / listed[name].source).resolve() != folder.resolve():
        raise StudyError(
            f"params.yaml lists '{name}' with another source, {listed[name].source}. Take another `--name`."
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
