"""The models: what they read, networks, linear models, fusion; and which class builds each kind of variant."""

from lib import config

MODELS = {
    "naive": "lib.models.linear.NaiveModel",
    "linear": "lib.models.linear.LinearModel",
    "linear_image": "lib.models.linear.LinearImageModel",
    "fusion": "lib.models.fusion.LevelFusion",
    "path_fusion": "lib.models.fusion.PathFusion",
    "mlp": "lib.models.mlp.MultitaskMLP",
    "sequential": "lib.models.sequential.SequentialMLP",
    "lstm": "lib.models.lstm.ChainedLSTM",
    "lstm_multitask": "lib.models.lstm.MultitaskLSTM",
}
"""A variant's `model` -> a `lib.models.base.Model`, or a `Network` that is trained by gradient descent.

By name, so that what defines a variant is known without importing it, or PyTorch (`lib.training.kept`).
"""


def classes_of(variant: config.Variant) -> set[str]:
    """Name the class that builds a variant's model, and those of its parts."""
    parts = variant.of.values() if isinstance(variant, config.PartsVariant) else ()
    return {MODELS[variant.model]}.union(*map(classes_of, parts))


def input_files(column: str, text: config.Text) -> list[str]:
    """Name the files below `build/CATALOGUE/` that hold a column; one without any is a column of cleaned products.

    >>> input_files("text", "masked"), input_files("brand", "masked"), input_files("image/lite2", "masked")
    (['text/masked.npz', 'text/words.json'], [], ['image/lite2/features.npy'])
    >>> input_files("text/minilm", "masked")
    ['text/minilm/masked.npy']
    """
    if column == "text":
        return [f"text/{text}.npz", "text/words.json"]
    if config.input_of(column) == "image":
        return [f"{column}/features.npy"]
    return [f"{column}/{text}.npy"] if config.input_of(column) == "text" else []
