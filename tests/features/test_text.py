"""Words: vocabularies, bags and TF-IDF are those of scikit-learn, and only training rows have a say in them."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from lib.features.text import STOP_WORDS, Texts, Tfidf, bag_of_words, count_ngrams, fit_vocabulary

STRINGS = ["Red shoe, red laces", "", "A blue shoe with the laces", "coat", "shoe with RED laces", "the of a"]
NEW = ["red words nobody knows", "", "laces shoe laces", "blue coat, blue coat"]


def test_words_keep_their_order_and_their_numbers_do_not_depend_on_that_of_rows():
    texts = Texts.of(STRINGS).without(STOP_WORDS["english"])
    rows = [[texts.words[i] for i in row] for row in np.split(texts.ids, texts.indptr[1:-1])]
    assert rows[:4] == [["red", "shoe", "red", "laces"], [], ["blue", "shoe", "laces"], ["coat"]]
    assert Texts.of(STRINGS).words == Texts.of(STRINGS[::-1]).words == sorted(Texts.of(STRINGS).words)
    kept = Texts.of(STRINGS).without(STOP_WORDS["none"])
    assert "the" in [kept.words[i] for i in kept.ids]


@pytest.mark.parametrize("strings", [STRINGS, NEW])
def test_the_bag_is_that_of_scikit_learn(strings):
    vocabulary = fit_vocabulary(Texts.of(STRINGS), 100)
    theirs = CountVectorizer(vocabulary=vocabulary, binary=True).transform(strings).toarray()
    np.testing.assert_array_equal(bag_of_words(Texts.of(strings), vocabulary).toarray(), theirs)


def test_the_vocabulary_is_the_most_frequent_words_of_the_rows_that_it_is_given():
    assert fit_vocabulary(Texts.of(STRINGS).take(np.array([0, 3])), 1) == ["red"]
    assert "blue" not in fit_vocabulary(Texts.of(STRINGS).take(np.array([0, 3])), 100)


@pytest.mark.parametrize(("n", "min_rows"), [(1, 1), (2, 2), (3, 1)])
def test_tfidf_is_scikit_learns_also_of_new_texts(n, min_rows):
    theirs = TfidfVectorizer(ngram_range=(1, n), sublinear_tf=True, min_df=min_rows).fit(STRINGS)
    ours = Tfidf(n, min_rows).fit(Texts.of(STRINGS))
    assert sorted(ours.ngrams) == sorted(theirs.get_feature_names_out())
    order = [ours.ngrams.index(name) for name in theirs.get_feature_names_out()]
    np.testing.assert_allclose(ours.idf[order], theirs.idf_, atol=1e-6)
    for strings in (STRINGS, NEW):  # an n-gram does not reach from one row into the next
        expected = theirs.transform(strings).toarray()
        np.testing.assert_allclose(ours.transform(Texts.of(strings)).toarray()[:, order], expected, atol=1e-6)


def test_where_there_is_not_a_word_there_is_not_a_column():
    silent = Texts.of(["", ""])
    assert bag_of_words(silent, fit_vocabulary(silent, 10)).shape == (2, 0)
    assert count_ngrams(silent, 2)[0].shape == (2, 0)
    assert Tfidf(2, 1).fit(silent).transform(Texts.of(NEW)).shape == (4, 0)
    assert bag_of_words(Texts.of(NEW), []).nnz == 0
