"""Pairs of products that were labelled by hand: one product, one model in another colour or size, or neither.

`catalogues/NAME_pairs.csv` has a line for each pair, ids and verdicts alone: `a, b, first, second, stratum, weight,
half`. Two readings, `first` and `second` (yes or no), knew neither of one another nor of any grouping. Pairs were drawn
by stratum of similarity, each standing for `weight` pairs of the catalogue. One `half` (`choose`) served to fit the
weights of the match score and to choose where it cuts; the other (`confirm`) tells how good that is.

`python -m lib.clean.pairs NAME` fits these weights anew; `measure` tells precision and recall of any grouping.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from lib import config, schemas
from lib.clean.matching import SIGNS, Evidence
from lib.exceptions import StudyError

COLUMNS = ["a", "b", "first", "second", "stratum", "weight", "half"]
HALVES = ("choose", "confirm")
DRAWS = 1_000
MOST = 4.0  # a pair counts in a fit at most so many times as much as another


def path_of(catalogue: str) -> Path:
    """Return where a catalogue's labelled pairs stand, if there are some."""
    return config.root() / "catalogues" / f"{catalogue}_pairs.csv"


def are_labelled(catalogue: str) -> bool:
    """Tell whether there are labelled pairs of all that is studied: of a sample (`table.sample`) most are left out."""
    table = config.load_catalogue(catalogue).table or {}
    return path_of(catalogue).exists() and "sample" not in table


def load_pairs(catalogue: str, ids: pd.Series) -> pd.DataFrame:
    """Read labelled pairs.

    Parameters
    ----------
    ids
        The catalogue's product ids; a pair's products become their places in it.

    Returns
    -------
    DataFrame
        `COLUMNS`, `a` and `b` as row numbers; and `copy`: whether a reading says that they are (where the two disagree,
        half a pair: 0.5).

    Raises
    ------
    StudyError
        If a column or a value is missing, a verdict is none, the catalogue lacks an id, or a half has no copy.
    """
    path = path_of(catalogue)
    table = pd.read_csv(path, dtype={"a": str, "b": str})
    if list(table) != COLUMNS:
        raise StudyError(f"{path.name}: expected the columns {COLUMNS}. Found {list(table)}.")
    if (empty := table.columns[table.isna().any()].tolist()) or (table["weight"] <= 0).any():
        raise StudyError(f"{path.name}: expected a value in every line, and weights above 0. Found gaps in {empty}.")
    places = pd.Series(np.arange(len(ids)), index=ids.astype(str))
    listed = pd.concat([table["a"], table["b"]])
    if unknown := sorted(set(listed) - set(places.index)):
        raise StudyError(f"{path.name}: {len(unknown):,} ids are not in the catalogue, such as {unknown[:3]}.")
    for column in ("first", "second"):
        if other := sorted(set(table[column]) - {"yes", "no"}):
            raise StudyError(f"{path.name}: '{column}' should be yes or no. Found {other[:3]}.")
    table["copy"] = ((table["first"] == "yes").astype(float) + (table["second"] == "yes")) / 2
    for half in HALVES:
        rows = table[table["half"] == half]
        if not len(rows) or not (rows["copy"] > 0).any():
            raise StudyError(f"{path.name}: the half '{half}' has {len(rows)} pairs, and no copy among them.")
    return table.assign(a=places[table["a"]].to_numpy(), b=places[table["b"]].to_numpy())


def agreement(pairs: pd.DataFrame) -> tuple[float, float]:
    """Return the share of the pairs of which both readings say the same, and Cohen's kappa."""
    first, second = pairs["first"] == "yes", pairs["second"] == "yes"
    same = float((first == second).mean())
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return same, (same - chance) / (1 - chance)


def measure(pairs: pd.DataFrame, groups: dict[str, np.ndarray]) -> pd.DataFrame:
    """Estimate pair precision and recall of groupings, with 95% intervals by resampling pairs within their strata.

    Parameters
    ----------
    groups
        By name: each row's group.

    Returns
    -------
    DataFrame
        A row for each grouping and half: `groups`, `half`, `pairs` (that were labelled), and `precision` and `recall`,
        each with `_low` and `_high`.
    """
    rng, found = np.random.default_rng(0), []
    for half in HALVES:
        rows = pairs[pairs["half"] == half]
        draws = [np.arange(len(rows))]
        strata = list(rows.reset_index().groupby("stratum").indices.values())
        draws += [np.concatenate([rng.choice(one, len(one)) for one in strata]) for _ in range(DRAWS)]
        weight, copy = rows["weight"].to_numpy(), rows["copy"].to_numpy()
        for name, group in groups.items():
            linked = group[rows["a"]] == group[rows["b"]]
            right = np.array([(weight * copy * linked)[draw].sum() for draw in draws])
            said = np.array([(weight * linked)[draw].sum() for draw in draws])
            there = np.array([(weight * copy)[draw].sum() for draw in draws])
            record: dict[str, object] = {"groups": name, "half": half, "pairs": len(rows)}
            for what, of in {"precision": said, "recall": there}.items():
                share = right / np.where(of > 0, of, np.nan)
                low, high = np.nanquantile(share[1:], [0.025, 0.975]) if np.isfinite(share[0]) else (np.nan, np.nan)
                record |= {what: share[0], f"{what}_low": low, f"{what}_high": high}
            found.append(record)
    return pd.DataFrame(found)


def fit(pairs: pd.DataFrame, evidence: Evidence) -> dict[str, float]:
    """Fit the weights of the match score by logistic regression, on the half that serves to choose."""
    rows = pairs[pairs["half"] == "choose"]
    signs = evidence.signs(rows["a"].to_numpy(), rows["b"].to_numpy())
    scale = np.maximum(signs.std(axis=0), 1e-9)
    counts = np.minimum(np.sqrt(rows["weight"] / rows["weight"].min()), MOST)
    model = LogisticRegression(max_iter=5_000).fit(signs / scale, rows["copy"] >= 0.5, sample_weight=counts)
    weights = dict(zip(SIGNS, model.coef_[0] / scale, strict=True))
    return {name: float(f"{value:.3g}") for name, value in {"intercept": model.intercept_[0], **weights}.items()}


def main(arguments: list[str] | None = None) -> None:
    """Print the weights for `clean.match` in `params.yaml`."""
    from lib.clean.clean import clean_texts
    from lib.clean.duplicates import brands_of, photo_hashes

    parser = argparse.ArgumentParser("python -m lib.clean.pairs", description=__doc__)
    parser.add_argument("catalogue", metavar="NAME", help="a catalogue with labelled pairs, once it is collected")
    name = parser.parse_args(arguments).catalogue
    try:
        if not path_of(name).exists():
            raise StudyError(f"There are no labelled pairs of '{name}': {path_of(name)} is missing.")
        raw = schemas.read_table(config.build_dir(name, "raw", "products.parquet"), schemas.RAW_PRODUCTS)
        texts = clean_texts(raw)[0].assign(model=raw["model"])
        photos = photo_hashes(config.build_dir(name, "raw", "images.zip"), raw["image"].tolist())
        evidence = Evidence(texts, brands_of(texts), photos)
        for key, value in fit(load_pairs(name, raw["product_id"]), evidence).items():
            print(f"    {key}: {value}")
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
