"""No word of the taxonomy is left in a masked text, however it is inflected or spelled; everything else stays."""

import re

import pytest

from lib.clean.masking import Masker, inflections, normal

NAMES = [
    "Men", "Women", "Boys", "Tshirts", "Flip Flops", "Casual Shoes", "Dresses", "Watches", "Accessories", "Scarves",
    "Perfume and Body Mist", "Nightdress", "Bra", "Décolleté Tops", "T-Shirts & Polos", "Slip On",
]  # fmt: skip


@pytest.fixture(scope="module")
def masker():
    return Masker(NAMES)


def mask(masker, text):
    return masker.mask(text).split()


@pytest.mark.parametrize(
    "word",
    ["men", "MEN", "Men's", "men’s", "mens", "man", "man's", "women", "womens", "women's", "woman", "boy", "boys",
     "boy's", "dress", "dresses", "Dress's", "watch", "watches", "accessory", "accessories", "accessory's", "scarf",
     "scarves", "bra", "bras", "top", "tops", "polo", "polos", "decollete", "Décolleté"],
)  # fmt: skip
def test_word_goes_in_every_inflection(masker, word):
    assert mask(masker, f"one {word} two") == ["one", "two"]


@pytest.mark.parametrize(
    "spelling",
    ["tshirt", "Tshirts", "T-shirt", "t shirts", "T - Shirt", "t_shirt", "t-shirt's", "flipflop", "Flip-Flops",
     "flip flop", "FLIPFLOPS", "night dress", "night-dresses", "casualshoes", "casual-shoe", "slipon",
     "bodymist"],
)  # fmt: skip
def test_word_goes_in_joined_and_split_spellings(masker, spelling):
    assert mask(masker, f"one {spelling} two") == ["one", "two"]


def test_words_of_longer_names_go_one_by_one_but_function_words_stay(masker):
    assert mask(masker, "perfume and body wash, mist on shoes") == ["and", "wash,", "on"]


@pytest.mark.parametrize("word", ["tee", "shirting", "menu", "human", "dressing", "bottle", "t", "night", "bodyguard"])
def test_other_words_stay_even_if_they_contain_one(masker, word):
    assert mask(masker, f"one {word} two") == ["one", word, "two"]


def test_label_of_every_class_goes_from_every_text(masker):
    assert masker.mask("Boys love these watches; women love dresses.") == "love these; love."


def test_words_that_meet_once_others_are_gone_are_masked_too(masker):
    assert mask(masker, "a flip casual t men shirts end") == ["a", "end"]


def test_text_of_masked_words_alone_becomes_empty(masker):
    assert masker.mask("Men's T-Shirts - Tops") == ""
    assert masker.mask("") == ""


def test_text_without_such_words_is_left_as_it_is(masker):
    text = "Soft , airy -- and  odd   spacing 's"
    assert masker.mask(text) == text


@pytest.mark.parametrize("text", ["night (men) dress up", "Casual-shoes for women's feet, t-t-shirt", "boys' bra-top."])
def test_masked_text_leaks_nothing_and_masking_it_again_changes_nothing(masker, text):
    masked = masker.mask(text)
    assert masker.leaked_words(text)
    assert masker.leaked_words(masked) == []
    assert masker.mask(masked) == masked
    assert not re.search(r"\b(men|women|boys?|dress|shoes?|casual|bra|top|shirt)s?\b", masked, re.IGNORECASE)


def test_removed_words_are_counted(masker):
    masked, removed = masker.mask_all(["Men's t-shirt", "plain", "two tshirts for men"])
    assert masked == ["", "plain", "two for"]
    assert removed == {"men": 2, "tshirt": 1, "tshirts": 1}


def test_numbers_and_single_letters_of_names_are_no_words_of_their_own():
    assert Masker(["V Neck", "Pack of 2"]).mask("a v 2 neck pack") == "a v 2"


def test_taxonomy_without_words_masks_nothing():
    assert Masker(["&", "-"]).mask("a - b & c") == "a - b & c"


def test_inflections_do_not_cut_what_is_no_plural():
    assert "dres" not in inflections("dress")
    assert "ga" not in inflections("gas")
    assert {"tie", "ties"} <= inflections("ties")


def test_normal_form_folds_case_accents_and_possessives():
    assert normal("LÉGGINGS’S") == "leggings"


# Other scripts


@pytest.mark.parametrize(
    ("names", "text", "masked"),
    [
        # Where no spaces part words, a name goes wherever it stands, the longest first, with nothing between its units.
        (["帽子"], "この帽子は軽い。帽子", "この は軽い。"),
        (["コート", "レインコート"], "青いレインコートとコート", "青い と"),
        (["手袋", "袋"], "手、袋と手袋", "手、 と"),
        (["Tシャツ"], "白いTシャツ、T-シャツ、シャツ", "白い、、シャツ"),
        (["連衣裙", "女装"], "女装連衣裙，透气", "，透气"),
        (["裙"], "连衣裙很轻", "连衣 很轻"),
        (["หมวก"], "หมวกผ้าฝ้าย", "ผ้าฝ้าย"),
        (["Hats"], "この帽子hatは軽い", "この帽子 は軽い"),
        # A unit is not cut: a long vowel, a tone or a vowel makes another word of it.
        (["カバ"], "カバーとカバ", "カバーと"),
        (["กา"], "เกา กา้", "เกา กา้"),
        # Vowel signs are part of a word, and only whole words go.
        (["कुर्ता", "कम"], "सूती कुर्ता, कमर पर कम कुर्त", "सूती, कमर पर कुर्त"),
        (["टोपी"], "ऊनी टोपी और टोप", "ऊनी और टोप"),
        # What is written onto a word goes with it.
        (["모자", "옷"], "이 모자는 가볍다 모자를 모자이크 옷 옷감", "이 가볍다 모자이크 옷감"),
        (["حذاء"], "هذا الحذاء وحذاء ناعم", "هذا ناعم"),
        (["כובע"], "הכובע רך", "רך"),
        (["Ёлки"], "новые елки", "новые"),
    ],
)
def test_names_go_from_sentences_of_every_script(names, text, masked):
    masker = Masker(names)
    assert masker.mask(text) == masked
    assert masker.leaked_words(masked) == []
    assert masker.mask(masked) == masked


def test_parts_of_a_name_that_meet_once_another_is_gone_are_masked_too():
    masker = Masker(["Tシャツ", "Men"])
    assert masker.mask("白いT men シャツ") == "白い"


def test_words_on_both_sides_of_another_script_do_not_meet():
    assert Masker(["Tshirts"]).mask("T これは shirt") == "T これは shirt"


def test_the_name_of_a_level_that_a_path_does_not_reach_is_no_word():
    assert Masker(["(ends here)", "Hats"]).mask("It ends here, hats.") == "It ends here,."


def test_marks_other_than_accents_are_kept():
    assert normal("मोज़े") == "मोज़े"
    assert normal("Ёлка") == normal("елка")
    assert normal("ガウン") != normal("カウン")
