"""Near-duplicate groups: products that are variants or copies of one another. Labels have no say in them.

Two products are linked where one of these is alike, and a group is whatever links connect:

- *title*: of the same brand, with the same words; colours, sizes and numbers aside if it has a name of its own
  (*Acme Red Aurora Shoes*), but word for word if it has none (*Acme Red Shoes*);
- *description*: of the same brand, with an estimated Jaccard similarity of at least `minhash_threshold`;
- *photo*: equal bytes; or of the same brand, with perceptual hashes (64 bits) within `photo_distance` bits.

What many sellers share is no sign of a copy: the word *shoes*, care instructions, a placeholder photo, the outline of
any tie. So whatever occurs under more than `COMMON_BRANDS` brands links nothing. Such words make no name. Such phrases
are left out of a description, and it counts only if `MIN_SHINGLES` others remain. Such photos are ignored. Were every
title read without its colours, all of a brand's shoes were one group, and a grouped split would measure how well a
brand's unseen categories can be guessed, not what near-duplicates give away.

The more brands there are, the more of them use the same name or phrase by chance. So for words and phrases the limit is
`COMMON_SHARE` of all brands, where that is more. Where the `COMMON_BRANDS` largest brands have nearly all products, or
no product has a brand, brands cannot tell what is common. Then that is what more than `COMMON_PRODUCTS` products have,
or `COMMON_PRODUCT_SHARE` of all where that is more; those with equal descriptions count once.

All of it is linear in the products: within a bucket each is compared with the next `WINDOW` at most.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import imagehash
import numpy as np
import pandas as pd
from datasketch import MinHashLSH
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from lib.clean.matching import OUTLINE, Evidence, cut_lines, match_links, outline, title_words
from lib.clean.photos import Archive, PhotoError, decode_photo
from lib.clean.shingles import Pairs, Rows, bucket_pairs, shingles, signatures, widespread, without_common
from lib.clean.splits import stable_hash
from lib.clean.words import words
from lib.config import CleanParams
from lib.processes import worker_pool

COMMON_BRANDS = 3
COMMON_SHARE = 0.0075  # 3 of 400 brands, and 20 of 2,700
FEW_BRANDS = 0.9  # of all products: with more under the `COMMON_BRANDS` largest brands, these are too few
COMMON_PRODUCTS = 10
COMMON_PRODUCT_SHARE = 0.02
MIN_SHINGLES = 10
WINDOW = 64
CHUNK = 500  # photos that a worker process takes at once
WORKERS_FROM = 10_000  # photos that are worth starting processes for
SIDE = 32  # pixels that the perceptual hash looks at
FLAT = 8  # grey values, of 256, that a photo which shows something spans at least

MIX = np.uint64(0x9E3779B97F4A7C15)  # an odd multiplier that spreads bits: 2**64 over the golden ratio

Hash = tuple[
    int, int, bool, NDArray[np.float16]
]  # of a photo: of its bytes, what it shows, whether it is usable, outline
_UNUSABLE = (0, 0, False, np.zeros(OUTLINE**2, np.float16))


@dataclass(frozen=True)
class Groups:
    """Near-duplicate groups, and what made them.

    Attributes
    ----------
    of : DataFrame
        Columns `group` and `loose_group` (int32), a row for each product; groups are numbered from 0 in the order of
        their first rows. The loose ones are all that links connect, as the study's first edition had them.
    linked
        Rows that have a link to another, by what is alike.
    common_in, common_limit
        Of words and phrases, those in more `brands` (or `products`) than this link nothing.
    common_share
        Share of the descriptions' shingles that do.
    unspecific
        Descriptions with too little text of their own to be compared.
    """

    of: pd.DataFrame
    linked: dict[str, int]
    common_in: str
    common_limit: int
    common_share: float
    unspecific: int


class Spread(NamedTuple):
    """What is common: what occurs in more than so many `brands` or `products`, of which each row's number is given."""

    among: str
    of: Rows
    words: int
    photos: int


def near_duplicate_groups(products: pd.DataFrame, photos: pd.DataFrame, params: CleanParams) -> Groups:
    """Group a table's rows.

    Parameters
    ----------
    products
        `brand`, `title` and `description` as plain text, rows in the order of ids.
    photos
        The same rows, as `photo_hashes` returns them.
    params
        Thresholds.
    """
    brands = brands_of(products)
    spread = spread_among(brands, products["description"])
    specific, common_share = without_common(shingles(products["description"]), spread.of, spread.words)
    links = {
        "title": list(title_links(products, brands, spread)),
        "description": list(text_links(specific, brands, params)),
        "photo": list(photo_links(photos, brands, spread, params.photo_distance)),
    }
    loose = _joined(len(products), chain(*links.values()))
    evidence = Evidence(products, brands, photos)
    links["match"] = [match_links(evidence, params.match)]
    first, second = (np.concatenate([pair[side] for pair in links["photo"]]) for side in (0, 1))
    group = cut_lines(_joined(len(products), chain(*links.values())), (first, second), evidence, params.match)
    of = {"group": pd.factorize(group)[0], "loose_group": pd.factorize(loose)[0]}
    return Groups(
        of=pd.DataFrame(of).astype("int32"),
        linked={name: len(set().union(*(rows.tolist() for rows in chain(*pairs)))) for name, pairs in links.items()},
        common_in=spread.among,
        common_limit=spread.words,
        common_share=common_share,
        unspecific=int((np.diff(specific.indptr) < MIN_SHINGLES).sum()),
    )


def brands_of(products: pd.DataFrame) -> Rows:
    """Number the brands, whose spellings differ in letter case, blanks and signs."""
    return pd.factorize(products["brand"].map(lambda brand: "".join(words(brand))))[0].astype(np.int64)


def _joined(rows: int, links: Iterable[Pairs]) -> Rows:
    """Number the groups that links connect."""
    left, right = (np.concatenate(side) for side in zip(*links, strict=True))
    graph = sparse.coo_array((np.ones(len(left), bool), (left, right)), shape=(rows, rows))
    connected: Rows = connected_components(graph, directed=False)[1].astype(np.int64)
    return connected


def spread_among(brands: Rows, descriptions: Iterable[str]) -> Spread:
    """Return in how many brands, or products where brands are too few, something may occur and be a sign of a copy.

    >>> spread_among(np.arange(600) % 4, [""] * 600)[2:], spread_among(np.zeros(600, int), [""] * 600)[2:]
    ((3, 3), (12, 12))
    """
    if np.sort(np.bincount(brands))[-COMMON_BRANDS:].sum() <= FEW_BRANDS * len(brands):
        return Spread("brands", brands, common_limit(brands), COMMON_BRANDS)
    limit = max(COMMON_PRODUCTS, round(COMMON_PRODUCT_SHARE * len(brands)))
    own = np.array([text or row for row, text in enumerate(descriptions)], object)
    return Spread("products", pd.factorize(own)[0], limit, limit)


def common_limit(brands: Rows) -> int:
    """Return under how many brands a word or a phrase may occur and still be a sign of a copy.

    >>> common_limit(np.arange(400)), common_limit(np.arange(2700))
    (3, 20)
    """
    return max(COMMON_BRANDS, round(COMMON_SHARE * len(np.unique(brands))))


def title_links(products: pd.DataFrame, brands: Rows, spread: Spread) -> Iterator[Pairs]:
    """Link rows of one brand with equal titles, and those with equal title words of which one is the brand's own."""
    titles = list(zip(products["title"], products["brand"], strict=True))
    exact = np.array([" ".join(words(title)) for title, _ in titles], object)
    yield _equal(np.flatnonzero(exact != ""), exact, brands)
    reduced = [title_words(title, brand) for title, brand in titles]
    row = np.repeat(np.arange(len(reduced)), [len(one) for one in reduced])
    word = pd.factorize(np.array(list(chain(*reduced)), object))[0]
    named = np.unique(row[~widespread(word, spread.of[row], spread.words)])
    yield _equal(named, np.array([" ".join(one) for one in reduced], object), brands)


def _equal(rows: Rows, *keys: NDArray[Any]) -> Pairs:
    """Link each of some rows with the next of them that has the same keys."""
    after = pd.Series(rows).groupby([key[rows] for key in keys], sort=False).shift(-1)
    linked = after.notna().to_numpy()
    return rows[linked], after[linked].to_numpy(np.int64)


def text_links(specific: sparse.csr_matrix, brands: Rows, params: CleanParams) -> Iterator[Pairs]:
    """Link rows of one brand whose shingles are alike, by locality-sensitive hashing of MinHash signatures."""
    rows = np.flatnonzero(np.diff(specific.indptr) >= MIN_SHINGLES)
    signed = signatures(specific, rows, params.minhash_permutations)
    best = MinHashLSH(threshold=params.minhash_threshold, num_perm=params.minhash_permutations)
    for start in range(0, best.b * best.r, best.r):
        band = brands[rows].astype(np.uint64)
        for column in signed[:, start : start + best.r].T:
            band = (band + column) * MIX
        for left, right in bucket_pairs(band, WINDOW):
            alike = (signed[left] == signed[right]).mean(axis=1) >= params.minhash_threshold
            alike &= brands[rows[left]] == brands[rows[right]]
            yield rows[left[alike]], rows[right[alike]]


def photo_links(photos: pd.DataFrame, brands: Rows, spread: Spread, distance: int) -> Iterator[Pairs]:
    """Link rows with equal photos, and rows of one brand with perceptually equal ones."""
    usable = np.flatnonzero(photos["usable"])
    content, perceptual = (photos[name].to_numpy(np.uint64) for name in ("content", "perceptual"))
    own, rare = (~widespread(keys[usable], spread.of[usable], spread.photos) for keys in (content, perceptual))
    yield _equal(usable[own], content)
    rows = usable[own & rare]
    shown, of = perceptual[rows], brands[rows].astype(np.uint64)
    # Two hashes that differ in at most `distance` bits agree in at least one of `distance + 1` runs of bits.
    width = 64 // (distance + 1)
    for piece in range(distance + 1):
        run = shown << np.uint64(piece * width) >> np.uint64(64 - width)
        for left, right in bucket_pairs((run * MIX + of) * MIX, WINDOW):
            near = (np.bitwise_count(shown[left] ^ shown[right]) <= distance) & (of[left] == of[right])
            yield rows[left[near]], rows[right[near]]


def photo_hashes(archive: Path, names: Sequence[str | None]) -> pd.DataFrame:
    """Hash photos, in worker processes where there are many.

    Parameters
    ----------
    archive
        A ZIP file.
    names
        The entry of each row; None where a product has no photo.

    Returns
    -------
    DataFrame
        A row for each name: `content` and `perceptual` (uint64), `usable` (bool), which is False where there is no
        photo, where it cannot be decoded, and where it shows nothing but one colour; and its `outline` (float16, 256).

    Raises
    ------
    StudyError
        If the archive is missing or damaged.
    """
    Archive(archive)
    entries = sorted({name for name in names if isinstance(name, str)})
    chunks = [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]
    hashes: dict[str, Hash] = {}
    with worker_pool() if len(entries) >= WORKERS_FROM else nullcontext() as pool:
        found = (pool.map if pool else map)(partial(_hash_entries, archive), chunks)
        for chunk in tqdm(found, total=len(chunks), desc="Photos", unit=f"{CHUNK} photos"):
            hashes.update(chunk)
    rows = [hashes[name] if isinstance(name, str) else _UNUSABLE for name in names]
    types = {"content": "uint64", "perceptual": "uint64", "usable": "bool"}
    return pd.DataFrame(rows, columns=[*types, "outline"]).astype(types)


def _hash_entries(archive: Path, names: list[str]) -> dict[str, Hash]:
    photos, hashes = Archive(archive), dict.fromkeys(names, _UNUSABLE)
    for name in names:
        try:
            content = photos.read(name)
            grey = Image.fromarray(decode_photo(content, SIDE)).convert("L")
        except PhotoError:
            continue
        pixels = np.asarray(grey)
        if np.ptp(pixels) >= FLAT:
            shown = np.packbits(imagehash.phash(grey).hash).tobytes()
            hashes[name] = stable_hash(content), int.from_bytes(shown, "big"), True, outline(pixels)
    return hashes
