"""Command line of `make data`."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.config import root
from lib.exceptions import StudyError
from lib.fetch.build import ITEMS, Origin, build


def main(arguments: Sequence[str] | None = None) -> int:
    """Build `data/` and check it against `data.dvc`; return the exit status."""
    parser = argparse.ArgumentParser(prog="make data", description="Build data/ and verify it.")
    parser.add_argument("--mirror", type=Path, help="a folder with the same content, instead of the network")
    options = parser.parse_args(arguments)
    try:
        if options.mirror and not options.mirror.is_dir():
            raise StudyError(f"MIRROR names {options.mirror}, which is not a folder.")
        made = build(root() / "data", Origin(root() / "build" / "cache" / "download", options.mirror))
        _check_pin()
    except (StudyError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run `make data` again to go on.", file=sys.stderr)
        return 130
    for item in ITEMS:
        print(f"data/{item.path}: {'made' if item.path in made else 'is there'}, verified")
    return 0


def _check_pin() -> None:
    """Ask DVC whether the folders are as `data.dvc` pins them; a file too many is also a difference."""
    if not (root() / "data.dvc").is_file():
        return
    command = [sys.executable, "-m", "dvc", "status", "data.dvc"]
    result = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=False)
    if result.returncode:
        raise StudyError(f"data/ is complete, but DVC cannot compare it with data.dvc.\n{result.stderr}")
    if "changed" in result.stdout:
        raise StudyError(f"data/ is not as data.dvc pins it. Remove what does not belong there.\n{result.stdout}")


if __name__ == "__main__":
    sys.exit(main())
