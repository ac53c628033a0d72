"""What linear models read, and that only training rows have a say in it."""

import numpy as np
import pytest
import tiny
from sklearn.feature_extraction.text import TfidfVectorizer

from lib import artifacts, data
from lib.encode import encode_dense, encode_for_linear
from lib.text import Sequences, count_ngrams


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    tiny.write(tmp_path)
    data.load_catalogue_data.cache_clear()
    data.load_text.cache_clear()
    return data.load_catalogue_data("tiny")


def texts(folder):
    """The rows' words, parted by spaces."""
    words, sequences = (
        artifacts.read_json(folder / "build/tiny/text/words.json"),
        data.load_text("tiny", "plain", "none"),
    )
    return [" ".join(words[i] for i in row) for row in np.split(sequences.ids, sequences.indptr[1:-1])]


@pytest.mark.parametrize(("ngrams", "min_rows"), [(1, 1), (2, 2), (3, 3)])
def test_tfidf_is_scikit_learns_over_the_words(catalogue, tmp_path, ngrams, min_rows):
    train = np.arange(0, 240, 2)
    encoded = encode_for_linear(catalogue, data.load_ngrams("tiny", "plain", "none", ngrams), ["text"], train, min_rows)
    theirs = TfidfVectorizer(ngram_range=(1, ngrams), sublinear_tf=True, min_df=min_rows)
    rows = texts(tmp_path)
    expected = theirs.fit([rows[row] for row in train]).transform(rows).toarray()
    words = artifacts.read_json(tmp_path / "build/tiny/text/words.json")
    names = [" ".join(words[word] for word in ngram if word >= 0) for ngram in encoded.words]
    order = [names.index(name) for name in theirs.get_feature_names_out()]
    assert len(order) == len(names)
    np.testing.assert_allclose(encoded.X.toarray()[:, order], expected, atol=1e-6)
    np.testing.assert_allclose(encoded.idf[order], theirs.idf_, atol=1e-6)


def test_ngrams_do_not_reach_from_one_row_into_the_next():
    ngrams = count_ngrams(Sequences(np.array([0, 2, 2, 5]), np.array([3, 1, 1, 3, 1], np.int32)), n=3)
    named = {tuple(word for word in ngram if word >= 0): i for i, ngram in enumerate(ngrams.words.tolist())}
    assert set(named) == {(1,), (3,), (3, 1), (1, 3), (1, 3, 1)}
    assert ngrams.counts.toarray()[:, named[3, 1]].tolist() == [1, 0, 1]
    assert ngrams.counts.toarray()[:, named[1,]].tolist() == [1, 0, 2]


def test_texts_without_a_word_have_no_ngrams():
    assert count_ngrams(Sequences(np.zeros(4, np.int64), np.empty(0, np.int32)), n=2).counts.shape == (3, 0)


def test_an_unknown_brand_is_no_column(catalogue):
    train = np.flatnonzero(catalogue.products["brand"] != "brand 0")
    encoded = encode_for_linear(catalogue, None, ["brand"], train, 1)
    assert "brand 0" not in encoded.brands
    other = np.flatnonzero(catalogue.products["brand"] == "brand 0")
    assert encoded.X[other].nnz == 0
    assert (encoded.X[train].sum(axis=1) == 1).all()


@pytest.mark.parametrize("inputs", [["image"], ["brand", "image"]])
def test_dense_rows_are_the_standardised_image_and_the_brand(catalogue, inputs):
    train = np.arange(100)
    encoded = encode_dense(catalogue, inputs, train)
    rows = encoded.rows(train)
    assert rows.dtype == np.float32
    assert rows.shape == (100, 8 + len(encoded.brands))
    np.testing.assert_allclose(rows[:, :8].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(rows[:, :8].std(0), 1, atol=1e-3)
    if "brand" in inputs:
        brands = catalogue.products["brand"].iloc[train].tolist()
        assert [encoded.brands[i] for i in rows[:, 8:].argmax(1)] == brands


def test_another_study_of_the_same_name_has_its_own_ngrams(catalogue, tmp_path, monkeypatch):
    first = data.load_ngrams("tiny", "plain", "none", 2).counts.shape
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    tiny.write(tmp_path / "other", products=60)
    data.load_text.cache_clear()
    assert data.load_ngrams("tiny", "plain", "none", 2).counts.shape[0] == 60 != first[0]
