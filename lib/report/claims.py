"""What the study page says of the paper's claims, and of simple models beside networks."""

from typing import Any

import pandas as pd

from lib.artifacts import existing
from lib.config import report_dir
from lib.verdicts import BLANK, headlines, overview, tallies


def claims_context(catalogue: str) -> dict[str, Any]:
    """Return what the templates need of `claims.csv` and `baselines.csv`.

    Raises
    ------
    StudyError
        If one of them is missing.
    """
    claims = overview(table := _read(catalogue, "claims.csv"))
    return {
        "headlines": headlines(_read(catalogue, "baselines.csv")),
        "claims": {"ways": list(claims.columns), "rows": claims.reset_index().to_numpy().tolist()},
        "tallies": tallies(table),
    }


def _read(catalogue: str, name: str) -> pd.DataFrame:
    return pd.read_csv(existing(report_dir(catalogue, name)), keep_default_na=False, na_values=BLANK)
