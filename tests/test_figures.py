"""Figures, their tables and the closing answer: the same bytes from the same numbers, and readable without eyes."""

import hashlib
import html
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from made_results import CATALOGUE, make_study
from matplotlib.colors import to_rgb
from PIL import Image

from lib import artifacts, config, figures
from lib.answer import answer
from lib.charts import Chart, size_label
from lib.errors import StudyError
from lib.figures import LEVEL_LOOKS, LOOKS, look
from lib.paper_figures import PUBLISHED, figure_2, figure_3, figure_as_published, figure_leakage
from lib.published import published
from lib.results import Tables, make_results
from lib.tables import contrasts_table


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Tables:
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        make_study(root)
        return make_results(CATALOGUE)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    return tmp_path


def draw(name: str, tables: Tables) -> Chart:
    if name == "leakage":
        return figure_leakage(tables.contrasts)
    function = {"figure_2": figure_2, "figure_3": figure_3, "as_published": figure_as_published}[name]
    return function(tables.intervals, published(), [60])


ALL = pytest.mark.parametrize("name", ["figure_2", "figure_3", "as_published", "leakage"])


@ALL
def test_a_saved_figure_is_small_named_and_described(study, tables, name):
    chart = draw(name, tables)
    figures.save(chart.figure, CATALOGUE, name, "What to see.", chart.alt)
    path = config.report_dir(CATALOGUE, "figures", f"{name}.png")
    assert path.stat().st_size < 150_000
    with Image.open(path) as image:
        assert image.width >= 900
        assert not {"Software", "Creation Time"} & set(image.info)
    index = artifacts.read_json(path.with_name("figures.json"))
    assert index == {name: {"caption": "What to see.", "alt": chart.alt}}


@ALL
def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings(study, tables, name):
    hashes = []
    for settings in ({}, {"font.size": 30, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        with mpl.rc_context(settings):
            figures.save(draw(name, tables).figure, CATALOGUE, name, "", "")
        content = config.report_dir(CATALOGUE, "figures", f"{name}.png").read_bytes()
        hashes.append(hashlib.sha256(content).hexdigest())
    assert hashes[0] == hashes[1]


def test_saving_a_second_figure_keeps_the_first_ones_caption(study, tables):
    for name in ("figure_2", "leakage"):
        figures.save(draw(name, tables).figure, CATALOGUE, name, f"Caption of {name}.", "")
    index = artifacts.read_json(config.report_dir(CATALOGUE, "figures", "figures.json"))
    assert {name: entry["caption"] for name, entry in index.items()} == {
        "figure_2": "Caption of figure_2.",
        "leakage": "Caption of leakage.",
    }


def test_a_shown_figure_has_alt_text_and_caption_and_neither_is_html(study, tables):
    figures.save(draw("leakage", tables).figure, CATALOGUE, "leakage", "<b>caption</b>", 'quoted "alt"')
    shown = figures.show(CATALOGUE, "leakage").data
    assert f"<figcaption>{html.escape('<b>caption</b>')}</figcaption>" in shown
    assert f'alt="{html.escape(chr(34).join(["quoted ", "alt", ""]))}"' in shown
    assert 'src="data:image/png;base64,' in shown


def test_a_figure_that_was_not_saved_is_asked_for_by_its_nearest_name(study, tables):
    figures.save(draw("figure_2", tables).figure, CATALOGUE, "figure_2", "", "")
    with pytest.raises(StudyError, match="Did you mean 'figure_2'"):
        figures.show(CATALOGUE, "figure2")


@pytest.mark.parametrize("looks", [LOOKS, LEVEL_LOOKS], ids=["variants", "levels"])
def test_no_two_series_share_a_label_a_colour_or_a_marker(looks):
    for field in ("label", "color", "marker"):
        values = [getattr(one, field) for one in looks.values()]
        assert len(set(values)) == len(values)
    assert all(to_rgb(one.color) for one in looks.values())


def test_a_variant_keeps_its_colour_and_marker_in_every_figure(tables):
    seen = set()
    for name in ("figure_2", "as_published"):
        for ax in draw(name, tables).figure.axes:
            for bars in ax.containers:
                line = bars.lines[0]
                seen.add((bars.get_label(), line.get_color(), line.get_marker()))
    assert seen == {
        tuple(look(name)) for name in ("naive", *[v for v in tables.intervals["variant"].unique() if v != "naive"])
    }


def test_a_variant_without_a_look_is_drawn_under_its_own_name(tables):
    renamed = tables.intervals.replace({"variant": {"brand": "brand_new"}})
    assert "brand new" in figure_2(renamed, published()).table.columns


def test_figure_2_has_a_panel_for_each_split_for_training_rows_and_for_what_was_published(tables):
    titles = [ax.get_title() for ax in draw("figure_2", tables).figure.axes]
    assert titles == ["Random split\ntest rows", "Grouped split\ntest rows", "Random split\ntraining rows", PUBLISHED]


def test_training_rows_are_dashed_and_test_rows_are_solid(tables):
    for ax in draw("figure_2", tables).figure.axes:
        styles = {bars.lines[0].get_linestyle() for bars in ax.containers}
        assert styles == ({"--"} if "training rows" in ax.get_title() else {"-"})


def test_axes_say_what_they_show_and_in_which_unit(tables):
    figure = draw("figure_2", tables).figure
    assert figure.axes[0].get_ylabel() == "Mean accuracy of the 3 levels (%)"
    assert figure.get_supxlabel() == "Training products (logarithmic)"
    sizes = tables.results.query("split == 'random'")["train_size"]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["60", f"all\n({sizes.max()})"]
    assert [tick.get_text() for tick in figure.axes[3].get_xticklabels()] == ["10k", "50k", "100k"]


def test_a_split_that_was_not_run_has_no_panel(tables):
    figure = figure_2(tables.intervals.query("split == 'random'"), published()).figure
    assert "Grouped split\ntest rows" not in [ax.get_title() for ax in figure.axes]


def test_figure_3_draws_the_naive_model_dotted_at_every_size(tables):
    for ax in draw("figure_3", tables).figure.axes:
        dotted = {
            bars.get_label(): len(bars.lines[0].get_xdata())
            for bars in ax.containers
            if bars.lines[0].get_linestyle() == ":"
        }
        assert set(dotted) == {f"level {level}, naive" for level in (1, 2, 3)}
        assert set(dotted.values()) == {len(ax.get_xticks())}


def test_a_figures_table_holds_the_numbers_that_it_shows(tables):
    table = draw("figure_2", tables).table
    assert table.loc[("Published, training rows", 100_000), "brand + text + image"] == "93.0"
    (row,) = tables.intervals.query(
        "variant == 'brand' and recipe == 'tuned' and split == 'grouped' and train_size == 60"
        " and measured_on == 'test' and decoding == 'independent' and metric == 'mean'"
    ).to_dict("records")
    expected = f"{100 * row['mean']:.1f} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"
    assert table.loc[("Grouped split, test rows", 60), "brand"] == expected


def test_the_description_tells_the_values_at_the_largest_size(tables):
    assert "brand + text + image: 93" in draw("figure_2", tables).alt
    assert "level 2: 99" in draw("figure_3", tables).alt


def test_the_papers_recipe_is_drawn_without_models_that_have_none(tables):
    columns = draw("as_published", tables).table.columns
    assert "naive" not in columns
    assert "brand + text" in columns


def test_a_recipe_that_was_not_run_is_refused_by_name(tables):
    with pytest.raises(StudyError, match="no runs of the recipe 'secret' on masked text"):
        figure_2(tables.intervals, published(), recipe="secret")


def test_the_leakage_figure_shows_the_largest_size_only(tables):
    table = draw("leakage", tables).table
    assert set(table.index) == {look(name).label for name in tables.intervals["variant"].unique()}
    brand = table.loc["brand"]
    assert (brand.filter(like="minus grouped") != "").all()
    assert (brand.filter(like="Plain") == "").all()  # a variant that reads no text has no plain text


@pytest.mark.parametrize(
    ("size", "named", "label"),
    [(10_000, (), "10k"), (1_500, (1_500,), "1,500"), (29_998, (10_000,), "all\n(29,998)")],
)
def test_training_sizes_are_labelled_as_the_catalogue_names_them(size, named, label):
    assert size_label(size, named) == label


def test_contrasts_are_laid_out_with_both_metrics_and_without_what_never_changes(tables):
    rows = tables.contrasts.query("question == 'text' and split == 'random'")
    table = contrasts_table(rows)
    assert list(table.index.names) == ["variant"]
    assert set(table.columns.get_level_values(0)) == {"mean accuracy", "path accuracy"}
    assert len(table) == 3


def test_a_contrast_alone_is_laid_out_under_its_variant(tables):
    table = contrasts_table(
        tables.contrasts.query("question == 'text' and split == 'random' and variant == 'brand_text'")
    )
    assert list(table.index) == ["brand_text"]


def test_the_answer_names_the_best_variant_and_what_measuring_training_rows_does(tables):
    text = answer(tables, "tuned", "masked")
    assert text.count("the best is **brand + text + image**") == 2
    assert "as the published Figures 2 and 3 were" in text


@pytest.mark.parametrize("called", ["brand_text", None])
def test_the_answer_calls_only_gaps_between_the_splits_that_have_a_verdict(tables, called):
    contrasts = tables.contrasts.copy()
    gaps = contrasts["question"] == "split"
    contrasts.loc[gaps, "verdict"] = "inconclusive"
    contrasts.loc[gaps & (contrasts["variant"] == called), "verdict"] = "a better"
    lines = answer(tables._replace(contrasts=contrasts), "tuned", "masked").splitlines()
    said = [line for line in lines if "Copies of test products" in line or "No variant's path accuracy differs" in line]
    assert len(said) == 1
    assert ("brand + text " in said[0]) == (called is not None)
    assert "brand + image" not in said[0]


def test_the_answer_says_nothing_of_what_was_not_run(tables):
    here = "recipe != 'paper' and split != 'grouped'"
    fewer = tables._replace(intervals=tables.intervals.query(here), contrasts=tables.contrasts.query(here))
    fewer = fewer._replace(contrasts=fewer.contrasts.query("question != 'split'"))
    text = answer(fewer, "tuned", "masked")
    assert "rouped" not in text
    assert "paper's recipe" not in text


def test_tables_written_and_read_again_draw_the_same(tables, study):
    path = study / "intervals.csv"
    tables.intervals.to_csv(path, index=False, float_format="%.6f")
    again = pd.read_csv(path, keep_default_na=False)
    pd.testing.assert_frame_equal(figure_2(again, published()).table, figure_2(tables.intervals, published()).table)
