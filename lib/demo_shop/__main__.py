"""`python -m lib.demo_shop`: opens the demo shop for browsers and crawlers, or writes the truth about it to a file."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lib.demo_shop import truth
from lib.demo_shop.server import running
from lib.demo_shop.site import web_truth
from lib.exceptions import StudyError
from lib.files import refuse_folder, whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C, or write the truth; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.demo_shop", description="Open the demo shop on 127.0.0.1.")
    limits = {"products": (200, 1_000_000), "seed": (0, 2**63), "port": (0, 65_535)}
    parser.add_argument("--products", type=int, default=6000, help="how many, 200 to 1,000,000 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2015, help="which shop (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 for any that is free (default: %(default)s)")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="write what is true of each product, as Parquet")
    options = parser.parse_args(arguments)
    for name, (low, high) in limits.items():
        if not low <= (given := getattr(options, name)) <= high:
            parser.error(f"argument --{name}: expected a number from {low:,} to {high:,}, got {given:,}")
    try:
        if options.truth:
            refuse_folder(options.truth)
            both = zip(*(made(options.products, options.seed) for made in (truth, web_truth)), strict=True)
            with whole(options.truth) as partial:
                pd.DataFrame([asdict(row) | asdict(web) for row, web in both]).to_parquet(partial, index=False)
            return 0
        with running(options.products, options.seed, options.port) as shop:
            print(f"The shop is open at {shop.address} (Ctrl-C closes it).", flush=True)
            while True:
                time.sleep(3600)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Closed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
