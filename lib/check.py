"""Look before anything runs: at the settings, at a catalogue's table, or at a feed that nobody has described yet.

    python -m lib.check                  are params.yaml, all catalogues' files and their sources there and valid?
    python -m lib.check NAME...          what the tables of these catalogues hold, and what would become of it
    python -m lib.check --source FILE    recognise a feed, and write catalogues/NAME.yaml for it

FILE may be CSV, TSV, JSON, JSON lines, XML, Parquet or a spreadsheet, also compressed. It is copied to data/NAME/
unless it is below data/ already, and listed in params.yaml. NAME is made from the file's name, or given by --name.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lib import config
from lib.collect import KINDS
from lib.collect.columns import ROWS, told
from lib.collect.draft import Draft, Seen, name_of, place, see
from lib.collect.paths import to_levels
from lib.collect.recognise import NAMELESS, recognise
from lib.collect.table import TableSource
from lib.exceptions import StudyError, nearest

_CELL = 60  # characters of a text that are shown


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


def look(name: str) -> list[str]:
    """Read the table of a catalogue, and say what is in it."""
    kind = KINDS[config.load_catalogue(name).kind]
    section, notices = config.load_section(name, kind.section), Counter[str]()
    if not isinstance(section, TableSource):
        return [f"'{name}' is no table (its kind is {config.load_catalogue(name).kind}): its settings are valid."]
    share = config.load_params().clean.max_reject_share
    seen = see(kind.read(name, section, notices), section.categories, share, notices)
    return [f"'{name}': {len(seen.records):,} products in {section.file}.", *described(seen)]


def described(seen: Seen) -> list[str]:
    """Say how deep paths are, what each choice would do, what was noticed and rejected, and show three products."""
    records, rejects, survey = seen
    problems = survey.problems(records)
    rejects, lines = [*rejects, *problems.values()], survey.tables()
    reasons = Counter(reject.reason for reject in rejects)
    examples = {reject.reason: reject.detail for reject in reversed(rejects)}
    if reasons:
        lines += [
            "",
            "Rejected, or left out when it is cleaned:",
            *(f"  {count:,} {reason}, such as {examples[reason]}" for reason, count in reasons.items()),
        ]
    if notices := survey.notices():
        lines += ["", "Noticed:", *(f"  {count:,} {text}" for text, count in notices.items())]
    lines += ["", "Three products:"]
    different = {
        to_levels(names, survey.rule): record
        for place, (record, names) in enumerate(zip(records, survey.names, strict=True))
        if place not in problems
    }
    for levels in [*different][:: max(len(different) // 3, 1)][:3]:
        record = different[levels]
        texts = [
            f"{text[:_CELL]}..." if len(text) > _CELL else text
            for text in (" ".join(text.split()) for text in (record.brand, record.title, record.description) if text)
        ]
        lines += [f"  {record.product_id}: {' | '.join(texts)}", f"      {' > '.join(map(str, levels))}"]
    return lines


def write(path: Path, name: str | None, force: bool) -> list[str]:
    """Recognise a feed, write its catalogue, and say what was found."""
    if not path.is_file():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise StudyError(f"There is no file {path}.{nearest(path.name, beside)}")
    if name and not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise StudyError(
            f"A catalogue's name has small letters, digits and `_`, such as '{name_of(Path(name))}'. Got '{name}'."
        )
    found = recognise(path)
    feed = found.feed
    draft = Draft(name or name_of(path), found, config.load_params().clean.max_reject_share)
    source, copied = place(draft, force)
    rows = (
        f"all {len(feed.read_rows):,} rows"
        if feed.whole
        else f"the first {ROWS:,} rows; the others are read at collecting"
    )
    has = " and ".join(f"'{'/'.join(group[:2])}'" for group in found.form.has)
    lines = [
        f"{path.name} is a table of {found.form.name}" + (f": it has the columns {has}." if has else "."),
        f"Read as {told(feed.layout)}. Looked at: {rows}; {len(draft.seen.records):,} products.",
        *([f"{feed.bad:,} lines could not be read."] if feed.bad else []),
        "",
        "Which column is what:",
    ]
    for role, column in found.columns.items():
        lines.append(f"  {role:<12} {column.name} ({column.told})")
    for role, column_name in found.paths.columns.items():
        lines.append(f"  {role:<12} {column_name}")
    lines += [f"  {key:<12} {value!r}: {found.paths.why[key]}" for key, value in found.paths.rule.items()]
    lines += described(draft.seen)
    lines += ["", "Look at:", *(f"  {text}" for text in _doubts(draft))]
    lines += ["", f"Written: catalogues/{draft.name}.yaml, with a comment on each choice, and a line in params.yaml."]
    lines += [f"Copied to {source}/: {', '.join(copied)}."] if copied else [f"Its files stay in {source}/."]
    lines += [
        "",
        f"Next:  dvc repro clean@{draft.name}",
        f"Then:  dvc repro report@{draft.name} studies this catalogue alone; make repro all that params.yaml lists.",
    ]
    return lines


def _doubts(draft: Draft) -> list[str]:
    """Say what a person should look at."""
    found, photos = draft.found, draft.photos
    doubts = [f"there is no {role}" for role in ("title", "description", "brand") if role not in found.columns]
    if photos is None:
        doubts.append("there are no photos that could be found: models read text and brand")
    elif photos.hosts:
        doubts.append(f"photos are {photos.why}: nobody is asked unless you say so in catalogues/{draft.name}.yaml")
    if found.paths.ids_alone:
        count = f"{found.paths.ids_alone:.1%} of products have a category that is only a number, and are left out"
        doubts.append(f"{count} (leave_out_rows). {NAMELESS}")
    if len(found.feed.rows) < 1000:
        doubts.append(f"{len(found.feed.rows):,} products are few: differences between models will hardly show")
    return [*doubts, "do the three products above have the right paths?"]


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
            print("\n".join(write(given.source, given.name, given.force)))
            return 0
        check(given.names)
        for name in given.names:
            print("\n".join(look(name)))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    if not given.names:
        print("params.yaml and the files of all its catalogues are valid.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
