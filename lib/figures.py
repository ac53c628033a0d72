"""The study's figures are all in one style: the same colour and marker for a variant wherever it appears.

Colours are Okabe & Ito's (2008), which people with any kind of colour blindness can tell apart. No figure depends on
the state or the settings of matplotlib, and the same numbers give the same bytes.
"""

import shutil
from base64 import b64encode
from contextlib import AbstractContextManager
from html import escape
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from IPython.display import HTML
from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image

from lib.artifacts import existing, read_json, whole, write_json
from lib.config import report_dir
from lib.errors import StudyError, nearest

DPI, COLOURS = 110, 256
FOLDER = "figures"
STYLE: dict[str, object] = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 2.0,
    "lines.markersize": 7.0,
}


class Look(NamedTuple):
    """How a series is drawn and named in every figure."""

    label: str
    color: str
    marker: str


LOOKS = {
    "naive": Look("naive", "#7f7f7f", "p"),
    "linear": Look("brand + text, linear", "#000000", "D"),
    "brand": Look("brand", "#E69F00", "v"),
    "brand_text": Look("brand + text", "#0072B2", "s"),
    "brand_image": Look("brand + image", "#009E73", "^"),
    "brand_text_image": Look("brand + text + image", "#D55E00", "o"),
    "linear_image": Look("brand + image, linear", "#6B4C1E", "d"),
    "late_fusion": Look("late fusion of both linear", "#661188", "*"),
    "text_image": Look("text + image", "#999933", "8"),
    "robust": Look("brand + text + image, modality dropout", "#EE7733", "H"),
    "best": Look("best", "#000088", "h"),
    "best_fragile": Look("best without modality dropout", "#4477AA", ">"),
    "best_by_level": Look("best, level by level", "#88CCEE", "."),
    "sequential": Look("sequential", "#CC79A7", "<"),
    "lstm": Look("LSTM", "#56B4E9", "P"),
    "lstm_multitask": Look("multitask LSTM", "#882255", "X"),
}
LEVEL_LOOKS = {
    "level_1": Look("level 1", "#004488", "o"),
    "level_2": Look("level 2", "#BB5566", "s"),
    "level_3": Look("level 3", "#DDAA33", "^"),
}
RECIPE_LABELS = {
    "paper": "the paper's recipe",
    "paper_lstm": "the paper's recipe for LSTMs",
    "paper_stop_words": "stop words kept",
    "paper_unshuffled": "batches not shuffled",
    "paper_no_input_dropout": "no dropout of inputs",
    "paper_scalar_brand": "brand as one number",
    "paper_early_stopping": "early stopping",
    "paper_fixed_updates": "updates fixed, not epochs",
    "paper_frozen_trunk": "trunk learns level 1 only",
    "paper_lstm_stated_lr": "learning rate as stated",
    "paper_lstm_leaked_label": "own label leaked",
}


def look(variant: str) -> Look:
    """Return how a variant is drawn; one without a colour of its own yet is named as it is, and pink.

    >>> look("brand_text").label
    'brand + text'
    """
    return LOOKS.get(variant, Look(variant.replace("_", " "), "#F781BF", "h"))


def recipe_label(recipe: str) -> str:
    """Return what a recipe is called in figures and sentences.

    >>> recipe_label("paper_stop_words"), recipe_label("my_own")
    ('stop words kept', 'my own')
    """
    return RECIPE_LABELS.get(recipe, recipe.replace("_", " "))


def in_style() -> AbstractContextManager[None]:
    """Set the study's style, on top of matplotlib's defaults, for the body of a `with` statement."""
    return style.context(STYLE, after_reset=True)


def save(figure: Figure, catalogue: str, name: str, caption: str, alt: str, place: str = FOLDER) -> None:
    """Write `reports/CATALOGUE/PLACE/NAME.png`, and its caption and description into `figures.json` beside it.

    No two stages write into the same folder: each but `results` names one of its own.
    """
    folder = report_dir(catalogue, place)
    with whole(folder / f"{name}.png") as partial:
        partial.write_bytes(png(figure))
    index = folder / "figures.json"
    figures = read_json(index) if index.exists() else {}
    write_json(index, {**figures, name: {"caption": caption, "alt": alt}})


def png(figure: Figure) -> bytes:
    """Draw a figure with a palette of 256 colours: a third of the bytes, and no difference that an eye would see."""
    drawn, packed = BytesIO(), BytesIO()
    with in_style():
        figure.savefig(drawn, format="png", dpi=DPI)
    image = Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def copy_figures(source: Path, target: Path, prefix: str = "") -> dict[str, dict[str, str]]:
    """Copy the figures of a folder of `save`, under names that no other stage's figure has.

    Returns
    -------
    Name -> `caption`, `alt`, and `file`, the copy's name; in the order of the names.
    """
    described: dict[str, dict[str, str]] = read_json(source / "figures.json")
    for name, figure in described.items():
        figure["file"] = f"{prefix}{name}.png"
        shutil.copyfile(existing(source / f"{name}.png"), target / figure["file"])
    return dict(sorted(described.items()))


def show(catalogue: str, name: str, place: str = FOLDER) -> HTML:
    """Return a saved figure with its caption and description, to be displayed in a notebook.

    Raises
    ------
    StudyError
        If no such figure was saved.
    """
    folder = report_dir(catalogue, place)
    figures = read_json(folder / "figures.json")
    if name not in figures:
        raise StudyError(f"There is no figure '{name}' in {folder}. It has {sorted(figures)}.{nearest(name, figures)}")
    image = b64encode(existing(folder / f"{name}.png").read_bytes()).decode()
    caption, alt = escape(figures[name]["caption"]), escape(figures[name]["alt"])
    html = f'<figure><img src="data:image/png;base64,{image}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'
    return HTML(html)  # type: ignore[no-untyped-call]
