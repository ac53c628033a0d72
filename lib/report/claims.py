"""What the study page says of the paper's claims, and of simple models beside networks."""

from typing import Any

from lib.config import report_dir
from lib.tables import read_table
from lib.verdicts import headlines, overview, tallies


def claims_context(catalogue: str) -> dict[str, Any]:
    """Return what the templates need of `claims.csv` and `baselines.csv`.

    Raises
    ------
    StudyError
        If one of them is missing.
    """
    claims = overview(table := read_table(report_dir(catalogue, "claims.csv")))
    return {
        "headlines": headlines(read_table(report_dir(catalogue, "baselines.csv"))),
        "claims": {"ways": list(claims.columns), "rows": claims.reset_index().to_numpy().tolist()},
        "tallies": tallies(table),
    }
