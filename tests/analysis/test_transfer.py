"""Another marketplace: mappings of categories, what a pair is measured on, and a shop that speaks a dialect."""

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml
from pydantic import ValidationError

from lib import config, files
from lib.analysis import transfer
from lib.analysis.mapping import APART, CategoryMapping, map_taxonomy, read_mapping
from lib.clean.splits import training_rows
from lib.demo_shop import generate, truth
from lib.demo_shop.world import lexicon
from lib.exceptions import StudyError
from lib.features import text

SOURCE = {
    "levels": [["men", "women"], ["bags", "shoes"], ["boots", "totes"]],
    "paths": [[0, 1, 0], [1, 0, 1], [1, 1, 0]],
}
TARGET = {"levels": [["gents", "women"], ["shoes"], ["boots", "wellies"]], "paths": [[0, 0, 0], [1, 0, 1]]}
ASKED = {"mapping": "mapping.yaml", "labels": [20], "seeds": 2}
OTHERS = {"other": {"source": ".", "tagged_by": "tiny"}}
RENAMED = {"class 0": "first", "class 1": "second", "class 2": "third", "class 3": "fourth"}


# Mappings


MEN, BOOTS = {"gents": "men"}, {"wellies": "boots"}
WHOLE = {"gents > shoes > boots": "women > bags > totes", "women > shoes > wellies": None}


def mapped(**settings) -> list[list[int]]:
    return map_taxonomy(CategoryMapping(**settings), TARGET, SOURCE).tolist()


def test_names_are_mapped_those_that_are_the_same_need_no_mapping_and_whole_paths_have_precedence():
    assert mapped(levels={"level_1": MEN, "level_3": BOOTS}) == [[0, 1, 0], [1, 1, 0]]
    assert mapped(levels={"level_1": MEN, "level_3": {"wellies": None}}) == [[0, 1, 0], [APART] * 3]
    assert mapped(paths=WHOLE) == [[1, 0, 1], [APART] * 3]


def test_a_mapping_of_any_size_sets_apart_what_the_source_has_not():
    assert mapped(absent="apart", levels={"level_1": {"gents": "mens"}, "level_3": BOOTS}) == [[APART] * 3, [1, 1, 0]]
    with pytest.raises(StudyError, match="the target's 'wellies' is not mapped"):  # forgotten is not set apart
        mapped(absent="apart", levels={"level_1": {"gents": "mens"}})


def test_every_name_that_leads_nowhere_is_told_with_the_nearest_one():
    with pytest.raises(StudyError) as error:
        mapped(levels={"level_1": {"gents": "mens"}}, paths={"a > b > c": "womn > bags > totes", "d > e > f": "women"})
    assert "'gents' is mapped to 'mens', which the source has not. Did you mean 'men'?" in str(error.value)
    assert "the target's 'wellies' is not mapped" in str(error.value)
    assert "level_1 has no 'womn'" in str(error.value)
    assert "'d > e > f' is mapped to 'women'; expected A > B > C" in str(error.value)


@pytest.mark.parametrize("change", [{"labels": [50, 20]}, {"labels": []}, {"seeds": 0}])
def test_what_is_asked_of_a_target_is_checked(change):
    with pytest.raises(ValidationError):
        config.Transfer.model_validate(ASKED | change)


# The shop that speaks a dialect


def test_the_committed_mapping_undoes_the_dialect():
    usual, british = lexicon(), lexicon("british")
    levels = read_mapping(tiny.REPOSITORY / "catalogues/mappings/british.yaml").levels
    assert [levels.level_1[name] for name in british.departments] == list(usual.departments)
    assert [levels.level_2[name] for name in british.types] == list(usual.types)
    for own, other in zip(usual.types.values(), british.types.values(), strict=True):
        assert [levels.level_3[name] for name in other.subtypes] == list(own.subtypes)


def test_a_dialect_changes_words_and_nothing_else():
    usual, spoken = (list(generate(200, 7, photos=True, dialect=dialect)) for dialect in (None, "british"))
    assert [record.photo for record in usual] == [record.photo for record in spoken]
    assert [record.product_id for record in usual] == [record.product_id for record in spoken]
    assert not {record.brand for record in usual} & {record.brand for record in spoken} - {"", None}
    levels = read_mapping(tiny.REPOSITORY / "catalogues/mappings/british.yaml").levels
    pairs = list(zip(islice(truth(200, 7), 50), islice(truth(200, 7, "british"), 50), strict=True))
    assert [a.level_3 for a, _ in pairs] == [levels.level_3[b.level_3] for _, b in pairs]


def test_an_unknown_dialect_is_named_with_the_nearest():
    with pytest.raises(StudyError, match="Did you mean 'british'"):
        lexicon("britsh")


# A pair


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A source with a trained `best`, and a target: the same products under other names, most of its brands unknown."""
    root = tmp_path_factory.mktemp("pair")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        tiny.write(root, others=OTHERS)
        manifest = {"weights_sha256": "0" * 64, "dimension": 8}
        files.write_json(root / "build/tiny/image/manifest.json", manifest)
        tiny.train_best()
        other(root)
    return root


def other(root: Path) -> None:
    """Make the target of the source: names of level 3 and brands are others, and one class has no counterpart."""
    shutil.copytree(root / "build/tiny", root / "build/other", ignore=shutil.ignore_patterns("models"))
    (root / "catalogues/other.yaml").write_text(yaml.safe_dump(tiny.catalogue(transfer=ASKED)))
    folder = root / "build/other/clean"
    table = pd.read_parquet(folder / "products.parquet")
    table = table.assign(level_3=table["level_3"].map(RENAMED), brand="other " + table["brand"])
    table.to_parquet(folder / "products.parquet")
    taxonomy = json.loads((folder / "taxonomy.json").read_text())
    taxonomy["levels"][2] = [RENAMED[name] for name in taxonomy["levels"][2]]
    files.write_json(folder / "taxonomy.json", taxonomy)
    mapping = {name: old for old, name in RENAMED.items()} | {"fourth": None}
    (root / "mapping.yaml").write_text(yaml.safe_dump({"levels": {"level_3": mapping}}))
    text.extract_text("other")


@pytest.fixture
def pair_root(made, monkeypatch) -> Path:
    monkeypatch.setenv("STUDY_ROOT", str(made))
    tiny.forget()
    return made


@pytest.fixture
def changed(made, tmp_path, monkeypatch) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(made, tmp_path / "study")
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path / "study"))
    tiny.forget()
    return tmp_path / "study"


def test_a_pair_is_measured(pair_root):
    pair = transfer.open_pair("other")
    home, away = transfer.by_inputs(pair.own, pair.source), transfer.by_inputs(pair.tagger, pair.target)
    every = tuple(pair.own.inputs)
    ways = {**transfer.by_labels(pair), transfer.Way(transfer.HOME, 0): home[every]}
    counts = transfer.scope_table(pair).set_index("what")["products"]
    table = pd.read_parquet(pair_root / "build/other/clean/products.parquet")
    tested = table[table["grouped_split"] == "test"]
    assert counts["of a category without counterpart, set apart"] == (tested["level_3"] == "fourth").sum() > 0
    assert counts["of a brand that the source has not, or of none"] == len(pair.target.tested)
    assert counts["on a path that the source has no product of"] == 0

    curve = transfer.curve_table(ways).query("metric == 'path'").set_index(["way", "labels"])
    most = max(size for _, size in curve.index)
    assert curve["mean"]["source", 0] > 0.5  # the same words, and photos that are told apart
    assert curve["mean"]["source_and_target", most] >= curve["mean"]["target", 20]
    assert curve["seeds"].to_dict() | {("target", 20): 2, ("target", most): 1} == curve["seeds"].to_dict()

    lost = transfer.contrast_table(ways).set_index(["a", "a_labels", "b", "b_labels"]).loc["source", 0, "at_home", 0]
    inputs = transfer.input_table(home, away).set_index("shown").loc["+".join(every)]
    assert lost["difference"] == pytest.approx(curve["mean"]["source", 0] - curve["mean"]["at_home", 0])
    assert (lost["low"], lost["high"]) == (inputs["difference_low"], inputs["difference_high"])
    brand = transfer.added_table(home, away).set_index("input").loc["brand"]
    others = away[tuple(name for name in every if name != "brand")].values[0, -1]
    assert brand["away"] == pytest.approx(away[every].values[0, -1] - others)


def test_labels_of_test_products_have_no_say(pair_root):
    pair = transfer.open_pair("other")
    labelled, _ = training_rows(pair.target.table, "grouped", 20, 0)
    source, paths = transfer.source_levels(pair.tagger, pair.target), pair.tagger.paths
    before = transfer.learn(pair.target, labelled, source, paths, 0)
    codes = pair.target.codes.copy()
    codes[pair.target.tested] = paths[0]
    after = transfer.learn(pair.target._replace(codes=codes), labelled, source, paths, 0)
    assert (before[transfer.ALONE] == after[transfer.ALONE]).all()
    assert (before[transfer.BOTH] == after[transfer.BOTH]).all()
    assert {tuple(path) for path in before[transfer.BOTH].tolist()} <= {tuple(path) for path in paths.tolist()}


def test_photos_of_another_backbone_are_not_shown_to_the_source(changed):
    files.write_json(changed / "build/other/image/manifest.json", {"weights_sha256": "1" * 64, "dimension": 8})
    pair = transfer.open_pair("other")
    assert not pair.comparable
    assert pair.target.readable.image is None
    assert len(transfer.source_levels(pair.tagger, pair.target)) == 1
    assert np.asarray(pair.target.products.image).any()  # but the target's own labels teach what its photos say


def test_a_target_without_photos_is_tagged_by_its_words(changed):
    folder = changed / "build/other/image"
    np.save(folder / "features.npy", np.zeros((len(np.load(folder / "features.npy")), 0), np.float16))
    files.write_json(folder / "manifest.json", {"weights_sha256": "0" * 64, "dimension": 0})
    assert transfer.hindrance("other") is None
    pair = transfer.open_pair("other")
    assert pair.target.products.image is None
    assert len(transfer.encode(pair.target.products, pair.target.tested)) == 1
    assert pair.source.products.image is not None


def test_what_a_pair_lacks_is_told(changed):
    with pytest.raises(StudyError, match="others has no 'pear'"):
        transfer.open_pair("pear")
    shutil.rmtree(changed / "build/tiny/models")
    assert "`best` was not trained on 'tiny'" in transfer.hindrance("other")
    with pytest.raises(StudyError, match="no trained 'best'"):
        transfer.open_pair("other")
    (changed / "mapping.yaml").write_text(yaml.safe_dump({"levels": {"level_3": dict.fromkeys(RENAMED.values())}}))
    with pytest.raises(StudyError, match="no category path of 'other' has a counterpart"):
        transfer.open_pair("other")
