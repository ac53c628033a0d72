"""Tag a table of new products: category path, confidence, and *auto* or *review* for each.

    python -m lib.tag NEW.csv --catalogue fashion --precision 0.99 -o tagged.csv

The table has columns product_id, brand, description (as the tagger reads them) and, with --images, image: the name of
each product's photo. Columns of the catalogue's own table are known by their names, and such a table is read as the
study reads it. A product may lack any of these, and the result says which it had. What is tagged automatically is
right as often as --precision says; everything else goes to a person, with the paths to choose from. What could not be
used is written to a second table, with the reason.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from lib import config
from lib.collect.layout import Format
from lib.exceptions import StudyError
from lib.tagging.incoming import check_field, parse_columns
from lib.tagging.stream import MOST_CANDIDATES, Job, tag_table


def job_of(argv: Sequence[str] | None) -> Job:
    """Read the command line.

    Raises
    ------
    StudyError
        If a column or a catalogue is unknown.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lib.tag", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "table",
        type=Path,
        help="new products: .csv, .tsv, .json, .jsonl, .xml, .xlsx, .parquet; .gz, .bz2, .zip of one",
    )
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the result: .csv or .parquet")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--catalogue", metavar="NAME", help="the tagger that the study trained for this catalogue")
    which.add_argument("--model", type=Path, metavar="FOLDER", help="a tagger's folder, wherever it is")
    add("--precision", type=float, required=True, metavar="SHARE", help="of what is tagged automatically, such as 0.99")
    add("--images", type=Path, metavar="PLACE", help="a folder or a zip archive of photos")
    add("--features", type=Path, metavar="FILE.npy", help="instead: the photos' vectors, a row for each of the table's")
    field = "where the table calls a field otherwise"
    add("--column", dest="columns", action="append", default=[], metavar="FIELD=COLUMN", help=field)
    add("--without", action="append", default=[], metavar="FIELD", help="a field that no product has")
    share = "share of products whose candidates should hold the right path (default: as the tagger's study chose)"
    add("--candidates", dest="shown", type=float, metavar="SHARE", help=share)
    most = f"of one product, at most; how many more there are is said (default: {MOST_CANDIDATES})"
    add("--max-candidates", type=int, default=MOST_CANDIDATES, metavar="N", help=most)
    raw = "leave cells of a CSV file as they are that a spreadsheet may take for formulas (default: ' before them)"
    add("--raw", action="store_true", help=raw)
    add("--rejects", type=Path, metavar="FILE", help="what could not be used (default: OUTPUT.rejects.csv)")
    add("--weights", type=Path, metavar="FILE", help="the photos' network (default: as params.yaml says)")
    reading = parser.add_argument_group("how the table is read, where it does not tell itself")
    add = reading.add_argument
    add("--format", choices=get_args(Format), help="(default: told by the first bytes, then by the name)")
    add("--encoding", help="of text, such as cp1252 (default: utf-8, or what the file's first bytes say)")
    add("--delimiter", metavar="CHARACTER", help="of CSV (default: a comma; of TSV a tab, which is written '\\t')")
    add("--quoting", metavar="none", help="of CSV: none, where quote marks are ordinary characters")
    add("--escape", metavar="CHARACTER", help="of CSV: takes the next character for what it is, such as '\\'")
    add("--skip-lines", type=int, metavar="N", help="lines, or rows of a spreadsheet, before the line of names")
    add("--sheet", metavar="NAME", help="of .xlsx; of JSON the list that holds the rows, of XML their element")
    given = vars(parser.parse_args(argv))
    catalogue = given.pop("catalogue")
    if catalogue is not None:
        config.load_catalogue(catalogue)
        given["model"] = config.build_dir(catalogue, "tagger")
    given["columns"] = parse_columns(given["columns"])
    given["without"] = [check_field(name) for name in given["without"]]
    given["delimiter"] = "\t" if given["delimiter"] == "\\t" else given["delimiter"]
    return Job(**given)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status: 0, 1 for an error, 2 for a wrong command, 130 if stopped."""
    try:
        job = job_of(argv)
        summary = tag_table(job)
    except StudyError as error:
        message, status = str(error), 1
    except KeyboardInterrupt:
        message, status = "Stopped. Nothing is written.", 130
    else:
        print(summary.text(job))
        return 0
    print(message, file=sys.stderr)  # only now that the error's progress bar has ended its line
    return status


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())
