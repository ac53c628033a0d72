"""Words of every script: shingles, masks and models take the same runs for words."""

import pytest

from lib.clean.shingles import shingles
from lib.clean.words import words
from lib.features.text import Texts, bag_of_words, fit_vocabulary, tokenize


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Men's T-shirt, size_8", ["men", "s", "t", "shirt", "size", "8"]),
        ("Décolleté Straße", ["décolleté", "strasse"]),
        ("cafe\u0301 noir", ["cafe\u0301", "noir"]),  # an accent that is a character of its own
        ("हल्की सूती साड़ी, २ मीटर", ["हल्की", "सूती", "साड़ी", "२", "मीटर"]),
        ("حذاء جلدي أسود، مقاس ٤٢", ["حذاء", "جلدي", "أسود", "مقاس", "٤٢"]),
        ("따뜻한 울 코트", ["따뜻한", "울", "코트"]),
        ("木の椅子", ["木の", "の椅", "椅子"]),
        ("茶、塩", ["茶", "塩"]),
        (
            "チョコレート",
            ["チョコ", "コレー", "レート"],
        ),  # small kana and the long vowel stand with what is before them
        ("纯羊毛围巾 红色", ["纯羊", "羊毛", "毛围", "围巾", "红色"]),
        ("USB充电器2个", ["usb", "充电", "电器", "2", "个"]),
        ("รองเท้า", ["รอ", "อง", "งเท้า"]),  # a vowel before its consonant, and a tone above it
        ("ກະເປົາ", ["ກະເປົາ"]),
        ("ស្បែក", ["ស្បែក"]),  # a consonant below another
        ("👕👍🏽 ❤️ 1️⃣ new!", ["1", "new"]),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_marks_and_digits_or_pairs_of_units(text, found):
    assert words(text) == found


def test_models_read_the_same_words_but_no_single_letters():
    assert tokenize("a V neck, 8 or XL") == ["neck", "or", "xl"]
    assert tokenize("울 코트 x 茶") == ["울", "코트", "茶"]
    assert tokenize("Size_chart __") == ["size_chart", "__"]


@pytest.mark.parametrize("text", ["手編みのマフラー、青", "เสื้อยืดสีดำ", "नरम ऊनी टोपी", "부드러운 양말", "Plain socks"])
def test_sequence_and_bag_agree_and_words_parted_by_blanks_are_the_same_words(text):
    texts = Texts.of([text])
    sequence = [texts.words[token] for token in texts.ids]
    assert sequence == tokenize(text)
    assert set(sequence) <= set(words(text))
    vocabulary = fit_vocabulary(texts, 100)
    assert sorted(vocabulary) == sorted(set(sequence))
    assert bag_of_words(texts, vocabulary).toarray().tolist() == [[1.0] * len(vocabulary)]
    assert tokenize(" ".join(sequence)) == sequence


def test_nearly_equal_sentences_without_spaces_share_shingles():
    one, other, third = (set(row.indices.tolist()) for row in shingles([
        "手触りのよい綿で織った軽い毛布です。洗濯機で洗えます。",
        "手触りのよい綿で織った重い毛布です。洗濯機で洗えます。",
        "深めの鍋で、煮物にも揚げ物にも使えます。",
    ]))  # fmt: skip
    assert len(one & other) / len(one | other) > 0.5
    assert not one & third
