"""`python -m lib.report CATALOGUE` makes a catalogue's site; `--readme` rewrites the README's table of results."""

import argparse
import sys

from lib.errors import StudyError
from lib.report import build, update_readme, write_index


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.report", description=__doc__)
    parser.add_argument("catalogue", nargs="?", help="make this catalogue's site, and the index of all sites")
    parser.add_argument("--index", action="store_true", help="rewrite reports/index.html only")
    parser.add_argument("--readme", action="store_true", help="rewrite the table of results in README.md")
    options = parser.parse_args(arguments)
    if not (options.catalogue or options.index or options.readme):
        parser.error("name a catalogue, or give --index or --readme")
    try:
        if options.catalogue:
            build(options.catalogue)
        elif options.index:
            write_index()
        if options.readme:
            update_readme()
    except StudyError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
