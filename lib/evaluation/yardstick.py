"""Our models beside what others report on a published split of the same products."""

import numpy as np
import pandas as pd

from lib import config
from lib.clean.splits import test_rows
from lib.config import LEVELS
from lib.files import existing
from lib.training.metrics import Way, path_of, read, unpack, usual_decodings
from lib.training.runs import grid, study_of

EXPERIMENT = "yardstick"
ROWS = {"all": "all", "copied": "with a near-duplicate in training", "new": "without one"}


def compare(catalogue: str) -> pd.DataFrame:
    """Compare models on a catalogue's published split, which is its random one; near-duplicates count apart.

    Returns
    -------
    DataFrame
        `model` (who reports it, or a variant), `measured_on`, `rows` (a value of `ROWS`), `share` of the part's rows,
        `seeds`, and the accuracies `level_1` to `level_3` and `path`, means over the seeds. No row where the catalogue
        has no yardstick, or does not take the experiment.
    """
    columns = ["model", "measured_on", "rows", "share", "seeds", *LEVELS, "path"]
    reported, study = config.load_catalogue(catalogue).yardstick, study_of(catalogue)
    if reported is None or EXPERIMENT not in config.experiments(catalogue, study):
        return pd.DataFrame(columns=columns)
    about: dict[str, object] = {"model": reported.source, "measured_on": reported.measured_on, "rows": ROWS["all"]}
    found: list[dict[str, object]] = [{**about, "share": 1.0} | dict(reported.accuracy.items())]
    path = existing(config.build_dir(catalogue, "clean", "products.parquet"))
    products = pd.read_parquet(path, columns=["group", "random_split"])
    rows, train = test_rows(products, "random"), products[products["random_split"] == "train"]
    copied = products["group"].iloc[rows].isin(train["group"]).to_numpy()
    kinds = {"all": np.ones(len(rows), bool), "copied": copied, "new": ~copied}
    only = study.model_copy(update={"runs": {EXPERIMENT: study.runs[EXPERIMENT]}})
    for variant in only.variants:
        runs = [run for run in grid(variant, only, catalogue) if run.split == "random"]
        outcomes = read(path_of(catalogue, variant)) if runs else {}
        of_seeds = [outcomes[run.key(len(train) if run.size == "all" else run.size)] for run in runs]
        for kind, chosen in kinds.items() if runs else ():
            decoding = usual_decodings((variant, way.decoding) for way in of_seeds[0])[variant]
            right = [unpack(one[Way(decoding, "test")], len(rows))[chosen] for one in of_seeds]
            if chosen.any():
                *means, _ = np.mean(right, axis=(0, 1)).tolist()
                about = {"model": variant, "measured_on": "test", "rows": ROWS[kind], "share": float(chosen.mean())}
                found.append({**about, "seeds": len(runs), **dict(zip((*LEVELS, "path"), means, strict=True))})
    return pd.DataFrame(found, columns=columns)
