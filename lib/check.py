"""Look before anything runs: at the settings, at a catalogue's table, or at a feed that nobody has described yet.

    python -m lib.check                  are params.yaml, all catalogues' files and their sources there and valid?
    python -m lib.check NAME...          what the tables of these catalogues hold, and what would become of it
    python -m lib.check --source FILE    recognise a feed, and write catalogues/NAME.yaml for it

FILE may be CSV, TSV, JSON, JSON lines, XML, Parquet or a spreadsheet, also compressed. It is copied to data/NAME/
unless it is below data/ already, and listed in params.yaml. NAME is made from the file's name, or given by --name.
"""

import argparse
import json
import re
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from jinja2 import Environment, PackageLoader

from lib import config
from lib.collect import KINDS
from lib.collect.cells import first_address
from lib.collect.mapping import Product, TableMapping, left_out, merge, to_product
from lib.collect.measure import ROWS
from lib.collect.paths import CategoryRule, to_levels
from lib.collect.recognise import NAMELESS, Recognised, recognise
from lib.collect.rows import guess_format
from lib.collect.survey import Survey
from lib.collect.table import TableSource
from lib.config import LEVELS
from lib.config.base import Record, Reject
from lib.exceptions import StudyError, nearest
from lib.files import whole

WEIGHTS = "lib/demo_shop/weights.safetensors"
_CELL = 60  # characters of a text that are shown
_ENDS = (".jpg", ".jpeg", ".png", ".webp")
_SAMPLE = 500  # photos that are sought beside the table


def check(names: Sequence[str] = ()) -> None:
    """Validate `params.yaml`, and for each catalogue that it lists the catalogue's file, its source and its weights.

    Parameters
    ----------
    names
        Only these catalogues; all that are listed if there are none.

    Raises
    ------
    StudyError
        If a key or a value is wrong, or if a file is missing.
    """
    params = config.load_params()
    for name in names or {**params.study, **params.others}:
        config.load_section(name, KINDS[config.load_catalogue(name).kind].section)
        config.studied(name)
        config.experiments(name, params)


# Looking


def look(name: str, most: int | None = None) -> list[str]:
    """Read a catalogue's table, or its first rows, and say how deep paths are, what each choice would do, and more."""
    kind = KINDS[config.load_catalogue(name).kind]
    section, notices = config.load_section(name, kind.section), Counter[str]()
    if not isinstance(section, TableSource):
        return [f"'{name}' is no table (its kind is {config.load_catalogue(name).kind}): its settings are valid."]
    read = islice(kind.read(name, section, notices), most)
    records, rejects, survey = _see(read, section.categories, notices)
    problems = survey.problems(records)
    rejects += problems.values()
    reasons = Counter(reject.reason for reject in rejects)
    examples = {reject.reason: reject.detail for reject in reversed(rejects)}
    lines = [f"'{name}': {len(records):,} products in {section.file}.", *survey.tables()]
    if reasons:
        lines.append("\nRejected, or left out when it is cleaned:")
        lines += [f"  {count:,} {reason}, such as {examples[reason]}" for reason, count in reasons.items()]
    if noticed := survey.notices():
        lines += ["\nNoticed:", *(f"  {count:,} {text}" for text, count in noticed.items())]
    lines.append("\nThree products:")
    different = {
        to_levels(names, survey.rule): record
        for place, (record, names) in enumerate(zip(records, survey.names, strict=True))
        if place not in problems
    }
    for levels in [*different][:: max(len(different) // 3, 1)][:3]:
        record = different[levels]
        texts = [shorten(text, _CELL) for text in (record.brand, record.title, record.description) if text]
        lines += [f"  {record.product_id}: {' | '.join(texts)}", f"      {' > '.join(map(str, levels))}"]
    return lines


def _see(
    items: Iterable[Record | Product | Reject], rule: CategoryRule, notices: Counter[str]
) -> tuple[list[Record], list[Reject], Survey]:
    """Merge a table's rows as collecting does, and survey the paths of the products."""
    read = list(items)
    products, rejects = merge((item for item in read if isinstance(item, Product)), notices)
    records = [record for record, _ in products]
    survey = Survey.of(records, rule, config.load_params().clean.max_reject_share, notices)
    return records, [*(item for item in read if isinstance(item, Reject)), *rejects], survey


# Writing a catalogue


def write(path: Path, name: str | None, force: bool) -> list[str]:
    """Recognise a feed, write its catalogue, and say what was found."""
    if not path.is_file():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise StudyError(f"There is no file {path}.{nearest(path.name, beside)}")
    if name and not re.fullmatch("[a-z][a-z0-9_]*", name):
        good = name_of(Path(name))
        raise StudyError(f"A catalogue's name has small letters, digits and `_`, such as '{good}'. Got '{name}'.")
    name, found = name or name_of(path), recognise(path)
    feed, paths = found.feed, found.paths
    columns = {role: column for role, column in found.columns.items() if role != "image"} | paths.columns
    keys: dict[str, Any] = {"columns": columns, "language": feed.language, "leave_out_rows": found.out}
    mapping = TableMapping(**keys, categories=CategoryRule(**paths.rule))
    items = (to_product(row, mapping, paths.ids) for row in feed.read if not left_out(row, mapping))
    *_, survey = _see(items, mapping.categories, Counter())

    # Of paths that are deeper or shallower, what keeps most products, and changes least of them.
    choices, depths = survey.choices(), survey.depths()["products"]
    fewer, more = (depths[which].sum() for which in (depths.index < len(LEVELS), depths.index > len(LEVELS)))
    fills = ["ends_here", "repeat"] if fewer < depths.sum() else ["repeat", "ends_here"]
    choices["order"] = choices["shallower"].map(["refuse", *fills, "drop"].index)
    best = choices.sort_values(["stops", "products", "order", "deeper"], ascending=[True, False, True, False]).iloc[0]
    rule = paths.rule | {key: best[key] for key in ("shallower", "deeper") if best[key] != "refuse"}
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
    sizes = [1000, 3000] if len(feed.rows) >= ROWS else [500, 1500] if len(feed.rows) >= 3000 else []
    layout = {k: v for k, v in feed.layout.as_keys().items() if k != "format" or v != guess_format(feed.path.name)}
    why = paths.why | {
        "file": f"{len(feed.read):,} rows were looked at, and {feed.bad:,} could not be read",
        "category": f"{len(survey.counts):,} different paths",
        "deeper": f"{more:,} paths have more than three names; {kept}",
        "shallower": f"{fewer:,} paths have fewer than three names; {kept}",
        "images": photos.why,
    }
    for role, column in found.columns.items():
        filled, distinct = found.facts.loc[column, ["filled", "distinct"]]
        why[role] = f"filled in {filled:.0%} of products, {distinct:,.0f} different ones"

    pages = Environment(loader=PackageLoader("lib.collect", ""), trim_blocks=True, lstrip_blocks=True, autoescape=False)
    pages.filters["flow"] = _flow
    text = pages.get_template("catalogue.yaml.j2").render(
        name=name,
        count=f"{'more than ' * (len(feed.read) + feed.bad == ROWS)}{len(feed.rows):,} products",
        form=found.form.name,
        table={"file": feed.path.name, **layout, "language": feed.language, "leave_out_rows": found.out},
        columns=columns | photos.column,
        categories=rule,
        photos=photos.place,
        why={key: " ".join(reason.split()) for key, reason in why.items()},
        text=["description"] if read else [key for key in ("title", "description") if key in columns],
        sizes=[*sizes, "all"],
        seeds=3 if len(feed.rows) >= 1000 else 1,
    )
    config.validate(TableSource, yaml.safe_load(text)["table"], f"catalogues/{name}.yaml", "table.")
    placed = place(
        name, text, [feed.path, *([feed.path.parent / rule["ids"]] if paths.ids else []), *photos.files], force
    )
    return [
        f"{feed.path.name} is a table of {found.form.name}. catalogues/{name}.yaml, listed in params.yaml, is now:\n",
        *(f"  {line}".rstrip() for line in text.splitlines()),
        *look(name, ROWS),
        "\nLook at:",
        *(f"  {doubt}" for doubt in doubts),
        f"  do the three products above have the right paths?\n\n{placed}\n",
        f"Next:  dvc repro clean@{name}",
        f"Then:  dvc repro report@{name} studies this catalogue alone; make repro all that params.yaml lists.",
    ]


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
    wanted: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
        ({}, {"image_name": f"{{id}}{end}"}, [f"{one}{end}" for one in ids]) for end in _ENDS
    ]
    hosts = list[str]()
    if column:
        texts = [text for text in found.feed.texts(column) if text and not text.startswith("{")]
        first = [urlsplit(first_address(text, column) or "") for text in texts]
        hosts = sorted({one.netloc for one in first if one.netloc})[:5]
        wanted.insert(0, ({"image": column}, {}, [one.path.lstrip("/") for one in first if not one.netloc][:_SAMPLE]))
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
    asked = {"hosts": hosts, "user_agent": "my-study (me@example.com)"}
    doubt = f"nobody is asked for photos on {', '.join(hosts)}, unless `# ` is taken away before both lines"
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


def place(name: str, text: str, files: list[Path], force: bool = False) -> str:
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
    root, path = config.root(), files[0].resolve()
    target, params = root / f"catalogues/{name}.yaml", root / "params.yaml"
    inside = path.is_relative_to(root / "data") and path.parent != root / "data"
    folder = path.parent if inside else root / "data" / name
    source = folder.relative_to(root).as_posix()
    copied = {} if inside else {folder / file.name: file for file in files}
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
        partial.write_text(text, "utf-8")
    if name not in listed:
        with whole(params) as partial:
            partial.write_text(add_to_params(params.read_text("utf-8"), name, source), "utf-8")
    names = ", ".join(file.name for file in copied.values())
    return f"Copied to {source}/: {names}." if copied else f"Its files stay in {source}/."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="catalogues whose tables are looked at")
    parser.add_argument("--source", type=Path, metavar="FILE", help="a feed to recognise")
    parser.add_argument("--name", help="what the catalogue of --source is called")
    parser.add_argument("--force", action="store_true", help="replace the catalogue's file and table if they are there")
    given = parser.parse_args(arguments)
    if given.source and given.names:
        parser.error("give a NAME to look at, or --source FILE, and not both; --name is what a new catalogue is called")
    try:
        if given.source:
            lines = write(given.source, given.name, given.force)
        else:
            check(given.names)
            lines = [line for name in given.names for line in look(name)]
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines) or "params.yaml and the files of all its catalogues are valid.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
