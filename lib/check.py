"""`python -m lib.check`: is all there that `dvc repro` will ask for? One message says what is not.

DVC itself would only name the first missing file, not how to get it.
"""

import sys

from lib.collect import KINDS
from lib.config import experiments, load_catalogue, load_params, load_section, studied
from lib.exceptions import StudyError


def check() -> None:
    """Validate `params.yaml`, and for each catalogue that it lists the catalogue's file, its source and its weights.

    Raises
    ------
    StudyError
        If a key or a value is wrong, or if a file is missing.
    """
    params = load_params()
    for name in {**params.study, **params.others}:
        load_section(name, KINDS[load_catalogue(name).kind].section)
        studied(name)
        experiments(name, params)


if __name__ == "__main__":
    try:
        check()
    except StudyError as error:
        sys.exit(str(error))
