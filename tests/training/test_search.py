"""Hyperparameters are chosen on the development part; every trial is logged, and none is done twice."""

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from lib import config
from lib.exceptions import StudyError
from lib.models.inputs import load_catalogue_data
from lib.training import search

LINEAR = {
    "variants": ["linear"],
    "text": "masked",
    "sizes": [40, "all"],
    "trials": 3,
    "keep": 0.34,
    "space": {"C": [0.1, 5.0]},
}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    tiny.write(tmp_path, development=0.2)
    yield tmp_path
    tiny.forget()


def ask(root, **searches):
    content = {"catalogue": "tiny", "searches": searches}
    (root / "searches.yaml").write_text(yaml.safe_dump(content))


def test_search_logs_each_trial_carries_the_best_on_and_goes_on_where_it_was(study, capsys):
    ask(study, linear=LINEAR)
    search.main(["linear"])
    log = pd.read_csv(study / "reports/tiny/search.csv", dtype={"size": str})
    assert log.groupby("size")["trial"].nunique().to_dict() == {"40": 3, "all": 1}
    best = search.ranking(log, "linear", "40").index[0]
    assert set(log["trial"][log["size"] == "all"]) == {best}
    assert "(as in params.yaml)" in capsys.readouterr().out or best != 0
    before = (study / "reports/tiny/search.csv").stat().st_mtime_ns
    search.main([])
    assert (study / "reports/tiny/search.csv").stat().st_mtime_ns == before


def test_first_trial_is_what_params_yaml_has(study):
    ask(study, linear=LINEAR)
    asked = config.load(search.Searches, study / "searches.yaml").searches["linear"]
    assert asked.settings(config.load_params())[0] == {"C": config.load_params().variants["linear"].C}


def test_numbers_are_drawn_between_their_limits_the_same_ones_every_time(study):
    space = {"C": {"low": 0.1, "high": 10.0, "log": True}, "ngrams": [1, 2]}
    asked = search.Search.model_validate(LINEAR | {"trials": 50, "space": space})
    drawn = asked.settings(config.load_params())
    assert drawn == asked.settings(config.load_params())
    assert all(0.1 <= one["C"] <= 10 for one in drawn)
    assert 15 < sum(one["C"] < 1 for one in drawn) < 35


def test_no_test_product_of_a_main_split_is_fitted_or_measured_on(study):
    products = load_catalogue_data("tiny").products
    train, held, development = search.parts(products, "all")
    used = np.concatenate([train, held, development])
    assert len(set(used)) == len(used)
    for split in ("random", "grouped"):
        assert not (products[f"{split}_split"].iloc[used] == "test").any()
    assert (products["grouped_split"].iloc[development] == "development").all()
    assert not set(products["group"].iloc[development]) & set(products["group"].iloc[[*train, *held]])


def test_hidden_inputs_are_measured_too(study):
    asked = search.Search.model_validate(LINEAR | {"hidden": ["text", "brand"]})
    rows = search.fit_once("tiny", asked, "linear", {"C": 1.0}, 40)
    assert [row["hidden"] for row in rows] == ["", "text", "brand"]
    assert rows[0]["path"] > rows[1]["path"]


def test_catalogue_without_a_development_part_is_refused(study):
    tiny.write(study)
    with pytest.raises(StudyError, match="A search needs a development part"):
        search.parts(load_catalogue_data("tiny").products, 40)


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        ({"variants": ["liner"]}, [], "names 'liner'.*Did you mean 'linear'"),
        ({"recipe": "tunned"}, [], "names 'tunned'.*Did you mean 'tuned'"),
        ({}, ["other"], "has no search 'other'"),
    ],
)
def test_what_is_unknown_is_one_message(study, capsys, change, names, message):
    ask(study, linear=LINEAR | change)
    with pytest.raises(SystemExit):
        search.main(names)
    assert pd.Series([capsys.readouterr().err]).str.contains(message).all()
