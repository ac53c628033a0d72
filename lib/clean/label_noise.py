"""Which labels are likely to be wrong: a simple baseline that others are to beat."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC

from lib.config import LEVELS

FOLDS = 5

Floats = NDArray[np.float64]


def label_suspicion(products: pd.DataFrame, seed: int = 0) -> Floats:
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
    folds = list(KFold(FOLDS, shuffle=True, random_state=seed).split(X))
    suspicion = np.zeros(len(products))
    for level in LEVELS:
        codes = products[f"{level}_code"].to_numpy()
        for others, rows in folds:
            suspicion[rows] += _excess(X, codes, others, rows)
    return suspicion


def _excess(X: sparse.csr_matrix, codes: NDArray[np.int16], others: NDArray[np.intp], rows: NDArray[np.intp]) -> Floats:
    """Fit on `others`, and return by how much the best margin of `rows` exceeds that of their own class.

    A class that none of the others has gets the least margin of all.
    """
    if len(np.unique(codes[others])) < 2:
        return np.zeros(len(rows))
    model = LinearSVC(random_state=0).fit(X[others], codes[others])
    margins = model.decision_function(X[rows])
    if margins.ndim == 1:  # of two classes
        margins = np.stack([-margins, margins], axis=1)
    place = np.minimum(np.searchsorted(model.classes_, codes[rows]), len(model.classes_) - 1)
    own = margins[np.arange(len(rows)), place]
    unseen = model.classes_[place] != codes[rows]
    excess: Floats = margins.max(axis=1) - np.where(unseen, margins.min(axis=1), own)
    return excess
