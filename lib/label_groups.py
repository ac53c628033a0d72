"""What labelling each near-duplicate group once saves, and how often a copied label is right."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.artifacts import existing, read_json
from lib.bootstrap import group_weights, interval
from lib.config import LEVELS, build_dir
from lib.label_pool import Pool
from lib.truth import known_truth

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]

UNKNOWN = -1


def grouping_table(pool: Pool) -> pd.DataFrame:
    """Count the labels that cover the pool: one a product, or one a group.

    Returns
    -------
    DataFrame
        One row: `products, groups, saved` (share of the labels)`, in_groups` (products that have a copy)`, largest`.
    """
    sizes = np.bincount(pool.groups[pool.rows])
    sizes = sizes[sizes > 0]
    row = (len(pool.rows), len(sizes), 1 - len(sizes) / len(pool.rows), int(sizes[sizes > 1].sum()), int(sizes.max()))
    return pd.DataFrame([row], columns=["products", "groups", "saved", "in_groups", "largest"])


def copies_table(catalogue: str, pool: Pool) -> pd.DataFrame:
    """Say how often a label that is copied within its group is right, each of a group being equally likely asked for.

    Returns
    -------
    DataFrame
        `level` (a level, or path)`, against` (the product's own label, or the truth where it is known)`, copies`
        (products that get a copy)`, share, low, high`, and, against the truth, the same of products' own labels: `own,
        own_low, own_high`. Intervals are bootstrapped over groups. Empty where no product has a copy.
    """
    references: dict[str, Ints] = {"own label": pool.codes}
    if (truth := true_codes(catalogue)) is not None:
        references["truth"] = truth
    columns = ["level", "against", "copies", "share", "low", "high", "own", "own_low", "own_high"]
    rows = []
    for against, reference in references.items():
        known = pool.rows[(reference[pool.rows] != UNKNOWN).any(axis=1)]
        labels, right = (_with_path(codes[known]) for codes in (pool.codes, reference))
        for name, said, so in zip((*LEVELS, "path"), labels, right, strict=True):
            found = copied_right(said, so, pool.groups[known])
            if not found[:, -1].sum():
                continue
            shares = _shares(found)
            own = interval(shares[:, 1]) if against == "truth" else (np.nan,) * 3
            rows.append((name, against, round(found[:, -1].sum()), *interval(shares[:, 0]), *own))
    return pd.DataFrame(rows, columns=columns)


def copied_right(labels: Ints, reference: Ints, groups: Ints) -> Floats:
    """Count, group by group, the products that a copied label is right for.

    One product of a group of `m` is asked for, each as likely as the others, and `m - 1` get its label.

    Parameters
    ----------
    labels, reference
        What a label says, and what is so: (rows,) non-negative numbers of classes.
    groups
        (rows,)

    Returns
    -------
    float64 (groups, 3): expected copies that are right; of the same products, own labels that are; copies.

    Examples
    --------
    >>> copied_right(np.array([4, 4, 7, 7]), np.array([4, 4, 7, 4]), np.array([0, 0, 0, 1])).tolist()
    [[0.6666666666666666, 2.0, 2.0], [0.0, 0.0, 0.0]]
    """
    members = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(members).astype(float)
    table = pd.DataFrame({"group": members, "class": labels}).value_counts().rename("labels").to_frame()
    table = table.join(pd.DataFrame({"group": members, "class": reference}).value_counts().rename("right"), how="inner")
    pairs = (
        (table["labels"] * table["right"]).groupby("group").sum().reindex(range(len(sizes)), fill_value=0).to_numpy()
    )
    own = np.bincount(members, weights=labels == reference, minlength=len(sizes))
    return np.column_stack([(pairs - own) / sizes, own * (sizes - 1) / sizes, sizes - 1])


def true_codes(catalogue: str) -> Ints | None:
    """Return the true class of each product and level, -1 where nobody knows it, or None if nobody does for any."""
    true = known_truth(catalogue)
    if true is None:
        return None
    names = read_json(build_dir(catalogue, "clean", "taxonomy.json"))["levels"]
    products = pd.read_parquet(existing(build_dir(catalogue, "clean", "products.parquet")), columns=["product_id"])
    both = products.merge(true[["product_id", *LEVELS]], on="product_id", how="left")
    codes = [
        both[level].map({name: code for code, name in enumerate(of_level)}).fillna(UNKNOWN).to_numpy(np.int16)
        for level, of_level in zip(LEVELS, names, strict=True)
    ]
    return np.stack(codes, axis=1)


def _with_path(codes: Ints) -> list[Ints]:
    """Return the columns of codes, and the rows as whole numbers of their own."""
    wide = codes.astype(np.int64) + 1  # an unknown class is 0
    return [*wide.T, (wide * np.array([10**8, 10**4, 1])).sum(axis=1)]


def _shares(found: Floats) -> Floats:
    """Divide the sums of the first two columns by that of the last: as counted in row 0, then on draws of groups."""
    weights = np.vstack([np.ones(len(found)), group_weights(len(found))])
    totals = weights @ found
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Floats = totals[:, :2] / totals[:, 2:]
    return shares
