"""What is one product, or one model in another colour or size, and what is only of one product line.

Links (`lib/clean/duplicates.py`) find what is alike, and so join lines: many T-shirts of a brand under one title, with
one description. A *match score* says of two products of a brand how likely they are one model: a logistic model of five
signs (Fellegi & Sunter, 1969), whose weights were fitted to pairs that were labelled by hand (`lib/clean/pairs.py`).
Pairs that match are linked too; and a group that is too large to be one model is cut by average linkage of the scores.

Everything is compared within a brand, among so many neighbours of a bucket, or within one group of limited size: all of
it is linear in the products.
"""

import re
from itertools import chain, pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer

from lib.clean.shingles import Pairs, Rows, bucket_pairs
from lib.clean.words import words
from lib.config import MatchParams

COLOURS = frozenset(
    words(
        "aqua beige black blue bronze brown burgundy camel charcoal chrome color colored colors colour coloured colours"
        " copper coral cream crimson cyan dark ecru fluorescent fuchsia gold golden gray green grey gunmetal indigo"
        " ivory khaki lavender light lilac lime magenta maroon mauve metallic mint multi multicolor multicolored"
        " multicolour multicoloured mustard navy neon nude off olive orange peach pink plum purple red rose rust"
        " scarlet sea silver skin tan taupe teal toned turquoise violet white wine yellow"
    )
)
SIZES = frozenset(words("fit l large m medium petite plus regular s size sizes small tall xl xs xxl xxs xxxl"))
FILLERS = frozenset(words("a an and by for in of on pack set the to with"))

SIGNS = ("name", "same_title", "text_and_photo", "code_but_letters", "code_prefix")
"""What a match score adds up, in the order of the columns that `Evidence.signs` returns."""

OUTLINE = 16  # cells a side of a photo's outline
UNLIKE = 0.7  # likeness of outlines that any two photos of one kind of product have
SAME_TEXT = 0.97  # cosine of descriptions from which they say the same
SMALL = 5  # products that one model may well have: of `fashion`'s pairs in such loose groups, four in five are copies
LARGEST = 3_000  # products of a group that are compared pair by pair; beyond, those with the same title words
NEIGHBOURS = 8  # codes of a brand, in order, that one is compared with
RARE_NAME = 20  # products of a brand that may share a word which makes them worth comparing
STEM = 0.4  # of a code that names a model
CHUNK = 100_000  # pairs compared at once


def title_words(title: str, brand: str) -> list[str]:
    """Reduce a title to what a product's colours and sizes have in common, sorted.

    >>> title_words("Acme Men's Navy Blue T-Shirts (Pack of 2)", "Acme")
    ['men', 'shirt', 't']
    """
    left_out = COLOURS | SIZES | FILLERS | set(words(brand))
    kept = [word for word in words(title) if word not in left_out and not word.isdigit()]
    return sorted({word.removesuffix("s") if len(word) > 3 else word for word in kept})


def outline(grey: NDArray[np.integer]) -> NDArray[np.float16]:
    """Return where a square grey photo has edges, whatever its colours: 16 x 16 cells, mean 0 and length 1."""
    pixels = grey.astype(np.float32)
    edges = np.sqrt(np.hypot(ndimage.sobel(pixels, 0), ndimage.sobel(pixels, 1)))
    side = len(grey) // OUTLINE
    cells = edges.reshape(OUTLINE, side, OUTLINE, side).mean(axis=(1, 3)).ravel()
    cells -= cells.mean()
    found: NDArray[np.float16] = (cells / max(float(np.linalg.norm(cells)), 1e-6)).astype(np.float16)
    return found


class Evidence:
    """All that pairs of products are compared by.

    Parameters
    ----------
    products
        `brand`, `title`, `description` and `model` (a style number, or empty), as plain text.
    brands
        Each row's brand, as a number.
    photos
        `usable`, and `outline`: shape (rows, 256), of `outline`.
    """

    def __init__(self, products: pd.DataFrame, brands: Rows, photos: pd.DataFrame) -> None:
        self.brands, self.usable = brands, photos["usable"].to_numpy(bool)
        self.outlines = np.array(photos["outline"].tolist(), np.float16).reshape(len(photos), -1)
        titles = [title_words(title, brand) for title, brand in zip(products["title"], products["brand"], strict=True)]
        row = np.repeat(np.arange(len(titles)), [len(one) for one in titles])
        word = np.array(list(chain(*titles)), object)
        self.named = pd.factorize(pd.MultiIndex.from_arrays([brands[row], word]))[0] if len(row) else row
        self.row, self.with_word = row, np.bincount(self.named)[self.named] if len(row) else row
        rarity = np.log(np.bincount(brands)[brands[row]] / np.maximum(self.with_word, 1))
        self.names = sparse.csr_matrix((np.sqrt(rarity), (row, self.named)), shape=(len(titles), len(row) + 1))
        self.title = pd.factorize(pd.MultiIndex.from_arrays([brands, [" ".join(one) for one in titles]]))[0]
        self.with_title = np.bincount(self.title)[self.title]
        self.texts = _weighted_words(products["description"])
        self.codes = [re.sub(r"[\W_]", "", code.upper()) for code in products["model"]]

    def candidates(self) -> Pairs:
        """Return the pairs that may match: equal title words, a rare one in common, or codes next to one another."""
        rare = self.with_word <= RARE_NAME
        order = np.array(sorted(range(len(self.codes)), key=lambda row: (self.brands[row], self.codes[row])), np.int64)
        order = order[[self.codes[row] != "" for row in order]]
        found: list[Pairs] = []
        for rows, keys, window in (
            (np.arange(len(self.title)), self.title, NEIGHBOURS),
            (self.row[rare], self.named[rare], RARE_NAME),
            (order, self.brands[order], NEIGHBOURS),
        ):
            found += [(rows[one], rows[other]) for one, other in bucket_pairs(keys, window)]
        left, right = (np.concatenate([np.zeros(0, np.int64), *(pair[side] for pair in found)]) for side in (0, 1))
        pairs = np.unique(np.column_stack([np.minimum(left, right), np.maximum(left, right)]), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def signs(self, left: Rows, right: Rows) -> NDArray[np.float64]:
        """Measure the five signs of some pairs: columns in the order of `SIGNS`.

        The words that two titles share, each counting the more the fewer products of the brand have it; how many of
        the brand's products have the same title words (logarithm); how alike the descriptions are, colours aside, times
        how alike the photos' outlines are, mirrored or not, or 1 where a photo is missing; whether codes are equal up
        to letters at their end (colours, mostly); and what share of the longer code they begin with.
        """
        name = np.asarray(self.names[left].multiply(self.names[right]).sum(axis=1)).ravel()
        title = np.log(np.maximum(self.with_title[left], self.with_title[right]))
        seen = self.photos_alike(left, right)
        codes = [_codes_alike(self.codes[a], self.codes[b]) for a, b in zip(left, right, strict=True)]
        text = self.texts_alike(left, right) * np.maximum(np.nan_to_num(seen, nan=1.0) - UNLIKE, 0)
        return np.column_stack([name, title, text, np.array(codes, np.float64).reshape(-1, 2)])

    def texts_alike(self, left: Rows, right: Rows) -> NDArray[np.float64]:
        """Return the cosines of descriptions without colours."""
        return np.asarray(self.texts[left].multiply(self.texts[right]).sum(axis=1)).ravel()

    def photos_alike(self, left: Rows, right: Rows) -> NDArray[np.float64]:
        """Return the correlations of photos' outlines, mirrored or not; NaN where one has no usable photo."""
        a, b = (self.outlines[rows].astype(np.float32).reshape(-1, OUTLINE, OUTLINE) for rows in (left, right))
        alike = np.maximum((a * b).sum(axis=(1, 2)), (a * b[:, :, ::-1]).sum(axis=(1, 2))).astype(np.float64)
        return np.where(self.usable[left] & self.usable[right], alike, np.nan)

    def scores(self, left: Rows, right: Rows, params: MatchParams) -> NDArray[np.float64]:
        """Say of pairs of one brand how likely each is one model, from 0 to 1; other pairs get 0.

        Where there are no two photos to compare, equal title words and equal descriptions leave nothing that tells
        products apart but colour and size: 1.
        """
        found = np.zeros(len(left))
        for start in range(0, len(left), CHUNK):
            a, b = left[start : start + CHUNK], right[start : start + CHUNK]
            score = expit(self.signs(a, b) @ [getattr(params, sign) for sign in SIGNS] + params.intercept)
            unseen = ~(self.usable[a] & self.usable[b]) & (self.title[a] == self.title[b])
            score[unseen & (self.texts_alike(a, b) >= SAME_TEXT)] = 1.0
            found[start : start + CHUNK] = np.where(self.brands[a] == self.brands[b], score, 0.0)
        return found


def match_links(evidence: Evidence, params: MatchParams) -> Pairs:
    """Link the candidates whose score is at least `link_from`."""
    left, right = evidence.candidates()
    match = evidence.scores(left, right, params) >= params.link_from
    return left[match], right[match]


def cut_lines(groups: Rows, same: Pairs, evidence: Evidence, params: MatchParams) -> Rows:
    """Cut every group of more than `SMALL` products into models, by average linkage of the scores.

    Parameters
    ----------
    same
        Pairs that are certainly one product (they have the same photo): their score is 1.

    Returns
    -------
    int64 (rows,)
        Numbered anew, in no order.
    """
    found, ahead = groups.copy(), int(groups.max(initial=-1)) + 1
    certain = sparse.coo_array((np.ones(len(same[0])), same), shape=(len(groups),) * 2).tocsr()
    for members in pd.Series(np.arange(len(groups))).groupby(groups).indices.values():
        rows = np.asarray(members, np.int64)
        if len(rows) <= SMALL:
            continue
        if len(rows) > LARGEST:
            found[rows] = ahead + evidence.title[rows]
            ahead += int(evidence.title.max()) + 1
            continue
        first, second = np.triu_indices(len(rows), 1)
        score = evidence.scores(rows[first], rows[second], params)
        score[(certain + certain.T)[rows][:, rows].toarray()[first, second] > 0] = 1.0
        tree = linkage(1 - score, "average")
        found[rows] = ahead + fcluster(tree, 1 - params.cut_below + 1e-9, "distance")
        ahead += len(rows) + 1
    return found


def _weighted_words(texts: pd.Series) -> sparse.csr_matrix:
    """Return unit TF-IDF rows of words and pairs of words, colours and sizes aside."""
    left_out = COLOURS | SIZES | FILLERS

    def analyse(text: str) -> list[str]:
        kept = [word for word in words(text) if word not in left_out]
        return kept + [f"{one} {other}" for one, other in pairwise(kept)]

    if not any(map(analyse, texts)):
        return sparse.csr_matrix((len(texts), 1), dtype=np.float32)
    return TfidfVectorizer(analyzer=analyse, sublinear_tf=True, dtype=np.float32).fit_transform(texts)


def _codes_alike(one: str, other: str) -> tuple[float, float]:
    """Say whether two codes are equal up to letters at their end, and what share of the longer one they begin with.

    What is equal must have a digit, and be `STEM` of the longer code: words alone name no model.

    >>> _codes_alike("SS11BE53WHITE", "SS11BE53NAVY"), _codes_alike("39379940", "39379941"), _codes_alike("", "")
    ((1.0, 0.6153846153846154), (0.0, 0.875), (0.0, 0.0))
    """
    longer = max(len(one), len(other))
    if not one or not other:
        return 0.0, 0.0
    same = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    digits = [any(letter.isdigit() for letter in part) for part in (one[:same], one[same:] + other[same:])]
    return float(digits == [True, False] and same >= STEM * longer), same / longer
