"""The grid: what is run, and how often."""

import numpy as np

from lib import config
from lib.training.runs import Run, grid, study_of


def test_what_cannot_differ_is_run_once():
    params = config.load_params()
    naive = grid("naive", params, "fashion")
    assert {run.recipe for run in naive} == {"none"}
    assert {run.text for run in naive} == {"masked"}
    assert [run.seed for run in naive if run.size == "all" and run.split == "random"] == [0]
    image = grid("brand_image", params, "fashion")
    assert len(image) == len(set(image))
    assert {run.text for run in image} == {"masked"}


def test_a_run_is_named_by_what_it_was_fitted_on():
    assert Run("tuned", "plain", "grouped", "all", 2).key(321) == "tuned-plain-grouped-321-2"


def test_what_reads_photos_is_not_run_where_there_are_none(study):
    assert "robust" in study_of("demo").variants  # nobody has looked
    folder = study / "build/demo/image"
    folder.mkdir(parents=True)
    for columns, is_run in ((4, True), (0, False)):
        np.save(folder / "features.npy", np.zeros((3, columns), np.float16))
        assert ("robust" in study_of("demo").variants) is is_run
        assert "best" in study_of("demo").variants


def test_what_reads_another_networks_vectors_is_run_where_the_catalogue_names_it(study):
    assert {"brand_image_lite2", "brand_image_random"} < set(study_of("fashion").variants)
    assert not {"brand_image_lite2", "brand_image_random"} & set(study_of("demo").variants)
