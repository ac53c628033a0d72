"""The products that active learning chooses from, as features that no label has a say in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import OneHotEncoder

from lib.artifacts import existing, read_json
from lib.config import LEVELS, build_dir, load_params
from lib.text import count_ngrams, load_sequences

MIN_ROWS = 2  # pool rows that must contain a word, or have a brand, for it to be a column
FIT_ROWS = 10_000  # pool rows that photos' components are computed from, at most
SEED = 0


@dataclass(frozen=True)
class Pool:
    """Products to choose from, and products to test on.

    Attributes
    ----------
    features
        float32 (rows, features): all products of the catalogue, in the order of `clean/products.parquet`.
    codes
        int16 (rows, 3): what a label says.
    groups
        intp (rows,): near-duplicate groups.
    rows
        intp: the products to choose from, training and validation rows of the split.
    test
        intp: the test rows.
    paths
        int16 (valid paths, 3).
    class_counts
        Classes of each level.
    """

    features: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int16]
    groups: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]
    paths: npt.NDArray[np.int16]
    class_counts: tuple[int, ...]

    def save(self, folder: Path) -> None:
        """Write the arrays for worker processes to share."""
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)

    @staticmethod
    def load(folder: Path) -> "Pool":
        """Read what `save` wrote; the features stay on disk until they are used."""
        names = ("features", "codes", "groups", "rows", "test", "paths")
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        return Pool(**arrays, class_counts=tuple(np.load(folder / "class_counts.npy").tolist()))


def make_pool(catalogue: str) -> Pool:
    """Read a catalogue, and reduce its words, brands and photos to few features, learnt on the pool without labels."""
    params = load_params()
    settings = params.labels
    codes = [f"{level}_code" for level in LEVELS]
    products = pd.read_parquet(
        existing(build_dir(catalogue, "clean", "products.parquet")),
        columns=["brand", "group", f"{settings.split}_split", *codes],
    )
    taxonomy = read_json(build_dir(catalogue, "clean", "taxonomy.json"))
    test = (products[f"{settings.split}_split"] == "test").to_numpy()
    rows = np.flatnonzero(~test)
    words = count_ngrams(load_sequences(catalogue, settings.text, params.text.stop_words), 1).counts
    image = np.load(existing(build_dir(catalogue, "image", "features.npy")), mmap_mode="r")
    features = [
        text_features(words, products["brand"], rows, settings.text_components),
        image_features(image, rows, settings.image_components),
    ]
    return Pool(
        np.hstack([_of_unit_variance(part, rows) for part in features]),
        products[codes].to_numpy(np.int16),
        np.unique(products["group"].to_numpy(), return_inverse=True)[1],
        rows,
        np.flatnonzero(test),
        np.array(taxonomy["paths"], np.int16),
        tuple(len(names) for names in taxonomy["levels"]),
    )


def text_features(
    words: sparse.csr_array, brands: "pd.Series[str]", rows: npt.NDArray[np.intp], components: int
) -> npt.NDArray[np.float32]:
    """Reduce words (TF-IDF) and one-hot brands, side by side, by a truncated SVD that is fitted on some rows.

    Returns
    -------
    float32 (all rows, at most `components`)
    """
    frequent = np.bincount(words[rows].indices, minlength=words.shape[1]) >= MIN_ROWS
    counts = words[:, np.flatnonzero(frequent)]
    brand = brands.to_numpy(object)[:, None]
    encoder = OneHotEncoder(handle_unknown="ignore", min_frequency=MIN_ROWS, dtype=np.float32).fit(brand[rows])
    parts = [TfidfTransformer(sublinear_tf=True).fit(counts[rows]).transform(counts), encoder.transform(brand)]
    X = sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))
    svd = TruncatedSVD(min(components, X.shape[1] - 1), n_iter=3, random_state=SEED).fit(X[rows])
    return np.asarray(svd.transform(X), np.float32)


def image_features(
    image: npt.NDArray[np.float16], rows: npt.NDArray[np.intp], components: int, rows_at_once: int = 4096
) -> npt.NDArray[np.float32]:
    """Reduce photos' features by principal components that are computed from at most `FIT_ROWS` of some rows.

    Returns
    -------
    float32 (all rows, at most `components`)
    """
    drawn = np.sort(np.random.default_rng(SEED).permutation(rows)[:FIT_ROWS])
    sample = image[drawn].astype(np.float32)
    pca = PCA(min(components, *sample.shape), svd_solver="covariance_eigh").fit(sample)
    parts = [
        pca.transform(image[start : start + rows_at_once].astype(np.float32))
        for start in range(0, len(image), rows_at_once)
    ]
    return np.concatenate(parts).astype(np.float32)


def _of_unit_variance(features: npt.NDArray[np.float32], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Centre features and give them a mean variance of 1, all by one factor, so that words and photos count alike."""
    mean, variance = features[rows].mean(axis=0), features[rows].var(axis=0).mean()
    scaled: npt.NDArray[np.float32] = ((features - mean) / np.sqrt(max(float(variance), 1e-12))).astype(np.float32)
    return scaled
