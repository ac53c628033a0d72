"""What cleaning found, measured against what is true of a catalogue, where that is known.

The truth is read by the notebook that reports how good cleaning is, and by nothing that makes what is trained on.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import regex
from numpy.typing import NDArray
from pydantic import BaseModel
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC

from lib import config, files
from lib.clean.masking import FUNCTION_WORDS
from lib.clean.words import UNSPACED, has_unspaced
from lib.config import LEVELS
from lib.config.base import ENDS_HERE
from lib.demo_shop import truth

INCOMPLETE = frozenset({"no_path", "no_level_2"})
"""Damage for which a product is rejected."""

WRONG_LABEL = "wrong_label"

MAX_LABELS = 6000

FOLDS = 5  # of the classifiers that look for wrong labels

_LETTERS = regex.compile(rf"(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}]]+|[{UNSPACED}]+")
_PLURALS = (
    (re.compile(r"(?<!s)s$"), ""),
    (re.compile(r"(?:(?<=[sxzo])|(?<=[cs]h))es$"), ""),
    (re.compile(r"ies$"), "y"),
    (re.compile(r"ves$"), "f"),
    (re.compile(r"men$"), "man"),
)
"""Endings of plurals, and what they are in the singular."""


@dataclass(frozen=True)
class Score:
    """How much was found: so many, of which so many are right, of so many that there are.

    >>> score = Score(found=4, right=3, there=6)
    >>> score.precision, score.recall
    (0.75, 0.5)
    """

    found: int
    right: int
    there: int

    @property
    def precision(self) -> float:
        """The share of what was found that is right; not a number if nothing was found."""
        return self.right / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """The share of what is there that was found; not a number if nothing is there."""
        return self.right / self.there if self.there else float("nan")


class _Shop(BaseModel):
    """What of a generated shop's section in `catalogues/NAME.yaml` determines what is true of its products."""

    products: int
    seed: int
    dialect: str | None = None


def known_truth(catalogue: str) -> pd.DataFrame | None:
    """Return what is true of the products of a catalogue, or None where nobody knows.

    Returns
    -------
    DataFrame or None
        A row a product: `product_id`, `family` (equal for variants and copies of one product), `level_1` to `level_3`
        (the right classes) and `damage` (a tuple). An id that two products have is left out, for it does not say
        which of them was collected.
    """
    if config.load_catalogue(catalogue).kind != "shop":
        return None
    shop = config.load_section(catalogue, _Shop)
    rows = pd.DataFrame(list(truth(shop.products, shop.seed, shop.dialect)))
    known = rows[["product_id", "family", *LEVELS, "damage"]]
    return known.drop_duplicates("product_id", keep=False, ignore_index=True)


def measure_cleaning(catalogue: str) -> pd.DataFrame | None:
    """Measure what the `clean` stage made of a catalogue, or return None where nobody knows the truth.

    Wrong labels are searched among at most `MAX_LABELS` training rows, with `label_suspicion`.

    Returns
    -------
    DataFrame or None
        `found`, `right`, `there`, `precision` and `recall` of near-duplicate pairs, rejected products and wrong labels.
    """
    true = known_truth(catalogue)
    if true is None:
        return None
    products, rejects = (_made(catalogue, f"clean/{name}.parquet") for name in ("products", "rejects"))
    train = products[products["random_split"] == "train"].nsmallest(MAX_LABELS, "sampling_key")
    scores = {
        "near-duplicate pairs": group_score(products, true),
        "rejected products": reject_score(_made(catalogue, "raw/products.parquet")["product_id"], rejects, true),
        "wrong labels": wrong_label_score(train, label_suspicion(train), true),
    }
    table = pd.DataFrame.from_dict({what: asdict(score) for what, score in scores.items()}, orient="index")
    return table.assign(precision=table["right"] / table["found"], recall=table["right"] / table["there"])


def _made(catalogue: str, file: str) -> pd.DataFrame:
    return pd.read_parquet(files.existing(config.build_dir(catalogue, file)))


def group_score(products: pd.DataFrame, true: pd.DataFrame) -> Score:
    """Compare near-duplicate groups with families, pair by pair.

    Each two products are one pair, whatever their order: found if they have the same `group`, there if they have the
    same `family`. A family of n products has n (n - 1) / 2 pairs. Only products in both tables count.
    """
    both = products[["product_id", "group"]].merge(true[["product_id", "family"]], on="product_id")
    return Score(_pairs(both, ["group"]), _pairs(both, ["group", "family"]), _pairs(both, ["family"]))


def reject_score(collected: Iterable[str], rejects: pd.DataFrame, true: pd.DataFrame) -> Score:
    """Compare what cleaning rejected with what has no complete category path, among the ids that were collected."""
    known = true[true["product_id"].isin(list(collected))]
    there = np.array([bool(INCOMPLETE & set(damage)) for damage in known["damage"]], bool)
    return _score(known["product_id"].isin(rejects["product_id"]).to_numpy(), there)


def wrong_label_score(products: pd.DataFrame, suspicion: NDArray[np.floating], true: pd.DataFrame) -> Score:
    """Compare the most suspicious labels with the wrong ones, as many as there are: precision and recall are equal.

    Parameters
    ----------
    products
        Rows with `product_id`.
    suspicion
        A number for each row, greater where the label is more likely to be wrong.
    true
        What is true of them; rows of which nothing is known are left aside.
    """
    damage = products["product_id"].map(dict(zip(true["product_id"], true["damage"], strict=True)))
    known = damage.notna().to_numpy()
    there = np.array([WRONG_LABEL in kinds for kinds in damage[known]], bool)
    found = np.zeros(len(there), bool)
    found[np.argsort(-suspicion[known], kind="stable")[: there.sum()]] = True
    return _score(found, there)


def label_suspicion(products: pd.DataFrame, seed: int = 0) -> NDArray[np.float64]:
    """Measure how strongly linear classifiers, trained on other rows, disagree with each row's labels.

    For each level, a linear support vector machine over the TF-IDF of brand and plain text is fitted on four fifths of
    the rows, and gives each of the others a margin for every class. What counts is by how much the greatest margin
    exceeds that of the row's own class.

    Parameters
    ----------
    products
        Training rows of a cleaned table: `brand`, `text`, `level_1_code` to `level_3_code`.
    seed
        Which rows are in which fold.

    Returns
    -------
    float64 array, shape (rows,)
        The sum over the levels: 0 where every classifier would give the row its own labels, and greater the more
        they would not.
    """
    brand = products["brand"].str.replace(r"\W+", "_", regex=True)
    X = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(brand + " " + products["text"])
    suspicion = np.zeros(len(products))
    for others, rows in KFold(FOLDS, shuffle=True, random_state=seed).split(X):
        for level in LEVELS:
            codes = products[f"{level}_code"].to_numpy()
            if len(seen := np.unique(codes[others])) < 2:
                continue
            margins = LinearSVC(random_state=0).fit(X[others], codes[others]).decision_function(X[rows])
            if margins.ndim == 1:  # of two classes
                margins = np.stack([-margins, margins], axis=1)
            least = margins.min(axis=1, keepdims=True)  # what a class gets that none of the others has
            own = np.where(codes[rows, None] == seen, margins, least).max(axis=1)
            suspicion[rows] += margins.max(axis=1) - own
    return suspicion


def category_words(texts: Iterable[str], class_names: Iterable[str]) -> Counter[str]:
    """Count the words of class names in texts, in singular and plural, by plain look-up.

    In a script without spaces, a name is looked for wherever it stands. This checks `lib.clean.masking.Masker`, and
    shares nothing with it but the list of function words and what those scripts are.

    >>> category_words(["A flip, and two T-Shirts", "a dress"], ["Flip Flops", "Tshirts", "Dresses"])
    Counter({'flip': 1, 'dress': 1})
    >>> category_words(["白い靴を履く"], ["靴", "Dresses"])
    Counter({'靴': 1})
    """
    named = {word for name in class_names if name != ENDS_HERE for word in _LETTERS.findall(name.lower())}
    runs = {word for word in named if has_unspaced(word)}
    saying = {word for word in named - runs - FUNCTION_WORDS if len(word) > 1 and not word.isdigit()}
    wanted = {form for word in saying for form in _numbers(word)}
    found = Counter[str]()
    for text in map(str.lower, texts):
        found.update(word for word in _LETTERS.findall(text) if word in wanted)
        found.update({run: text.count(run) for run in runs if run in text})
    return found


def _numbers(word: str) -> set[str]:
    """Return a word in singular and plural, and some spellings that are no words.

    >>> {"watch", "watches"} <= _numbers("watches"), "brass" in _numbers("bras")
    (True, False)
    """
    singular = {word} | {plural.sub(ending, word) for plural, ending in _PLURALS}
    return singular | {f"{one}es" for one in singular} | {f"{one}s" for one in singular if not one.endswith("s")}


def _pairs(table: pd.DataFrame, columns: list[str]) -> int:
    """Count the pairs of rows that are equal in some columns."""
    sizes = table.groupby(columns).size().to_numpy()
    return int((sizes * (sizes - 1) // 2).sum())


def _score(found: NDArray[np.bool_], there: NDArray[np.bool_]) -> Score:
    return Score(int(found.sum()), int((found & there).sum()), int(there.sum()))
