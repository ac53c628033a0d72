"""What was found is measured against the truth, and each number can come out wrong."""

import numpy as np
import pandas as pd
import pytest
import yaml

from lib import config, files
from lib.clean.clean import clean
from lib.clean.masking import Masker
from lib.clean.truth import (
    Score,
    category_words,
    group_score,
    known_truth,
    label_suspicion,
    measure_cleaning,
    reject_score,
    wrong_label_score,
)
from lib.collect import collect
from lib.exceptions import StudyError

TRUE = pd.DataFrame(
    {
        "product_id": list("abcdef"),
        "family": [1, 1, 1, 2, 2, 3],
        "damage": [(), ("wrong_label",), ("no_path",), (), ("no_brand", "no_level_2"), ("wrong_label", "no_photo")],
    }
)


def grouped(groups, ids="abcdef"):
    return pd.DataFrame({"product_id": list(ids), "group": groups})


def rejected(ids):
    return pd.DataFrame({"product_id": list(ids)}, dtype="str")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return the folder of a small demo shop that was collected and cleaned."""
    root = tmp_path_factory.mktemp("shop")
    (root / "catalogues").mkdir()
    catalogue = config.load_catalogue("demo").model_dump(exclude_none=True)
    catalogue["shop"] = {"products": 600, "seed": 7}
    (root / "catalogues/demo.yaml").write_text(yaml.safe_dump(catalogue))
    params = yaml.safe_load((config.root() / "params.yaml").read_text())
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        collect("demo")
        clean("demo")
    return root


# Scores


def test_score_of_nothing_is_no_number():
    assert np.isnan([Score(0, 0, 5).precision, Score(5, 0, 0).recall]).all()


@pytest.mark.parametrize(
    ("groups", "score"),
    [
        ([0, 0, 0, 1, 1, 2], Score(4, 4, 4)),
        ([0, 0, 3, 1, 1, 2], Score(2, 2, 4)),  # one of a family of three is missed
        ([0, 0, 0, 1, 1, 1], Score(6, 4, 4)),  # a stranger is taken in
        ([0, 1, 2, 3, 4, 5], Score(0, 0, 4)),
        ([0, 0, 0, 0, 0, 0], Score(15, 4, 4)),
    ],
)
def test_groups_are_compared_pair_by_pair(groups, score):
    assert group_score(grouped(groups), TRUE) == score


def test_only_products_that_were_collected_count_in_groups():
    assert group_score(grouped([0, 0, 1], "abx"), TRUE) == Score(1, 1, 1)


@pytest.mark.parametrize(
    ("ids", "score"),
    [("ce", Score(2, 2, 2)), ("c", Score(1, 1, 2)), ("cea", Score(3, 2, 2)), ("", Score(0, 0, 2))],
)
def test_rejects_are_compared_with_incomplete_paths(ids, score):
    assert reject_score(list("abcdef"), rejected(ids), TRUE) == score


def test_product_that_was_not_collected_is_not_missed_among_the_rejects():
    assert reject_score(list("abc"), rejected("c"), TRUE) == Score(1, 1, 1)


@pytest.mark.parametrize(
    ("suspicion", "score"),
    [([0, 5, 1, 0, 2, 6], Score(2, 2, 2)), ([9, 5, 1, 0, 2, 6], Score(2, 1, 2)), ([0, 0, 1, 1, 0, 0], Score(2, 0, 2))],
)
def test_as_many_labels_are_suspected_as_are_wrong(suspicion, score):
    assert wrong_label_score(TRUE[["product_id"]], np.array(suspicion, float), TRUE) == score


def test_label_of_which_nothing_is_known_is_left_aside():
    products = pd.DataFrame({"product_id": ["x", "b", "a"]})
    assert wrong_label_score(products, np.array([9.0, 1.0, 0.0]), TRUE) == Score(1, 1, 1)


# Category words


NAMES = ["Men", "Watches", "Accessories", "Scarves", "Perfume and Body Mist", "T-Shirts", "Dresses", "Bras"]


@pytest.mark.parametrize(
    "word", ["Men", "man", "WATCH", "watches", "accessory", "scarf", "mist", "shirt", "dress", "bra"]
)
def test_category_word_is_found_in_singular_and_plural(word):
    assert category_words([f"one {word}, two", ""], NAMES).total() == 1


@pytest.mark.parametrize("word", ["and", "t", "brass", "menu", "watcher", "bodyguard"])
def test_other_words_are_no_category_words(word):
    assert category_words([f"one {word} two"], NAMES).total() == 0


def test_words_that_a_masker_forgets_are_counted():
    texts = ["Men's watches", "a dress and a bra"]
    assert category_words(Masker(NAMES).mask_all(texts)[0], NAMES).total() == 0
    assert category_words(Masker(NAMES[:-1]).mask_all(texts)[0], NAMES) == {"bra": 1}


@pytest.mark.parametrize(("names", "text", "count"), [
    (["टोपी"], "ऊनी टोपी, टोप", 1),
    (["帽子", "Hats"], "この帽子とhat、帽子", 3),
    (["(ends here)"], "ends here", 0),
])  # fmt: skip
def test_category_words_of_every_script_are_counted(names, text, count):
    assert category_words([text], names).total() == count
    assert category_words([Masker(names).mask(text)], names).total() == 0


# Suspicion


def labelled(rows=300):
    """Return products whose words tell their class, three rows a text."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, rows)
    words = np.array([["sole", "lace"], ["denim", "zip"], ["wool", "knit"]])
    text = [f"{rng.choice(words[code])} {rng.choice(words[code])} {rng.choice(['new', 'blue'])}" for code in codes]
    table = pd.DataFrame({"product_id": [f"p{row}" for row in range(rows)], "brand": "Acme", "text": text})
    return table.assign(level_1_code=codes // 2, level_2_code=codes, level_3_code=codes)


def test_planted_wrong_labels_are_the_most_suspicious():
    products = labelled()
    products.loc[:9, "level_2_code"] = (products.loc[:9, "level_2_code"] + 1) % 3
    assert set(np.argsort(-label_suspicion(products))[:10]) == set(range(10))


def test_class_with_one_row_and_level_with_one_class_do_no_harm():
    products = labelled().assign(level_1_code=0)
    products.loc[0, "level_3_code"] = 7
    suspicion = label_suspicion(products)
    assert suspicion.argmax() == 0
    assert (suspicion >= 0).all()


# A whole catalogue


def test_truth_of_a_catalogue_that_nobody_made_is_not_known(study):
    assert known_truth("fashion") is None
    assert measure_cleaning("fashion") is None


def test_truth_of_a_shop_names_each_product_once(shop, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(shop))
    true = known_truth("demo")
    assert true["product_id"].is_unique
    raw = pd.read_parquet(config.build_dir("demo", "raw/products.parquet"))
    assert 0.98 < raw["product_id"].isin(true["product_id"]).mean() <= 1


def test_shop_without_a_seed_is_one_message(study):
    path = study / "catalogues/demo.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"shop": {"products": 600}}))
    with pytest.raises(StudyError, match=r"shop\.seed"):
        known_truth("demo")


def test_cleaning_of_a_shop_is_as_good_as_promised(shop, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(shop))
    measured = measure_cleaning("demo")
    assert measured.loc["near-duplicate pairs", "precision"] > 0.95
    assert measured.loc["near-duplicate pairs", "recall"] > 0.9  # of families of more than five, some are cut
    assert measured.loc["rejected products", ["precision", "recall"]].tolist() == [1, 1]
    assert measured.loc["wrong labels", "there"] > 0
    products = pd.read_parquet(config.build_dir("demo", "clean/products.parquet"))
    taxonomy = files.read_json(config.build_dir("demo", "clean/taxonomy.json"))
    names = [name for level in taxonomy["levels"] for name in level]
    assert category_words(products["text"], names).total() > 500
    assert category_words(products["masked_text"], names).total() == 0


def test_measure_falls_when_groups_and_rejects_are_damaged(shop, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(shop))
    true = known_truth("demo")
    products = pd.read_parquet(config.build_dir("demo", "clean/products.parquet"))
    alone = products.assign(group=np.arange(len(products)))
    assert group_score(alone, true).recall == 0
    together = products.assign(group=products["group"] // 2)
    assert group_score(together, true).precision < 0.9
