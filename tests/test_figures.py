"""Figures, their tables and the closing answer: the same bytes from the same numbers, and readable without eyes."""

import hashlib
import html
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from made_results import CATALOGUE, CHAINS, SKILL, make_study
from matplotlib.colors import to_rgb
from PIL import Image

from lib import artifacts, config, experiments, figures, findings
from lib.answer import answer
from lib.charts import Chart, publish, size_label
from lib.errors import StudyError
from lib.figures import LEVEL_LOOKS, LOOKS, look
from lib.pairs import DEPARTURES
from lib.paper_figures import ELSEWHERE, PUBLISHED, figure_2, figure_3, figure_4, figure_5, figure_as_published
from lib.results import make_results
from lib.tables import contrasts_table
from lib.view import SIMPLE, View


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> View:
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        make_study(root, SKILL | CHAINS)
        make_results(CATALOGUE)
        return View.read(CATALOGUE)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    return tmp_path


FIGURES = {
    "figure_2": figure_2,
    "figure_3": figure_3,
    "figure_4": figure_4,
    "figure_5": figure_5,
    "as_published": figure_as_published,
    "training_time": experiments.figure_training_time,
    "leakage": experiments.figure_leakage,
    "titles": experiments.figure_titles,
    "word_order": experiments.figure_word_order,
    "departures": experiments.figure_departures,
    "baselines": experiments.figure_baselines,
}
ALL = pytest.mark.parametrize("name", FIGURES)


def draw(name: str, view: View) -> Chart:
    chart = FIGURES[name](view)
    assert chart is not None
    return chart


def without(view: View, **fields: object) -> View:
    """Leave rows out of both tables, as if a grid had none of them."""

    def kept(table: pd.DataFrame) -> pd.DataFrame:
        for name, values in fields.items():
            columns = [name, *(["a", "b"] if "question" in table else [])]
            table = table[~table[columns].isin(values).any(axis=1)]
        return table

    return replace(view, intervals=kept(view.intervals), contrasts=kept(view.contrasts))


@ALL
def test_a_saved_figure_is_small_named_and_described(study, view, name):
    chart = draw(name, view)
    figures.save(chart.figure, CATALOGUE, name, "What to see.", chart.alt)
    path = config.report_dir(CATALOGUE, "figures", f"{name}.png")
    assert path.stat().st_size < 150_000
    with Image.open(path) as image:
        assert image.width >= 900
        assert not {"Software", "Creation Time"} & set(image.info)
    index = artifacts.read_json(path.with_name("figures.json"))
    assert index == {name: {"caption": "What to see.", "alt": chart.alt}}


@ALL
def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings(study, view, name):
    hashes = []
    for settings in ({}, {"font.size": 30, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        with mpl.rc_context(settings):
            figures.save(draw(name, view).figure, CATALOGUE, name, "", "")
        content = config.report_dir(CATALOGUE, "figures", f"{name}.png").read_bytes()
        hashes.append(hashlib.sha256(content).hexdigest())
    assert hashes[0] == hashes[1]


def test_saving_a_second_figure_keeps_the_first_ones_caption(study, view):
    for name in ("figure_2", "leakage"):
        figures.save(draw(name, view).figure, CATALOGUE, name, f"Caption of {name}.", "")
    index = artifacts.read_json(config.report_dir(CATALOGUE, "figures", "figures.json"))
    assert {name: entry["caption"] for name, entry in index.items()} == {
        "figure_2": "Caption of figure_2.",
        "leakage": "Caption of leakage.",
    }


def test_a_shown_figure_has_alt_text_and_caption_and_neither_is_html(study, view):
    figures.save(draw("leakage", view).figure, CATALOGUE, "leakage", "<b>caption</b>", 'quoted "alt"')
    shown = figures.show(CATALOGUE, "leakage").data
    assert f"<figcaption>{html.escape('<b>caption</b>')}</figcaption>" in shown
    assert f'alt="{html.escape(chr(34).join(["quoted ", "alt", ""]))}"' in shown
    assert 'src="data:image/png;base64,' in shown


def test_a_figure_that_was_not_saved_is_asked_for_by_its_nearest_name(study, view):
    figures.save(draw("figure_2", view).figure, CATALOGUE, "figure_2", "", "")
    with pytest.raises(StudyError, match="Did you mean 'figure_2'"):
        figures.show(CATALOGUE, "figure2")


@pytest.mark.parametrize("looks", [LOOKS, LEVEL_LOOKS], ids=["variants", "levels"])
def test_no_two_series_share_a_label_a_colour_or_a_marker(looks):
    for field in ("label", "color", "marker"):
        values = [getattr(one, field) for one in looks.values()]
        assert len(set(values)) == len(values)
    assert all(to_rgb(one.color) for one in looks.values())


def test_a_variant_keeps_its_colour_and_marker_in_every_figure(view):
    seen = set()
    for name in ("figure_2", "word_order", "baselines"):
        for ax in draw(name, view).figure.axes:
            for bars in ax.containers:
                line = bars.lines[0]
                seen.add((bars.get_label(), line.get_color(), line.get_marker()))
    assert seen == {tuple(look(name)) for name in view.intervals["variant"].unique() if name != "sequential"}


def test_a_variant_without_a_look_is_drawn_under_its_own_name(view):
    renamed = replace(view, intervals=view.intervals.replace({"variant": {"brand": "brand_new"}}))
    assert "brand new" in figure_2(renamed).table.columns


def test_figure_2_has_a_panel_for_each_split_for_training_rows_and_for_what_was_published(view):
    titles = [ax.get_title() for ax in draw("figure_2", view).figure.axes]
    assert titles == ["Random split\ntest rows", "Grouped split\ntest rows", "Random split\ntraining rows", PUBLISHED]


def test_training_rows_are_dashed_and_test_rows_are_solid(view):
    for ax in draw("figure_2", view).figure.axes:
        styles = {bars.lines[0].get_linestyle() for bars in ax.containers}
        assert styles == ({"--"} if "training rows" in ax.get_title() else {"-"})


def test_axes_say_what_they_show_and_in_which_unit(view):
    figure = draw("figure_2", view).figure
    assert figure.axes[0].get_ylabel() == "Mean accuracy of the 3 levels (%)"
    assert figure.get_supxlabel() == "Training products (logarithmic)"
    sizes = view.intervals.query("split == 'random'")["train_size"]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["60", f"all\n({sizes.max()})"]
    assert [tick.get_text() for tick in figure.axes[3].get_xticklabels()] == ["10k", "50k", "100k"]


def test_a_split_that_was_not_run_has_no_panel(view):
    figure = figure_2(without(view, split=["grouped"])).figure
    assert "Grouped split\ntest rows" not in [ax.get_title() for ax in figure.axes]


def test_figure_3_draws_the_naive_model_dotted_at_every_size(view):
    for ax in draw("figure_3", view).figure.axes:
        dotted = {
            bars.get_label(): len(bars.lines[0].get_xdata())
            for bars in ax.containers
            if bars.lines[0].get_linestyle() == ":"
        }
        assert set(dotted) == {f"level {level}, naive" for level in (1, 2, 3)}
        assert set(dotted.values()) == {len(ax.get_xticks())}


def test_a_figures_table_holds_the_numbers_that_it_shows(view):
    table = draw("figure_2", view).table
    assert table.loc[("Published, training rows", 100_000), "brand + text + image"] == "93.0"
    (row,) = view.intervals.query(
        "variant == 'brand' and recipe == 'tuned' and split == 'grouped' and train_size == 60"
        " and measured_on == 'test' and decoding == 'independent' and metric == 'mean'"
    ).to_dict("records")
    expected = f"{100 * row['mean']:.1f} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"
    assert table.loc[("Grouped split, test rows", 60), "brand"] == expected


def test_the_description_tells_the_values_at_the_largest_size(view):
    assert "brand + text + image: 93" in draw("figure_2", view).alt
    assert "level 2: 99" in draw("figure_3", view).alt


def test_the_papers_recipe_is_drawn_without_models_that_have_none(view):
    columns = draw("as_published", view).table.columns
    assert "naive" not in columns
    assert "brand + text" in columns


def test_a_recipe_that_was_not_run_is_refused_by_name(view):
    with pytest.raises(StudyError, match="no runs of the recipe 'secret' on masked text"):
        figure_2(replace(view, recipe="secret"))


def test_the_leakage_figure_shows_the_largest_size_only(view):
    table = draw("leakage", view).table
    assert set(table.index) == {look(name).label for name in view.intervals["variant"].unique()}
    brand = table.loc["brand"]
    assert (brand.filter(like="minus grouped") != "").all()
    assert (brand.filter(like="Plain") == "").all()  # a variant that reads no text has no plain text


@pytest.mark.parametrize(
    ("size", "named", "label"),
    [(10_000, (), "10k"), (1_500, (1_500,), "1,500"), (29_998, (10_000,), "all\n(29,998)")],
)
def test_training_sizes_are_labelled_as_the_catalogue_names_them(size, named, label):
    assert size_label(size, named) == label


def test_contrasts_are_laid_out_with_both_metrics_and_without_what_never_changes(view):
    rows = view.contrasts.query("question == 'text' and split == 'random' and a == 'plain'")
    table = contrasts_table(rows)
    assert list(table.index.names) == ["variant"]
    assert set(table.columns.get_level_values(0)) == {"mean accuracy", "path accuracy"}
    assert len(table) == 4


def test_a_contrast_alone_is_laid_out_under_its_variant(view):
    table = contrasts_table(view.compared("text", split="random", variant="brand_text"))
    assert list(table.index) == ["brand_text"]


def test_the_answer_names_the_best_variant_and_what_measuring_training_rows_does(view):
    text = answer(view)
    assert text.count("the best is **brand + text + image**") == 2
    assert "as the published Figures 2 and 3 were" in text


@pytest.mark.parametrize("called", ["brand_text", None])
def test_the_answer_calls_only_gaps_between_the_splits_that_have_a_verdict(view, called):
    contrasts = view.contrasts.copy()
    gaps = contrasts["question"] == "split"
    contrasts.loc[gaps, "verdict"] = "inconclusive"
    contrasts.loc[gaps & (contrasts["variant"] == called), "verdict"] = "a better"
    lines = answer(replace(view, contrasts=contrasts)).splitlines()
    said = [line for line in lines if "Copies of test products" in line or "No variant's path accuracy differs" in line]
    assert len(said) == 1
    assert ("brand + text " in said[0]) == (called is not None)
    assert "brand + image" not in said[0]


def test_the_answer_says_nothing_of_what_was_not_run(view):
    text = answer(without(view, recipe=["paper"], split=["grouped"]))
    assert "rouped" not in text
    assert "paper's recipe" not in text


def test_tables_written_and_read_again_draw_the_same(view, study):
    path = study / "intervals.csv"
    view.intervals.to_csv(path, index=False, float_format="%.6f")
    again = pd.read_csv(path, keep_default_na=False)
    pd.testing.assert_frame_equal(figure_2(replace(view, intervals=again)).table, figure_2(view).table)


# Figures 4 and 5, and the experiments


def marks(chart: Chart, panel: int) -> dict[str, str]:
    """Return each series of a panel, and whether its marks are filled."""
    return {bars.get_label(): bars.lines[0].get_fillstyle() for bars in chart.figure.axes[panel].containers}


def test_figure_2_leaves_what_has_a_figure_of_its_own_to_that_one(view):
    assert not {look(name).label for name in ELSEWHERE} & set(draw("figure_2", view).table.columns)


def test_figure_4_sets_both_decodings_beside_the_bag_of_words_and_training_rows_are_hollow(view):
    chart = draw("figure_4", view)
    titles = [ax.get_title() for ax in chart.figure.axes]
    assert titles[:2] == ["Published\n10k products", "Random split\n60 products"]
    assert marks(chart, 0) == {"LSTM, hard": "full", "LSTM, soft": "full", "bag of words, training rows": "none"}
    assert marks(chart, 1) == marks(chart, 0) | {"multitask LSTM": "full", "bag of words": "full"}


def test_figure_4_shows_the_numbers_of_the_chosen_decoding(view):
    table = draw("figure_4", view).table
    (row,) = view.measured(
        variant="lstm",
        decoding="soft",
        recipe="tuned_lstm",
        text="masked",
        split="random",
        train_size=60,
        metric="level_2",
    ).to_dict("records")
    cell = table.loc[("Random split, 60 products", "level 2"), "LSTM, soft"]
    assert cell.startswith(f"{100 * row['mean']:.1f} (")
    assert table.loc[("Published, 10k products", "level 2"), "LSTM, soft"] == "95.0"


def test_figure_5_has_the_papers_recipe_as_it_is_written_and_as_it_was_coded(view):
    chart = draw("figure_5", view)
    titles = [ax.get_title().split("\n")[0] for ax in chart.figure.axes]
    assert titles == [
        "Published", "Random split", "Grouped split", "The paper's recipe", "The same as coded"
    ]  # fmt: skip
    assert "sequential: 70 / 47 / 17" in chart.alt


def test_the_departures_show_the_true_and_the_printed_effect_in_the_colour_of_the_model(view):
    chart = draw("departures", view)
    assert [name for _, name in chart.table.columns] == ["on test rows", "on training rows, as printed"]
    assert "trunk learns level 1 only (sequential)" in chart.table.index
    assert (chart.table != "").all(axis=None)
    colours = {line.get_color() for bars in chart.figure.axes[0].containers for line in bars.lines[:1]}
    assert colours == {look(variant).color for variant in ("brand_text", "sequential", "lstm")}


def test_word_order_is_shown_where_an_lstm_was_run(view):
    table = draw("word_order", view).table
    assert list(table.columns) == ["brand + text", "LSTM", "multitask LSTM"]
    assert (table != "").all(axis=None)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("figure_4", {"variant": ["lstm"]}),
        ("figure_5", {"variant": ["sequential"]}),
        ("as_published", {"recipe": ["paper"]}),
        ("training_time", {"recipe": ["paper_fixed_updates"]}),
        ("leakage", {"split": ["grouped"], "text": ["plain"]}),
        ("titles", {"text": ["titled"]}),
        ("word_order", {"variant": ["lstm", "lstm_multitask"]}),
        ("departures", {"recipe": list(DEPARTURES)}),
        ("baselines", {"variant": list(SIMPLE)}),
    ],
)
def test_what_the_grid_has_no_runs_for_is_not_drawn(view, name, fields):
    assert FIGURES[name](without(view, **fields)) is None


def test_sentences_say_what_the_contrasts_say(view):
    (row,) = view.compared(
        "measured_on", variant="brand_text", recipe="paper", text="masked", train_size=60, metric="mean"
    ).to_dict("records")
    said = " ".join(findings.what_was_measured(view))
    assert f"{100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f}) at 60" in said
    assert said.count('the "> 99%" of the abstract') == 2


@pytest.mark.parametrize(("mean", "verb"), [(0.995, "exceeds"), (0.985, "does not exceed")])
def test_more_than_99_percent_is_looked_for_on_both_kinds_of_rows(view, mean, verb):
    table = view.intervals.copy()
    seen = (table["recipe"] == "paper") & (table["measured_on"] == "train")
    table.loc[seen, "mean"] = table.loc[seen, "mean"].clip(upper=mean)
    table.loc[seen & (table["metric"] == "level_2"), "mean"] = mean
    (line,) = [line for line in findings.what_was_measured(replace(view, intervals=table)) if "On training" in line]
    assert f"{verb} the" in line
    assert f"{100 * mean:.1f}" in line


@pytest.mark.parametrize(
    ("coded", "intended", "change"),
    [
        ("a better", "a better", "stands"),
        ("a better", "b better", "changes sign"),
        ("b better", "inconclusive", "loses its interval"),
        ("inconclusive", "a better", "appears"),
        ("inconclusive", "inconclusive", "stands"),
    ],
)
def test_what_becomes_of_a_difference_follows_from_its_two_verdicts(view, coded, intended, change):
    table = view.contrasts.copy()
    table.loc[table["question"] == "as_coded", "verdict"] = coded
    table.loc[table["question"] == "variant", "verdict"] = intended
    changed = replace(view, contrasts=table)
    assert set(findings.coded_and_intended(changed)["change"]) == {change}
    assert all(f"test rows - {change}: " in line for line in findings.figures_4_and_5(changed))


@pytest.mark.parametrize("verdict", ["a better", "b better", "inconclusive"])
def test_word_order_can_come_out_all_three_ways(view, verdict):
    table = view.contrasts.assign(verdict=verdict)
    said = findings.word_order(replace(view, contrasts=table))
    assert len(said) == 4
    assert all(findings.VERBS[verdict] in line for line in said)


def test_each_experiment_says_what_the_grid_lacks(view):
    nothing = replace(view, intervals=view.intervals.iloc[:0], contrasts=view.contrasts.iloc[:0])
    for name, lines in findings.all_findings(nothing).items():
        assert lines, name
        assert all(line.startswith("The grid has no runs for ") for line in lines), name


@pytest.mark.parametrize("verdict", ["a better", "b better", "inconclusive"])
def test_the_best_baseline_is_compared_with_the_best_network(view, verdict):
    random, grouped = findings.baselines(replace(view, contrasts=view.contrasts.assign(verdict=verdict)))
    assert random.startswith("Random split")
    assert grouped.startswith("Grouped split")
    assert "the best simple model is late fusion of both linear with" in random
    assert f"the network {findings.VERBS[verdict]} it, +" in random


def test_a_published_chart_is_saved_and_shown(study, view):
    chart = draw("departures", view)
    shown = publish(CATALOGUE, "departures", chart)
    assert chart.caption.split(".")[0].replace("'", "&#x27;") in shown.data
