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

from lib import artifacts, config, splits, text
from lib.errors import StudyError
from lib.estimators import make_estimator
from lib.runs import Run
from lib.shop import generate, truth
from lib.shop.lexicon import lexicon
from lib.splits import training_rows
from lib.tables import write_tables
from lib.tasks import Task
from lib.transfer import charts, stage
from lib.transfer.answer import answer
from lib.transfer.mapping import APART, CategoryMapping, map_taxonomy, read_mapping
from lib.transfer.models import learn, source_levels
from lib.transfer.shops import in_scope, open_pair

SOURCE = {
    "levels": [["men", "women"], ["bags", "shoes"], ["boots", "totes"]],
    "paths": [[0, 1, 0], [1, 0, 1], [1, 1, 0]],
}
TARGET = {"levels": [["gents", "women"], ["shoes"], ["boots", "wellies"]], "paths": [[0, 0, 0], [1, 0, 1]]}
PAIR = {"source": "tiny", "target": "other", "mapping": "mapping.yaml", "labels": [20, 60], "seeds": 2}
RENAMED = {"class 0": "first", "class 1": "second", "class 2": "third", "class 3": "fourth"}


# Mappings


def test_names_are_mapped_and_names_that_are_the_same_need_no_mapping():
    mapping = CategoryMapping(levels={"level_1": {"gents": "men"}, "level_3": {"wellies": "boots"}})
    mapped = map_taxonomy(mapping, TARGET, SOURCE)
    assert mapped.paths.tolist() == [[0, 1, 0], [1, 1, 0]]
    assert mapped.known.tolist() == [True, True]


def test_a_category_without_counterpart_is_set_apart():
    mapping = CategoryMapping(levels={"level_1": {"gents": "men"}, "level_3": {"wellies": None}})
    assert map_taxonomy(mapping, TARGET, SOURCE).apart.tolist() == [False, True]


def test_whole_paths_have_precedence_and_their_levels_need_no_mapping():
    paths = {"gents > shoes > boots": "women > bags > totes", "women > shoes > wellies": None}
    mapped = map_taxonomy(CategoryMapping(paths=paths), TARGET, SOURCE)
    assert mapped.paths.tolist() == [[1, 0, 1], [APART] * 3]


def test_a_path_that_the_source_has_no_product_of_is_known_as_such():
    mapping = CategoryMapping(levels={"level_1": {"gents": "men"}, "level_3": {"wellies": "totes"}})
    assert map_taxonomy(mapping, TARGET, SOURCE).known.tolist() == [True, False]


def test_every_name_that_leads_nowhere_is_told_with_the_nearest_one():
    with pytest.raises(StudyError) as error:
        map_taxonomy(CategoryMapping(levels={"level_1": {"gents": "mens"}}), TARGET, SOURCE)
    assert "'gents' is mapped to 'mens', which the source has not. Did you mean 'men'?" in str(error.value)
    assert "the target's 'wellies' is not mapped" in str(error.value)


def test_a_mapping_of_any_size_sets_apart_what_the_source_has_not():
    mapping = CategoryMapping(absent="apart", levels={"level_1": {"gents": "mens"}, "level_3": {"wellies": "boots"}})
    assert map_taxonomy(mapping, TARGET, SOURCE).apart.tolist() == [True, False]


def test_a_wrong_path_in_a_mapping_is_refused():
    with pytest.raises(StudyError, match="level_1 has no 'womn'"):
        map_taxonomy(CategoryMapping(paths={"gents > shoes > boots": "womn > bags > totes"}), TARGET, SOURCE)
    with pytest.raises(StudyError, match="expected A > B > C"):
        map_taxonomy(CategoryMapping(paths={"gents > shoes > boots": "women"}), TARGET, SOURCE)


@pytest.mark.parametrize("change", [{"labels": [50, 20]}, {"labels": []}, {"target": "tiny"}, {"seeds": 0}])
def test_a_wrong_pair_is_refused(change):
    with pytest.raises(ValidationError):
        config.Transfer.model_validate(PAIR | change)


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
        tiny.write(root, transfer={"pair": PAIR})
        manifest = {"weights_sha256": "0", "dimension": 8}
        artifacts.write_json(root / "build/tiny/image/manifest.json", manifest)
        train()
        other(root)
    return root


def train() -> None:
    products = pd.read_parquet(config.build_dir("tiny", "clean/products.parquet"))
    run, rows = Run("tuned", "plain", "grouped", "all", 0), training_rows(products, "grouped", "all", 0)
    estimator = make_estimator(config.load_params().variants["best"])
    estimator.fit(Task("tiny", run, *rows))
    folder = config.build_dir("tiny", "models", "best")
    folder.mkdir(parents=True)
    estimator.save(folder / run.key(len(rows[0])))


def other(root: Path) -> None:
    """Make the target of the source: names of level 3 and brands are others, and one class has no counterpart."""
    shutil.copytree(root / "build/tiny", root / "build/other", ignore=shutil.ignore_patterns("models"))
    shutil.copy(root / "catalogues/tiny.yaml", root / "catalogues/other.yaml")
    folder = root / "build/other/clean"
    table = pd.read_parquet(folder / "products.parquet")
    table = table.assign(level_3=table["level_3"].map(RENAMED), brand="other " + table["brand"])
    table.to_parquet(folder / "products.parquet")
    taxonomy = json.loads((folder / "taxonomy.json").read_text())
    taxonomy["levels"][2] = [RENAMED[name] for name in taxonomy["levels"][2]]
    artifacts.write_json(folder / "taxonomy.json", taxonomy)
    mapping = {name: old for old, name in RENAMED.items()} | {"fourth": None}
    (root / "mapping.yaml").write_text(yaml.safe_dump({"levels": {"level_3": mapping}}))
    text.extract_text("other")


@pytest.fixture
def pair_root(made, tmp_path, monkeypatch) -> Path:
    root = tmp_path / "study"
    shutil.copytree(made, root)
    monkeypatch.setenv("STUDY_ROOT", str(root))
    return root


def test_a_pair_is_measured_and_told(pair_root):
    trial = stage.try_pair("pair")
    tables = stage.tables(trial)
    write_tables(pair_root / "reports/tiny" / stage.folder("pair"), tables)
    written = {path.name for path in (pair_root / "reports/tiny/transfer/pair").iterdir()}
    assert written == {f"{name}.csv" for name in ("scope", "curve", "contrasts", "inputs", "added")}
    counts = tables["scope"].set_index("what")["products"]
    fourth = [row[2] == 3 for row in tiny.PATHS]
    codes = trial.pair.target.data.codes[splits.test_rows(trial.pair.target.data.products, "grouped")]
    assert counts["of a category without counterpart, set apart"] == (codes[:, 2] == 3).sum() > 0
    assert any(fourth)
    assert counts["of a brand that the source has not, or of none"] == len(trial.rows)
    path = tables["curve"].query("metric == 'path'").set_index(["way", "labels"])["mean"]
    assert path["source", 0] > 0.5  # the same words, and photos that are told apart
    assert path["source_and_target", trial.all_labels] >= path["target", 20]
    assert "**Overtaken.**" in answer(config.load_params().transfer["pair"], tables)
    assert "labels" in charts.draw_curve(tables["curve"]).alt
    assert charts.draw_inputs(tables["inputs"]).alt


def test_labels_of_test_products_have_no_say(pair_root):
    pair = open_pair("pair")
    tested = in_scope(pair.target, splits.test_rows(pair.target.data.products, "grouped"))
    labelled, _ = training_rows(pair.target.data.products, "grouped", 40, 0)
    source = source_levels(pair.tagger, pair.target)
    before = learn(pair.target, labelled, tested, source, pair.tagger.paths, 0)
    codes = pair.target.codes.copy()
    codes[tested] = pair.tagger.paths[0]
    after = learn(pair.target._replace(codes=codes), labelled, tested, source, pair.tagger.paths, 0)
    assert (before.alone == after.alone).all()
    assert (before.both == after.both).all()
    valid = {tuple(path) for path in pair.tagger.paths.tolist()}
    assert {tuple(path) for path in before.both.tolist()} <= valid


def test_photos_of_another_backbone_are_not_shown_to_the_source(pair_root):
    artifacts.write_json(pair_root / "build/other/image/manifest.json", {"weights_sha256": "1", "dimension": 8})
    pair = open_pair("pair")
    assert not pair.comparable
    assert pair.target.products.image is None
    assert len(source_levels(pair.tagger, pair.target)) == 1
    assert np.asarray(pair.target.data.image).any()  # but the target's own labels teach what its photos say


def test_a_source_without_a_trained_model_is_told(pair_root):
    shutil.rmtree(pair_root / "build/tiny/models")
    with pytest.raises(StudyError, match="no trained 'best'"):
        open_pair("pair")


def test_an_unknown_pair_is_told(pair_root):
    with pytest.raises(StudyError, match="has no pair 'pear'"):
        open_pair("pear")
