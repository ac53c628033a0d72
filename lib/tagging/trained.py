"""From what the `train` stage saved of a variant to a tagger, before anything is promised of it."""

from lib import config
from lib.artifacts import read_json
from lib.errors import StudyError
from lib.tagging.parts import load_part
from lib.tagging.tagger import About, Backbone, Tagger


def trained_tagger(catalogue: str, name: str, key: str, text: config.Text) -> Tagger:
    """Put a trained variant together.

    Parameters
    ----------
    name
        A variant of `params.yaml`.
    key
        Of the run (`lib.runs.Run.key`).

    Raises
    ------
    StudyError
        If the variant cannot be deployed, or a file is missing.
    """
    params, settings = config.load_params(), config.load_catalogue(catalogue)
    variant, stop_words = config.get_variant(params, name), params.text.stop_words
    if not isinstance(variant, config.PathFusionVariant):
        raise StudyError(f"business.variant: only a 'path_fusion' can be deployed, and '{name}' is none.")
    model = config.build_dir(catalogue, "models", name)
    taxonomy = read_json(config.build_dir(catalogue, "clean", "taxonomy.json"))
    about = About(
        catalogue=catalogue,
        key=key,
        text=text,
        text_from=tuple(settings.text),
        stop_words=stop_words,
        variant=variant,
        weights=read_json(model / f"{key}.json")["weights"],
        backbone=backbone_of(catalogue) if "image" in variant.inputs else None,
    )
    counts = [len(names) for names in taxonomy["levels"]]
    parts = {part: load_part(model / f"{part}-{key}", of, counts, stop_words) for part, of in variant.of.items()}
    return Tagger(about, taxonomy, parts)


def backbone_of(catalogue: str) -> Backbone:
    """Return how a catalogue's photos became vectors."""
    manifest = read_json(config.build_dir(catalogue, "image", "manifest.json"))
    return Backbone(
        settings=config.load_catalogue(catalogue).image,
        weights_sha256=manifest["weights_sha256"],
        dimension=manifest["dimension"],
    )
