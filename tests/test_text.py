import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from lib import text

TEXTS = ["Red shoe, red laces", "", "A blue shoe with the laces", "coat"]


@pytest.fixture
def interned():
    words, [sequences] = text.intern(TEXTS)
    return words, text.without(sequences, words, text.STOP_WORDS["english"])


def test_sequences_keep_every_token_in_order(interned):
    words, sequences = interned
    parts = np.split(sequences.ids, sequences.indptr[1:-1])
    rows = [[words[i] for i in part] for part in parts]
    assert rows == [["red", "shoe", "red", "laces"], [], ["blue", "shoe", "laces"], ["coat"]]


def test_stop_words_are_kept_where_none_are_named():
    words, [sequences] = text.intern(TEXTS)
    assert text.without(sequences, words, text.STOP_WORDS["none"]).ids.tolist() == sequences.ids.tolist()
    assert "the" in [words[i] for i in sequences.ids]


def test_numbers_do_not_depend_on_the_order_of_rows():
    forward, _ = text.intern(TEXTS)
    backward, _ = text.intern(TEXTS[::-1])
    assert forward == backward == sorted(forward)


def test_columns_share_their_numbers():
    words, [first, second] = text.intern(["shoe"], ["red shoe"])
    assert first.ids[0] == second.ids[1] == words.index("shoe")


def test_the_bag_is_that_of_scikit_learn(interned):
    words, sequences = interned
    vocabulary = text.fit_vocabulary(sequences, len(words))
    ours = text.bag_of_words(sequences, vocabulary)
    theirs = CountVectorizer(vocabulary=[words[i] for i in vocabulary], binary=True).transform(TEXTS)
    assert (ours.toarray() == theirs.toarray()).all()


def test_the_vocabulary_is_the_most_frequent_words_of_the_rows_that_it_is_given(interned):
    words, sequences = interned
    frequent = text.fit_vocabulary(text.take(sequences, np.array([0, 3])), 1)
    assert [words[i] for i in frequent] == ["red"]


def test_a_word_outside_the_vocabulary_leaves_no_trace(interned):
    _, sequences = interned
    training_only = text.fit_vocabulary(text.take(sequences, np.array([3])), 5000)
    assert text.bag_of_words(sequences, training_only).toarray().tolist() == [[0], [0], [0], [1]]


def test_a_catalogue_without_a_single_word_has_an_empty_bag():
    _, [sequences] = text.intern(["", ""])
    vocabulary = text.fit_vocabulary(sequences, 10)
    assert text.bag_of_words(sequences, vocabulary).shape == (2, 0)


def test_an_empty_training_text_meets_words_for_the_first_time(interned):
    _, sequences = interned
    assert text.bag_of_words(sequences, np.empty(0, np.int64)).nnz == 0
