"""Controls for one product being tagged: change the words, hide the photo, and see the paths' probabilities move."""

from collections.abc import Callable

import ipywidgets as widgets
from IPython.display import Image, Markdown, display

from lib.charts import Chart
from lib.figures import png
from lib.tagging.explain import photo_heat, top_paths, word_effects
from lib.tagging.pictures import draw_paths, draw_photo, draw_words
from lib.tagging.tour import Tour


def picture(chart: Chart) -> Image:
    """Return a chart as an image with its description, to be displayed in a notebook."""
    about = {"alt": chart.alt, "caption": chart.caption}
    return Image(png(chart.figure), metadata=about, alt=chart.alt)  # type: ignore[no-untyped-call]


def charts(tour: Tour, number: int, brand: str, text: str, hide_photo: bool) -> list[Chart]:
    """Draw a product's paths, and which words and which part of its photo, if it has one, carried the decision."""
    tagger, shown = tour.tagger, tour.products[number]
    product = tour.product(number, brand, text, hide_photo)
    paths = top_paths(tagger, product)
    best = int(paths["path"].iloc[0])
    name = " > ".join(tagger.names(best))
    drawn = [draw_paths(paths), draw_words(word_effects(tagger, product, best), name)]
    if product.image is not None and shown.pixels is not None:
        drawn.append(draw_photo(shown.pixels, photo_heat(tagger, product, shown.pixels, best, tour.extractor), name))
    return drawn


def show(
    tour: Tour, number: int = 0, brand: str | None = None, text: str | None = None, hide_photo: bool = False
) -> None:
    """Display a product's charts; its own brand and words unless others are given."""
    shown = tour.products[number]
    brand, text = shown.brand if brand is None else brand, shown.text if text is None else text
    if shown.label:
        words = f"The shop puts this product into **{shown.label}**."
        display(Markdown(words))  # type: ignore[no-untyped-call]
    for chart in charts(tour, number, brand, text, hide_photo):
        display(picture(chart))  # type: ignore[no-untyped-call]


def controls(tour: Tour) -> widgets.VBox:
    """Return the controls, and below them the charts, which follow."""
    wide = widgets.Layout(width="95%")
    number = widgets.IntSlider(0, 0, len(tour.products) - 1, description="Product", continuous_update=False)
    brand = widgets.Text(description="Brand", continuous_update=False, layout=wide)
    text = widgets.Textarea(description="Words", continuous_update=False, rows=5, layout=wide)
    hide_photo = widgets.Checkbox(False, description="Hide the photo")
    out = widgets.Output()

    def redraw(_: object = None) -> None:
        out.clear_output(wait=True)
        with out:
            show(tour, number.value, brand.value, text.value, hide_photo.value)

    inputs = [brand, text, hide_photo]
    brand.value, text.value = tour.products[0].brand, tour.products[0].text
    number.observe(_changer(tour, number, brand, text, inputs, redraw), "value")
    for one in inputs:
        one.observe(redraw, "value")
    redraw()
    return widgets.VBox([number, *inputs, out])


def _changer(
    tour: Tour,
    number: widgets.IntSlider,
    brand: widgets.Text,
    text: widgets.Textarea,
    inputs: list[widgets.Widget],
    redraw: Callable[..., None],
) -> Callable[[object], None]:
    """Return what fills in another product's words, and draws once, not for each of them."""

    def change(_: object) -> None:
        for one in inputs:
            one.unobserve(redraw, "value")
        brand.value, text.value = tour.products[number.value].brand, tour.products[number.value].text
        for one in inputs:
            one.observe(redraw, "value")
        redraw()

    return change
