"""`python -m lib.report CATALOGUE` makes a catalogue's site, and the index of all sites."""

import argparse
import sys

from lib.config import root
from lib.exceptions import StudyError
from lib.processes import end_with_dvc, measured
from lib.report.site import build, write_index


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.report", description=__doc__)
    parser.add_argument("catalogue", nargs="?", help="make this catalogue's site, and the index of all sites")
    parser.add_argument("--index", action="store_true", help="rewrite reports/index.html only")
    options = parser.parse_args(arguments)
    if not (options.catalogue or options.index):
        parser.error("name a catalogue, or give --index")
    end_with_dvc()
    try:
        if options.catalogue:
            with measured(root(), "report"):
                build(options.catalogue)
        else:
            write_index()
    except StudyError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
