"""Writes a first `catalogues/NAME.yaml` for a table that was recognised, and its line in `params.yaml`."""

import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from lib import config
from lib.collect.cells import first_address, get
from lib.collect.columns import ROWS
from lib.collect.mapping import Product, TableMapping, left_out, merge, to_product
from lib.collect.paths import CategoryRule, depth_of, load_ids
from lib.collect.recognise import Recognised
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
_SAMPLE = 500  # photos that are sought beside the table


@dataclass(frozen=True)
class Photos:
    """Where the photos of products are: keys of `table:`, or hosts that would have to be asked."""

    keys: dict[str, Any]
    files: tuple[Path, ...]
    why: str
    hosts: tuple[str, ...] = ()


def seek_photos(found: Recognised) -> Photos | None:
    """Look for photos beside the table, by the names in its column or by the products' ids."""
    folder, ids = found.feed.path.parent, found.columns["id"].held[:_SAMPLE]
    wanted: list[tuple[dict[str, Any], list[str]]] = []
    hosts: Counter[str] = Counter()
    if "image" in found.columns:
        name = found.columns["image"].name
        first = [first for row in found.feed.rows if (first := _first(row, name))]
        hosts.update(host for address in first if (host := urlsplit(address).netloc))
        wanted.append(({"columns": {"image": name}}, [one for one in first if not urlsplit(one).netloc][:_SAMPLE]))
    wanted += [
        ({"image_name": f"{{id}}{end}"}, [f"{one}{end}" for one in ids]) for end in (".jpg", ".jpeg", ".png", ".webp")
    ]
    places = [
        (path, _held(path)) for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix.lower() == ".zip"
    ]
    for keys, names in wanted:
        for path, held in [*places, (folder, None)] if names else []:
            count = sum((folder / one).is_file() if held is None else one in held for one in names)
            if 2 * count >= len(names):
                kind = "zip" if path.is_file() else "folder"
                place = path.name if path != folder else "."
                files = {path} if path != folder else {folder / Path(one).parts[0] for one in names}
                there = tuple(sorted(file for file in files if file.exists()))
                return Photos({**keys, "images": {kind: place}}, there, f"{count:,} of {len(names):,} photos are there")
    if not hosts:
        return None
    return Photos({}, (), f"addresses on {', '.join(hosts)}", tuple(host for host, _ in hosts.most_common(5)))


def _first(row: dict[str, Any], name: str) -> str | None:
    try:
        return first_address(get(row, name), name)
    except ValueError:
        return None


def _held(path: Path) -> set[str]:
    if path.is_dir():
        return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return set()


def choose_depths(survey: Survey) -> dict[str, str]:
    """Choose what becomes of paths of other depths: what keeps most products, and changes least of them."""
    table = survey.choices()
    ends = all(len(names) < len(LEVELS) for names in survey.counts)
    order = ["refuse", "repeat", "ends_here", "drop"] if ends else ["refuse", "ends_here", "repeat", "drop"]
    table["order"] = table["shallower"].map(order.index)
    best = table.sort_values(["stops", "products", "order", "deeper"], ascending=[True, False, True, False]).iloc[0]
    return {key: best[key] for key in ("shallower", "deeper") if best[key] != "refuse"}


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


class Draft:
    """A catalogue's first file.

    Parameters
    ----------
    name
        Of the catalogue.
    found
        What its table was recognised as.
    max_share
        How many products may be lost.
    """

    def __init__(self, name: str, found: Recognised, max_share: float) -> None:
        self.name, self.found, self.photos = name, found, seek_photos(found)
        self.columns = {role: column.name for role, column in found.columns.items() if role != "image"}
        self.columns |= found.paths.columns
        self.rule = dict(found.paths.rule)
        ids = load_ids(found.paths.ids, self.mapping().categories) if found.paths.ids else None
        self.seen = self._see(ids, max_share)
        if (several := self.seen.survey.several) and several[1] > max_share * len(self.seen.records):
            self.rule |= {"between": several[0], "take": "deepest"}
            why = f"{several[1]:,} cells look like several paths, such as {several[2]}"
            found.paths.why.update({"between": why, "take": "of these"})
            self.seen = self._see(ids, max_share)
        self.depths = choose_depths(self.seen.survey)
        self.rule |= self.depths
        self.seen = self.seen._replace(survey=replace(self.seen.survey, rule=self.mapping().categories))
        self.why = self._why(self.seen.survey)

    def _see(self, ids: dict[str, str] | None, max_share: float) -> Seen:
        mapping, notices = self.mapping(), Counter[str]()
        rows = (row for row in self.found.feed.read_rows if not left_out(row, mapping))
        products = (to_product(row, mapping, ids, notices) for row in rows)
        return see(products, mapping.categories, max_share, notices)

    def mapping(self) -> TableMapping:
        """Return what turns a row into a product."""
        keys: dict[str, Any] = {"columns": self.columns, "categories": self.rule}
        return TableMapping(**keys, language=self.found.feed.language, leave_out_rows=self.found.out)

    def _why(self, survey: Survey) -> dict[str, str]:
        depths, total = Counter(map(depth_of, survey.names)), len(survey.names)
        fewer = sum(count for depth, count in depths.items() if 0 < depth < len(LEVELS))
        deeper = sum(count for depth, count in depths.items() if depth > len(LEVELS))
        chosen = survey.choices().set_index(["shallower", "deeper"])
        kept: Any = chosen.loc[
            (self.depths.get("shallower", "refuse"), self.depths.get("deeper", "refuse")), "products"
        ]
        keeps = f"{kept:,} of {total:,} products are kept"
        none = f", and {depths[0]:,} products none" if depths[0] else ""
        lacks = f"{fewer:,} paths have fewer than three names{none}"
        return {"deeper": f"{deeper:,} paths have more than three names; {keeps}", "shallower": f"{lacks}; {keeps}"}

    @property
    def text(self) -> list[str]:
        """The fields that a model reads."""
        described = self.found.columns.get("description")
        if described is None:
            return ["title"]
        return ["description"] if described.filled >= 0.5 or "title" not in self.columns else ["title", "description"]

    def yaml(self, file: str) -> str:
        """Write the catalogue's file, with a comment on each choice.

        Parameters
        ----------
        file
            Name of the table below the catalogue's source folder.
        """
        found, feed = self.found, self.found.feed
        count = f"{len(feed.rows):,}" if feed.whole else f"more than {len(feed.rows):,}"
        looked = (
            f"all {len(feed.rows):,} products"
            if feed.whole
            else f"the first {ROWS:,} rows, the others when they are read"
        )
        lines = [
            f"# Made by `python -m lib.check --source`, which looked at {looked}.",
            f"# Change what is wrong, and look again: python -m lib.check {self.name}",
            *_key("title", self.name.replace("_", " ").capitalize()),
            *_key("description", f"{count} products, from a table of {found.form.name}."),
            *_key("kind", "table"),
            *_key("publish_examples", False, "true: the report may show texts and photos of products"),
            "",
            "table:",
            *_key(
                "file", file, f"{len(feed.read_rows):,} rows were read; {feed.bad:,} could not be" * (feed.bad > 0), 1
            ),
        ]
        for key, value in feed.layout.as_keys().items():
            if key != "format" or value != guess_format(file):
                lines += _key(key, value, "as the file's first lines show", 1)
        lines += ["  columns:"]
        different = f"{len(set(self.seen.survey.names)):,} different paths"
        for role, name in self.columns.items():
            reason = found.columns[role].told if role in found.columns else found.paths.why.get(role)
            lines += _key(role, name, reason or different, 2)
        lines += self._photo_column()
        if self.rule:
            lines += ["  categories:"]
            for key, value in self.rule.items():
                lines += _key(key, value, self.why.get(key) or found.paths.why[key], 2)
        if feed.language:
            lines += _key("language", feed.language, "of lists of texts by language; most rows have this one", 1)
        if found.out:
            lines += [f"{'  leave_out_rows:':<{_REASON}}  # rows that are no products, or not used"]
            for column, values in found.out.items():
                numbers = "ids of categories without names" if column in found.paths.columns.values() else ""
                lines += _key(column, values, numbers, 2)
        lines += self._photo_place()
        sizes, seeds = next(value for least, value in reversed(SIZES.items()) if len(feed.rows) >= least)
        few = " few for a study" if len(feed.rows) < 1000 else ""
        lines += [
            "",
            *_key("text", self.text, "what a model reads: description, title, or both"),
            *_key("image", {"backbone": "small_vgg", "size": 64}),
            *_key("train_sizes", sizes, f"of {count} products, about two in three are for training;{few}".rstrip(";")),
            *_key("seeds", seeds),
            *_key("experiments", ["core", "deploy"], "or some others of `runs:` in params.yaml, or `all`"),
        ]
        text = "\n".join(lines) + "\n"
        content = yaml.safe_load(text)
        config.validate(TableSource, content["table"], f"catalogues/{self.name}.yaml", "table.")
        return text

    def _photo_column(self) -> list[str]:
        if self.photos is None:
            return []
        if self.photos.hosts:
            return [f"    # image: {_flow(self.found.columns['image'].name)}"]
        return [line for key, value in self.photos.keys.get("columns", {}).items() for line in _key(key, value, "", 2)]

    def _photo_place(self) -> list[str]:
        if self.photos is None:
            return []
        if not self.photos.hosts:
            keys = {key: value for key, value in self.photos.keys.items() if key != "columns"}
            return [line for key, value in keys.items() for line in _key(key, value, self.photos.why, 1)]
        return [
            "  # Photos are behind addresses, and nobody is asked for them unless you say so: take the `# ` away from",
            "  # the lines below and from `image` above, and say who you are. Ask the owners of the hosts first.",
            "  # images:",
            "  #   addresses:",
            f"  #     hosts: {_flow(list(self.photos.hosts))}",
            '  #     user_agent: "my-study (me@example.com)"',
        ]


def _key(key: str, value: Any, reason: str = "", indent: int = 0) -> list[str]:
    line = f"{'  ' * indent}{_flow(key)}: {_flow(value)}"
    return [f"{line:<{_REASON}}  # {' '.join(reason.split())}" if reason else line]


def _flow(value: Any) -> str:
    r"""Write a value in one line of YAML.

    >>> _flow([">", "a: b", "Default Category"]), _flow("\n")
    ("['>', 'a: b', Default Category]", '"\\n"')
    """
    text = (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**20).removesuffix("\n...\n").strip()
    )
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text


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
    study = next(value for key, value in node.value if key.value == "study")
    entry = f"{name}: {{source: {_flow(source)}, weights: {WEIGHTS}}}"
    lines = text.splitlines()
    if study.flow_style:
        place = study.end_mark.index - 1
        return f"{text[:place]}{', ' if study.value else ''}{entry}{text[place:]}"
    last = study
    while isinstance(last, yaml.MappingNode) and last.value:
        last = last.value[-1][1]
    line = last.end_mark.line + (last.end_mark.column > 0 or last.start_mark.line == last.end_mark.line)
    return "\n".join([*lines[:line], f"{' ' * study.value[0][0].start_mark.column}{entry}", *lines[line:], ""])


def place(draft: Draft, force: bool = False) -> tuple[str, list[str]]:
    """Put the table into `data/NAME/` unless it is below `data/` already, write the catalogue's file, and list it.

    Returns
    -------
    source : str
        The catalogue's source folder, relative to the study.
    copied : list of str
        What was copied there.

    Raises
    ------
    StudyError
        If there is such a catalogue already, and it is not to be replaced.
    """
    root, path, name = config.root(), draft.found.feed.path.resolve(), draft.name
    target, params = root / f"catalogues/{name}.yaml", root / "params.yaml"
    if target.exists() and not force:
        raise StudyError(
            f"{target} exists. `--name ANOTHER` gives this table another name, and `--force` replaces the file."
        )
    inside = path.is_relative_to(root / "data") and path.parent != root / "data"
    folder = path.parent if inside else root / "data" / name
    source = folder.relative_to(root).as_posix()
    listed = {**config.load_params().study, **config.load_params().others}
    if name in listed and (root / listed[name].source).resolve() != folder.resolve():
        raise StudyError(
            f"params.yaml lists '{name}' with the source {listed[name].source}, not {source}. Give this table another "
            "name (`--name`), or change that line first."
        )
    text, copied = draft.yaml(path.name), list[str]()
    beside = [*([ids] if (ids := draft.found.paths.ids) else []), *(draft.photos.files if draft.photos else ())]
    for file in [] if inside else [path, *beside]:
        if (folder / file.name).exists() and not force:
            raise StudyError(
                f"{folder / file.name} exists. `--name ANOTHER` takes another folder, `--force` replaces it."
            )
        with whole(folder / file.name) as partial:
            (shutil.copytree if file.is_dir() else shutil.copy2)(file, partial)
        copied.append(file.name)
    with whole(target) as partial:
        partial.write_text(text, "utf-8")
    if name not in listed:
        with whole(params) as partial:
            partial.write_text(add_to_params(params.read_text("utf-8"), name, source), "utf-8")
    return source, copied
