"""Spellings of a class are one class, and names that are no good are counted."""

import pandas as pd
import pytest

from lib.clean.taxonomy import called_missing, encode_levels, fold_spellings, named_like_product
from lib.config import LEVELS
from lib.config.base import ENDS_HERE
from lib.exceptions import StudyError


def table(*paths, **columns):
    return pd.DataFrame(paths, columns=list(LEVELS), dtype="str").assign(**columns)


def test_the_most_frequent_spelling_stands_for_all_and_of_equals_the_first_by_text():
    paths = [("Garden", "Pots", "Clay pots")] * 2 + [("GARDEN", "pots", "ClayPots")] * 3 + [("garden", "POTS", "Hoses")]
    folded, respelled = fold_spellings(table(*paths))
    assert set(folded["level_1"]) == {"GARDEN"}
    assert set(folded["level_2"]) == {"pots"}
    assert folded["level_3"].tolist() == ["ClayPots"] * 5 + ["Hoses"]
    assert respelled == {
        "level_1: Garden → GARDEN": 2, "level_1: garden → GARDEN": 1, "level_2: Pots → pots": 2,
        "level_2: POTS → pots": 1, "level_3: Clay pots → ClayPots": 2,
    }  # fmt: skip
    tied, _ = fold_spellings(table(("b", "x", "y"), ("B", "x", "z")))
    assert set(tied["level_1"]) == {"B"}


def test_forms_of_characters_are_one_spelling_and_accents_and_hyphens_are_not():
    paths = [
        ("Home", "Déco", "ﬁles"),
        ("Home", "De\u0301co", "files"),
        ("Home", "Deco", "T-Shirts"),
        ("Home", "Déco", "TShirts"),
    ]
    folded, _ = fold_spellings(table(*paths))
    assert folded["level_2"].nunique() == 2
    assert folded["level_3"].nunique() == 3


def test_one_spelling_is_left_as_it_is():
    paths = table(("Home", "Bath", "Mats"), ("Home", "Bed", ENDS_HERE))
    folded, respelled = fold_spellings(paths)
    assert folded.equals(paths)
    assert respelled == {}


def test_names_that_say_that_there_is_none_are_counted():
    found = called_missing(table(("Home", "NULL", "nan"), ("Home", "-", "Nancy"), brand=["N/A", "None Such"]))
    assert found == {"brand: N/A": 1, "level_2: -": 1, "level_2: NULL": 1, "level_3: nan": 1}


def test_a_class_is_named_like_its_product_if_all_of_its_products_are_called_so():
    paths = [
        ("Home", "Bath", "Soap Ida"),
        ("Home", "Bath", "Mats"),
        ("Home", "Bath", "Mats"),
        ("Home", "Bed", "Duvet Ole"),
    ]
    titles = ["SOAP IDA", "Mats", "Mats of cork", "Duvet Eva"]
    assert named_like_product(table(*paths, title=titles)) == (1, 1)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([("Shop", "A", "B"), ("Shop", "C", "D")], r"\['Shop'\] in level_1\..*`categories\.leave_out: \['Shop'\]`"),
        (
            [("A", "B", ENDS_HERE), ("C", "D", ENDS_HERE)],
            r"'\(ends here\)'\] in level_3\..*`categories\.shallower: repeat`",
        ),
        ([("A", "B", "C"), ("D", "B", "E")], r"\['B'\] in level_2\. Expected two or more.*python -m lib.check"),
    ],
)
def test_a_single_class_is_refused_with_what_helps(paths, message):
    with pytest.raises(StudyError, match=message):
        encode_levels(table(*paths), "mine")
