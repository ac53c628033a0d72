"""What notebooks draw with: figures explain themselves, whatever the user's settings, and each output has a name."""

from base64 import b64decode
from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.report import kit


@pytest.fixture
def shown(monkeypatch) -> list[tuple[dict, dict]]:
    """Collect what is displayed: data and metadata."""
    outputs = []
    monkeypatch.setattr(kit, "publish_display_data", lambda data, metadata: outputs.append((data, metadata[kit.NAMED])))
    with mpl.rc_context():
        kit.use_style()
        yield outputs
    plt.close("all")


@pytest.fixture
def drawn(shown, monkeypatch) -> list:
    """Collect the figures themselves, before they are packed."""
    figures, publish = [], kit.publish
    monkeypatch.setattr(kit, "publish", lambda figure, *words: (figures.append(figure), publish(figure, *words)))
    return figures


ROWS = pd.DataFrame(
    {
        "variant": ["brand_text", "brand_text", "mine", "mine"],
        "train_size": [100, 400, 100, 400],
        "measured_on": ["test", "test", "train", "train"],
        "metric": "mean",
        "mean": [0.5, 0.6, 0.9, 0.95],
        "low": [0.4, 0.5, 0.8, np.nan],
        "high": [0.6, 0.7, 0.95, np.nan],
    }
)
LEVELS = ROWS.assign(train_size=400, metric=["level_1", "level_2"] * 2)
GAPS = pd.DataFrame(
    {
        "variant": ["brand_text", "brand_text", "mine"],
        "metric": ["mean", "path", "mean"],
        "difference": [0.1, -0.2, 0.0],
        "low": [0.05, -0.3, -0.1],
        "high": [0.15, -0.1, 0.1],
    }
)
KINDS = {"mean": "mean accuracy", "path": "path accuracy"}


def test_no_two_series_share_a_label_or_a_colour_and_marker():
    assert len({look.label for look in kit.LOOKS.values()}) == len(kit.LOOKS)
    main = [look for name, look in kit.LOOKS.items() if not name.startswith(("paper", "lstm_", "brand_text_train"))]
    assert len({(look.color, look.marker) for look in main}) == len(main)


def test_curves_say_what_they_show_and_training_rows_are_dashed(shown, drawn):
    kit.curves("curve", {"Random split": ROWS, "Grouped split": ROWS[:0]}, "Accuracy (%)", "What to see.", named=[100])
    (ax,) = drawn[0].axes
    known, mine = (container.lines[0] for container in ax.containers)
    assert (known.get_linestyle(), mine.get_linestyle()) == ("-", "--")
    assert known.get_color() == kit.LOOKS["brand_text"].color
    np.testing.assert_allclose(known.get_ydata(), [50, 60])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "all\n(400)"]
    assert ax.get_ylabel() == "Accuracy (%)"
    data, words = shown[0]
    assert (words["name"], words["caption"]) == ("curve", "What to see.")
    assert "Random split - brand + text: 60; mine: 95." in words["alt"]
    assert Image.open(BytesIO(b64decode(data["image/png"]))).mode == "P"  # a palette: a third of the bytes


def test_levels_stand_side_by_side_and_training_rows_are_hollow(drawn, shown):
    kit.curves("levels", {"One size": LEVELS}, "Accuracy (%)", "", levels=True)
    known, mine = (container.lines[0] for container in drawn[0].axes[0].containers)
    assert (known.get_fillstyle(), mine.get_fillstyle()) == ("full", "none")
    assert known.get_xdata()[0] < 0 < mine.get_xdata()[0]


def test_differences_have_a_line_each_and_their_sign_in_the_description(drawn, shown):
    kit.differences("gaps", {"Random split": GAPS}, "Points", "", "metric", KINDS)
    (ax,) = drawn[0].axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["brand + text", "mine"]
    assert [c.lines[0].get_fillstyle() for c in ax.containers] == ["full", "full", "none"]
    assert "Random split, path accuracy - brand + text: -20.0." in shown[0][1]["alt"]


@pytest.mark.parametrize("panels", [{}, {"Random split": ROWS[:0]}, {"Published": ROWS}])
def test_a_figure_without_runs_says_so_under_the_same_name(shown, panels):
    kit.curves("curve", panels, "Accuracy (%)", "")
    kit.differences("gaps", {}, "Points", "", "metric", KINDS)
    assert [words["name"] for _, words in shown] == ["curve", "gaps"]
    assert all("Not run on this catalogue" in data["text/markdown"] for data, _ in shown)


def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings(shown):
    for size in (12, 30):
        mpl.rcParams["axes.labelsize"] = size
        kit.use_style()
        kit.curves("curve", {"Random split": ROWS}, "Accuracy (%)", "")
    assert shown[0][0] == shown[1][0]


def test_tables_sentences_and_numbers_have_names(shown):
    kit.table(ROWS, "rows", "A caption.")
    kit.say("said", "one", "two")
    kit.number("best", "94.8")
    assert [words["name"] for _, words in shown] == ["rows", "said", "best"]
    assert shown[1][0]["text/markdown"] == "- one\n- two"


def test_a_legend_is_never_wider_than_its_figure():
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for number in range(6):
        ax.plot([0, 1], label=f"a series with a long name {number}")
    kit.legend(figure)
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width
    assert len(figure.legends[0].get_texts()) == 6
    plt.close(figure)


def test_panels_that_are_alike_have_one_range_of_sizes(shown, drawn):
    panels = {"Small": ROWS[ROWS["train_size"] == 100], "Large": ROWS[ROWS["train_size"] == 400]}
    for alike in (False, True):
        kit.curves("curve", panels, "Accuracy (%)", "", alike=alike)
        small, large = (ax.get_xlim() for ax in drawn[-1].axes)
        assert (small == large) is alike
