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
from textwrap import shorten

import pandas as pd

from lib import config
from lib.collect import KINDS
from lib.collect.draft import Seen, draft, name_of, place, see
from lib.collect.paths import depth_of
from lib.collect.recognise import recognise
from lib.collect.table import TableSource
from lib.config import LEVELS
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
    rejects = [*rejects, *survey.rejects(records).values()]
    choices = survey.choices()
    made = (choices["shallower"] == survey.rule.shallower) & (choices["deeper"] == survey.rule.deeper)
    choices["chosen"] = made.map({True: "<-", False: ""})
    reasons = Counter(reject.reason for reject in rejects)
    details = {reject.reason: reject.detail for reject in reversed(rejects)}
    lost = [(count, reason, details[reason]) for reason, count in reasons.items()]
    uneven = any(depth_of(names) != len(LEVELS) for names in survey.counts)
    lines = [
        *_table("How many names category paths have:", survey.depths().reset_index()),
        *_table("What becomes of other depths (categories.shallower and .deeper):", choices if uneven else choices[:0]),
        *_table("Rejected:", pd.DataFrame(lost, columns=["rows", "reason", "such as"])),
        *_table("Noticed:", pd.DataFrame(survey.notices().items(), columns=["what", "times"])),
        "",
        "Three products:",
    ]
    different = {survey.levels(names): record for record, names in zip(records, survey.names, strict=True)}
    paths = [levels for levels in different if isinstance(levels, tuple) and None not in levels]
    for levels in paths[:: max(len(paths) // 3, 1)][:3]:
        record = different[levels]
        texts = [shorten(text, _CELL) for text in (record.brand, record.title, record.description) if text]
        lines += [f"  {record.product_id}: {' | '.join(texts)}", f"      {' > '.join(map(str, levels))}"]
    return lines


def _table(title: str, frame: pd.DataFrame) -> list[str]:
    """Return a table's lines below its title; none if it has no rows."""
    text = frame.to_string(index=False, max_colwidth=_CELL, float_format="{:.1%}".format)
    return ["", title, *(f"  {line}" for line in text.splitlines())] if len(frame) else []


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
    made = draft(name or name_of(path), found, config.load_params().clean.max_reject_share)
    files = place(made, force)
    return [
        f"{path.name} is a table of {found.form.name}. catalogues/{made.name}.yaml, listed in params.yaml, is now:\n",
        *(f"  {line}".rstrip() for line in made.text.splitlines()),
        *described(made.seen),
        "\nLook at:",
        *(f"  {doubt}" for doubt in made.doubts),
        f"  do the three products above have the right paths?\n\n{files}\n",
        f"Next:  dvc repro clean@{made.name}",
        f"Then:  dvc repro report@{made.name} studies this catalogue alone; make repro all that params.yaml lists.",
    ]


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
