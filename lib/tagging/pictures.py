"""Charts of one product being tagged."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from seaborn import barplot, heatmap

from lib.charts import Chart
from lib.figures import in_style
from lib.photos import Pixels
from lib.tagging.explain import Heat

WORDS_SHOWN = 12
FOR, AGAINST = "#0072B2", "#D55E00"


def draw_paths(paths: pd.DataFrame) -> Chart:
    """Draw the most probable paths, as `lib.tagging.explain.top_paths` lists them."""
    with in_style():
        figure = Figure(figsize=(8.4, 0.6 + 0.38 * len(paths)), layout="constrained")
        ax = figure.subplots()
        barplot(data=paths, x="probability", y="name", color=FOR, ax=ax)
        ax.set(xlim=(0, 1), xlabel="Probability", ylabel="")
        for place, value in enumerate(paths["probability"]):
            ax.text(min(value + 0.01, 0.93), place, f"{value:.2f}", va="center", fontsize=10)
    said = "; ".join(
        f"{row.name_}: {row.probability:.2f}" for row in paths.rename(columns={"name": "name_"}).itertuples()
    )
    caption = "The most probable category paths, and how probable each is."
    return Chart(figure, f"Bars: probability of each path. {said}.", paths, caption)


def draw_words(words: pd.DataFrame, path: str) -> Chart:
    """Draw what the path loses without each word, the greatest effects first (`lib.tagging.explain.word_effects`)."""
    order = words["effect"].abs().sort_values(ascending=False, kind="stable").index
    table = words.loc[order[:WORDS_SHOWN]].sort_values("effect", ascending=False)
    colors = [FOR if effect >= 0 else AGAINST for effect in table["effect"]]
    with in_style():
        figure = Figure(figsize=(8.4, 1.0 + 0.32 * max(len(table), 1)), layout="constrained")
        ax = figure.subplots()
        ax.barh(table["word"], table["effect"], color=colors)
        ax.invert_yaxis()
        ax.axvline(0, color="#555555", linewidth=1)
        ax.set(xlabel="Log-probability that the path loses without it", title=path)
    said = "; ".join(f"{word} {effect:+.2f}" for word, effect in zip(table["word"], table["effect"], strict=True))
    caption = "What each word, the brand and the photo add to the path's log-probability, all else left as it is."
    return Chart(figure, f"Bars: what the path {path} loses without each word. {said or 'No words'}.", table, caption)


def draw_photo(pixels: Pixels, heat: Heat, path: str) -> Chart:
    """Draw a photo, and beside it how much each of its cells speaks for a path."""
    limit = max(float(np.abs(heat.effect).max()), 1e-3)
    cells = len(heat.effect)
    with in_style():
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.imshow(pixels)
        left.set_title("The photo as the network sees it", fontsize=11)
        left.set_axis_off()
        heatmap(
            heat.effect,
            cmap="RdBu",
            vmin=-limit,
            vmax=limit,
            square=True,
            ax=right,
            xticklabels=False,
            yticklabels=False,
            cbar_kws={"label": "log-probability lost"},
        )
        right.set_title(path, fontsize=11)
    row, column = np.unravel_index(int(heat.effect.argmax()), heat.effect.shape)
    alt = (
        f"Two panels: the photo, and {cells} by {cells} cells coloured by what the path {path} loses where a grey "
        f"patch hides them. The cell that counts most is in row {row + 1}, column {column + 1}: "
        f"{heat.effect.max():+.2f}."
    )
    caption = "Blue: hiding this part of the photo makes the path less probable. Red: more probable."
    return Chart(figure, alt, pd.DataFrame(heat.effect), caption)
