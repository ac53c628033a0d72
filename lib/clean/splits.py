"""Held-out parts, and nested training sizes: all from a hash of the product's id, never from the order of rows."""

import hashlib
import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lib.config import LEVELS, SPLITS, Split, SplitParams
from lib.exceptions import StudyError

Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]

FEWEST_TESTED = 20  # of fewer test products nothing is asked but that there are some

# What makes the held-out parts differ from any seed's sample. Seeds are small, so these never meet one.
_FIRST_EDITION = 2**63 + 1, 2**63 + 2  # the splits by product and by single-linkage group that rules were set with
_TUNING, _DEVELOPMENT = 2**63 + 3, 2**63 + 4
_SALTS = dict(zip(SPLITS, range(2**63 + 5, 2**63 + 10), strict=True)) | {"loose": _FIRST_EDITION[1]}


def stable_hash(content: bytes) -> int:
    """Hash bytes to 64 bits (BLAKE2b), the same everywhere."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def sampling_key(product_ids: Iterable[str]) -> Keys:
    """Hash ids (`stable_hash`); the same id has the same key in every catalogue and on every machine.

    >>> sampling_key(["1163", "1164"])
    array([17098626610622433970, 10539964631641650946], dtype=uint64)
    """
    return np.array([stable_hash(name.encode("utf-8", "surrogatepass")) for name in product_ids], np.uint64)


def sampling_rank(keys: Keys, seed: int) -> Rows:
    """Return each row's place (0 is drawn first) in the order that `seed` gives the keys.

    Keys and seed go through SplitMix64's mixer (Steele, Lea & Flood, 2014), which is a bijection: distinct keys
    never tie, and equal ones keep the order of their rows (that of the ids, in a cleaned table).

    >>> sampling_rank(sampling_key(["a", "b", "c"]), seed=0)
    array([1, 2, 0])
    """
    order = np.argsort(_mix(keys, seed), kind="stable")
    rank = np.empty(len(keys), dtype=np.int64)
    rank[order] = np.arange(len(keys))
    return rank


def split_products(
    keys: Keys,
    groups: pd.DataFrame,
    paths: NDArray[np.integer],
    shares: SplitParams,
    development: float,
    given: NDArray[np.str_] | None = None,
) -> pd.DataFrame:
    """Split products in every way, each into `train`, `validation`, `test` and, where one is asked for, `development`.

    Parameters
    ----------
    groups
        Columns `group` and `loose_group`: each row's near-duplicate group, by this edition's rule and by the first's.
    paths
        Shape (rows, 3): class codes.
    development
        Share of the products that no split trains or tests on (`development_rows`).
    given
        Each row's part in a published split, which takes the place of the random one.

    Returns
    -------
    DataFrame
        A column `SPLIT_split` for each of `config.SPLITS`: `random` by product; `grouped` by group, and `grouped_2` and
        `grouped_3`, two more draws of it; `loose` by the first edition's groups. And `fresh`: whether the row was in no
        test part of the first edition's two splits, whose results were known when rules were set.

    Raises
    ------
    StudyError
        If a development part is asked for, and so many products can not be set aside, or parts are given.
    """
    if given is not None and development:
        raise StudyError("A catalogue that brings its split (`table.columns.part`) can have no `development` part.")
    group, loose = groups["group"].to_numpy(), groups["loose_group"].to_numpy()
    aside = development_rows(keys, group, paths, development)
    of = {"random": np.arange(len(keys)), "loose": loose}
    columns = {
        f"{name}_split": grouped_split(keys, of.get(name, group), shares, _SALTS[name], aside) for name in SPLITS
    }
    if given is not None:
        columns["random_split"] = given
    tested = [
        grouped_split(keys, by, shares, salt) == "test" for by, salt in zip(of.values(), _FIRST_EDITION, strict=True)
    ]
    return pd.DataFrame({**columns, "fresh": ~np.logical_or(*tested)})


def development_rows(keys: Keys, groups: Rows, paths: NDArray[np.integer], share: float) -> NDArray[np.bool_]:
    """Set whole near-duplicate groups aside, which no split trains or tests on: choices are made on them.

    A group is passed over if it does not fit any more, or if it has the last products of a category path.

    Raises
    ------
    StudyError
        If only half of the share, or less, can be set aside so.
    """
    asked = round(len(keys) * share)
    members = pd.Series(np.arange(len(keys))).groupby(groups).indices
    path = np.unique(paths, axis=0, return_inverse=True)[1].ravel()
    left, taken = np.bincount(path), list[int]()
    smallest = pd.Series(keys).groupby(groups).min()
    for group in smallest.index[np.argsort(sampling_rank(smallest.to_numpy(np.uint64), _DEVELOPMENT))]:
        rows = members[group]
        lost = np.bincount(path[rows], minlength=len(left))
        if len(rows) <= asked - len(taken) and not ((lost > 0) & (lost == left)).any():
            left = left - lost
            taken += [int(row) for row in rows]
        if len(taken) == asked:
            break
    if 2 * len(taken) < asked:
        raise StudyError(
            f"development: {share} of {len(keys):,} products are {asked:,}, and only {len(taken):,} can be set aside "
            "without leaving a category path without products. Set a smaller share, or none (0)."
        )
    return np.isin(np.arange(len(keys)), taken)


def grouped_split(
    keys: Keys,
    groups: NDArray[np.integer],
    shares: SplitParams,
    salt: int,
    aside: NDArray[np.bool_] | None = None,
) -> NDArray[np.str_]:
    """Split by near-duplicate group: no group has rows in two parts. Where each row is a group, shares are exact.

    Groups are taken in the order of their smallest key, whatever their numbers. A part takes each that still fits
    into its share, so that it ends exact wherever single products are left to fill it, and never above its share.
    Rows that are set `aside` are `development`, and shares are of the others.
    """
    part = np.full(len(keys), "development", dtype="<U11")
    rows = np.arange(len(keys)) if aside is None else np.flatnonzero(~aside)
    _, members, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    smallest = np.full(len(sizes), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, members, keys[rows])
    order = np.argsort(sampling_rank(smallest, salt))
    of_group = np.full(len(sizes), "train", dtype="<U11")
    test = _fill(sizes, order, round(len(rows) * shares.test))
    of_group[test] = "test"
    rest = order[of_group[order] == "train"]
    of_group[_fill(sizes, rest, round((len(rows) - int(sizes[test].sum())) * shares.validation))] = "validation"
    part[rows] = of_group[members]
    return part


def check_parts(products: pd.DataFrame, name: str) -> dict[str, float]:
    """Return the share of each split's test products on a category path that no training product has.

    Raises
    ------
    StudyError
        If a part is empty. And, where at least `FEWEST_TESTED` products are tested: if one near-duplicate group has
        most products, or if most test products are on such a path, by more than two standard errors.
    """
    path = products[list(LEVELS)].agg(" > ".join, axis=1)
    group = products["group"].value_counts()
    tied = (
        f"Its {len(products):,} products are in {len(group):,} groups of near-duplicates, of which the largest has "
        f"{group.iloc[0]:,}: products of one brand whose titles, descriptions or photos are alike. Titles that tell "
        "products apart, and their brands, part them."
    )
    unseen = {}
    for split in ("random", "grouped"):
        parts = {part: products[f"{split}_split"] == part for part in ("train", "validation", "test")}
        sizes = {part: int(rows.sum()) for part, rows in parts.items()}
        counts = ", ".join(f"{size:,} {part}" for part, size in sizes.items())
        tested = path[parts["test"]]
        unseen[split] = float((~tested.isin(path[parts["train"]])).mean()) if len(tested) else 0.0
        found = ""
        if 0 in sizes.values():
            found = f"has an empty part: {counts}. Expected a product in each."
            remedy = tied if split == "grouped" else f"{len(products):,} products are too few for these shares (split)."
        elif sizes["test"] < FEWEST_TESTED:
            continue
        elif split == "grouped" and group.iloc[0] > len(products) / 2:
            found, remedy = f"keeps most products in one part ({counts}).", tied
        elif unseen[split] > (limit := 0.5 + sizes["test"] ** -0.5):
            found = (
                f"tests {sizes['test']:,} products, of which {unseen[split]:.0%} are on a category path that none "
                f"of its {sizes['train']:,} training products has. Expected at most {limit:.0%}."
            )
            remedy = tied
            if split == "random":
                remedy = (
                    f"There are {path.nunique():,} paths for {len(products):,} products. Fewer and larger classes: "
                    "`categories.deeper: cut`, or `categories.product_name: drop` with `categories.shallower: repeat`."
                )
        if found:
            raise StudyError(f"The {split} split of the catalogue '{name}' {found} {remedy}")
    return unseen


def test_rows(products: pd.DataFrame, split: Split) -> Rows:
    """Return the numbers of a split's test rows; they depend on no seed and on no training size."""
    return np.flatnonzero(products[f"{split}_split"] == "test")


def training_rows(products: pd.DataFrame, split: Split, size: int | Literal["all"], seed: int) -> tuple[Rows, Rows]:
    """Draw the rows to fit on and the rows to validate on.

    Parameters
    ----------
    products
        The cleaned table, with `sampling_key` and the split's column.
    size
        Rows to fit on, or `all` there are.
    seed
        Which sample: its ranks order the rows.

    Returns
    -------
    train_rows, validation_rows
        Row numbers (int64) in the order of the seed's rank: `size` training rows, and `ceil(size / 9)` validation
        rows, or as many as there are. Within a seed a smaller sample is the beginning of a larger one.

    Raises
    ------
    StudyError
        If there are fewer training rows than `size`.
    """
    order = np.argsort(sampling_rank(products["sampling_key"].to_numpy(np.uint64), seed))
    part = products[f"{split}_split"].to_numpy()[order]
    train, validation = order[part == "train"], order[part == "validation"]
    if size == "all":
        return train, validation
    if not 0 < size <= len(train):
        raise StudyError(
            f"train_sizes: the {split} split has {len(train):,} training rows. Got {size:,} instead of 1 to "
            f"{len(train):,}, or all."
        )
    return train[:size], validation[: math.ceil(size / 9)]


def tuning_rows(products: pd.DataFrame, rows: Rows, share: float) -> NDArray[np.bool_]:
    """Choose a share of the near-duplicate groups of validation rows to tune with; no group has rows in both parts.

    Parameters
    ----------
    rows
        Numbers of validation rows, in any order; which of them are chosen depends on no other row.

    Returns
    -------
    bool (rows,)
        The others are left for calibration: for promises that must hold on rows that nothing was fitted to.
    """
    groups = products["group"].to_numpy()
    smallest = pd.Series(products["sampling_key"].to_numpy(np.uint64)).groupby(groups).min()
    drawn = _mix(smallest.loc[groups[rows]].to_numpy(np.uint64), _TUNING)
    return drawn < np.uint64(share * 2**64)


def _mix(keys: Keys, seed: int) -> Keys:
    """Apply SplitMix64's finaliser to the sum of the keys and a hash of the seed."""
    z = keys + np.uint64(stable_hash(str(seed).encode()))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _fill(sizes: Rows, order: Rows, rows: int) -> Rows:
    """Take groups in order, each that still fits, until `rows` are taken."""
    taken = []
    for group in order.tolist():
        if rows == 0:
            break
        if sizes[group] <= rows:
            taken.append(group)
            rows -= int(sizes[group])
    return np.array(taken, dtype=np.int64)
