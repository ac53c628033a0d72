"""`claims.yaml`: what is wrong in it is named in one message, and where."""

import shutil
from pathlib import Path

import pytest
import yaml

from lib.evaluation.claims import load_claims
from lib.exceptions import StudyError

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def claims(study) -> dict:
    """Return the content of a study's `claims.yaml`, to be spoiled and written again."""
    shutil.copy(PROJECT / "claims.yaml", study)
    return yaml.safe_load((study / "claims.yaml").read_text("utf-8"))


def write(study: Path, content: dict) -> None:
    (study / "claims.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def test_the_committed_claims_are_valid(study, claims):
    assert len(load_claims().claims) == len(claims["claims"])


def test_a_missing_file_is_named(study):
    with pytest.raises(StudyError, match=r"claims\.yaml is missing"):
        load_claims()


RULE = {"metric": "mean", "a": "brand", "b": "naive", "at": "each", "above": 0}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (RULE | {"a": "brand_txt"}, r"claim 'top_category_99' names .* 'brand_txt'.*Did you mean 'brand_text'"),
        (RULE | {"metric": "level_4"}, r"claims\.0\.rule.*there is no quantity 'level_4'.*Did you mean 'level_"),
        (RULE | {"below": 1}, r"exactly one of 'above', 'below' and 'within'\. Found \['above', 'below'\]"),
        ({k: v for k, v in RULE.items() if k != "above"}, "exactly one of .* Found none"),
        (RULE | {"within": -1, "above": None}, "greater than 0. Got -1"),
        (RULE | {"at": "eech"}, r"claims\.0\.rule\.0\.at.*Got 'eech'"),
        ({k: v for k, v in RULE.items() if k != "at"}, r"claims\.0\.rule\.0\.at"),
        (RULE | {"belov": 0}, r"unknown key 'belov'; expected one of .*Did you mean 'below'"),
        (RULE | {"a": {"variant": "lstm", "decoding": "firm"}}, r"decoding.*Got 'firm' instead"),
        (RULE | {"a": []}, r"rule\.0\.a: .* should have at least 1 item.*Got \[\] instead"),
        ([], r"claims\.0\.rule: .* should have at least 1 item.*Got \[\] instead"),
        ([RULE, RULE | {"a": "brand_txt"}], "claim 'top_category_99' names .* 'brand_txt'"),
        (RULE | {"a": {"variant": "brand_text", "text": "plane"}}, r"text.*Got 'plane' instead"),
    ],
)  # fmt: skip
def test_a_wrong_rule_gets_one_clear_message(study, claims, rule, message):
    claims["claims"][0]["rule"] = rule
    write(study, claims)
    with pytest.raises(StudyError, match=message) as caught:
        load_claims()
    assert "claims.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"), [("last week", r"claims\.0\.changed: .*date.*last week"), (None, "date")]
)
def test_a_rule_needs_the_day_on_which_it_was_changed(study, claims, changed, message):
    claims["claims"][0]["changed"] = changed
    write(study, claims)
    with pytest.raises(StudyError, match=message):
        load_claims()


def test_an_unknown_key_of_a_claim_is_named(study, claims):
    claims["claims"][0]["sauce"] = "abstract"
    write(study, claims)
    with pytest.raises(StudyError, match=r"unknown key 'sauce'.*Did you mean 'source'"):
        load_claims()


def test_two_claims_of_one_id_are_refused(study, claims):
    claims["claims"].append(claims["claims"][0])
    write(study, claims)
    with pytest.raises(StudyError, match=r"More than once: \['top_category_99'\]"):
        load_claims()


def test_a_way_that_names_an_unknown_variant_is_refused(study, claims):
    claims["ways"]["coded"]["variants"]["sequental"] = {"recipes": ["paper"], "measured_on": "test"}
    write(study, claims)
    with pytest.raises(StudyError, match=r"the way 'coded' names the variant 'sequental'.*Did you mean 'sequential'"):
        load_claims()


def test_the_published_numbers_are_a_way_that_is_always_there(study, claims):
    claims["ways"]["published"] = claims["ways"]["intended"]
    write(study, claims)
    with pytest.raises(StudyError, match="'published' is always there"):
        load_claims()
