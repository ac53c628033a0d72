"""The truth about a shop as a file beside it, for tests and notebooks; the shop never serves it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lib.artifacts import whole
from lib.shop.listings import truth
from lib.shop.web_faults import RATES, web_truth


def truth_table(products: int, seed: int, rates: Mapping[str, float] = RATES) -> pd.DataFrame:
    """Return the fields of `Truth` and of `WebTruth` as columns, a row for each record, in their order.

    >>> truth_table(200, seed=1).columns.tolist()[:3]
    ['product_id', 'family', 'kind']
    """
    both = zip(truth(products, seed), web_truth(products, seed, rates), strict=True)
    return pd.DataFrame([asdict(row) | asdict(web) for row, web in both])


def write_truth(path: Path, products: int, seed: int) -> None:
    """Write `truth_table` as Parquet.

    Raises
    ------
    StudyError
        If the file cannot be written.
    """
    with whole(path) as partial:
        truth_table(products, seed).to_parquet(partial, index=False)
