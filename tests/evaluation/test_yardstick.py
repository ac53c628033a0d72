"""The table of an external yardstick: what others report, our models, and near-duplicates apart."""

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from lib import config
from lib.evaluation import yardstick
from lib.training import metrics
from lib.training.metrics import Way

REPORTED = {"source": "Others", "doi": "10.1/1", "measured_on": "validation"}
REPORTED |= {"accuracy": {"level_1": 0.99, "level_2": 0.9, "level_3": 0.8}}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A catalogue on whose split the image network is right where there is a copy in training, and nowhere else."""
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    tiny.write(tmp_path)
    facts = tiny.catalogue(experiments=["yardstick"], yardstick=REPORTED)
    (tmp_path / "catalogues/tiny.yaml").write_text(yaml.safe_dump(facts))
    products = pd.read_parquet(config.build_dir("tiny", "clean", "products.parquet"))
    rows = np.flatnonzero(products["random_split"] == "test")
    train = products[products["random_split"] == "train"]
    copied = products["group"].iloc[rows].isin(train["group"]).to_numpy()
    (tmp_path / "reports/tiny/outcomes").mkdir(parents=True)
    for variant, text, decoding in (("image", "masked", "independent"), ("best", "plain", "valid_path")):
        right = np.repeat((copied if variant == "image" else copied | True)[:, None], 5, axis=1)
        bits = {Way(decoding, "test"): metrics.pack(right, rows)}
        runs = {f"tuned-{text}-random-{len(train)}-{seed}": bits for seed in range(2)}
        metrics.write(metrics.path_of("tiny", variant), runs | {f"tuned-{text}-grouped-5-0": {}})
    return tmp_path, copied


def test_models_stand_beside_what_is_reported_and_copies_apart(study):
    table, copied = yardstick.compare("tiny"), study[1]
    assert table["model"].value_counts(sort=False).to_dict() == {"Others": 1, "best": 3, "image": 3}
    assert table.loc[0, ["level_1", "level_2", "level_3"]].tolist() == [0.99, 0.9, 0.8]
    assert table["rows"].tolist() == ["all", *list(yardstick.ROWS.values()) * 2]
    image = table[table["model"] == "image"]
    assert image["share"].tolist() == pytest.approx([1, copied.mean(), 1 - copied.mean()])
    assert image["path"].tolist() == pytest.approx([copied.mean(), 1, 0])
    assert set(image["seeds"]) == {2}


def test_a_catalogue_without_a_yardstick_has_an_empty_table(study):
    (study[0] / "catalogues/tiny.yaml").write_text(yaml.safe_dump(tiny.catalogue()))
    assert yardstick.compare("tiny").empty
