"""`python -m lib.shop`: opens the demo shop for browsers and crawlers, or writes the truth about it to a file."""

import argparse
import sys
import time
from collections.abc import Sequence

from lib.errors import StudyError
from lib.shop.server import running


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.shop", description="Open the demo shop on 127.0.0.1.")
    parser.add_argument("--products", type=int, default=6000, help="how many products (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2015, help="which shop (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        with running(options.products, options.seed, options.port) as shop:
            print(f"The shop is open at {shop.address}. Ctrl-C closes it.", flush=True)
            while True:
                time.sleep(3600)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
