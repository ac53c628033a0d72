"""The one model object: make it of a variant's settings, fit it, predict, save it, and load it again.

What the study trains is what a tagger loads. Which class builds which kind of model stands in `lib/models/__init__.py`.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError

from lib import config, files
from lib.exceptions import StudyError
from lib.models import MODELS
from lib.models.base import FORMAT, SETTINGS, Codes, Model, Network, Predictions, Settings, Task
from lib.models.inputs import Batches, Inputs, Products
from lib.training.loop import fit_network


def make_model(
    variant: config.Variant,
    recipe: config.Recipe | None,
    text: config.TextParams,
    class_counts: list[int],
    paths: Codes | None = None,
    accelerator: str = "cpu",
) -> Model:
    """Return the untrained model of a variant (`lib.models.base.Settings` says what it is told)."""
    settings = Settings(variant, recipe, text, list(class_counts), paths, accelerator)
    module, name = MODELS[variant.model].rsplit(".", 1)
    kind: Any = getattr(import_module(module), name)
    made: Model
    if issubclass(kind, Network):
        made = NetworkModel(settings, kind)
    elif isinstance(variant, config.PartsVariant):
        rest = (recipe, text, class_counts, None, accelerator)
        made = kind(settings, {name: make_model(part, *rest) for name, part in variant.of.items()})
    else:
        made = kind(settings)
    return made


def load_model(folder: Path) -> Model:
    """Load what `Model.save` wrote; it predicts the same bits.

    Raises
    ------
    StudyError
        If a file is missing or damaged, if files do not fit one another, or if the folder is of another format.
    """
    try:
        content = files.read_json(files.existing(folder / SETTINGS))
        if content["format"] != FORMAT:
            raise StudyError(f"{folder}: this program reads models of format {FORMAT}. Found {content['format']!r}.")
        model = make_model(
            _variant(content["variant"], content["parts"]),
            content["recipe"] and config.Recipe.model_validate(content["recipe"]),
            config.TextParams.model_validate(content["text"]),
            content["class_counts"],
        )
        model.parts = {name: load_model(folder / name) for name in model.parts}
        model.read(folder, content["learnt"])
    except (SafetensorError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise StudyError(f"{folder} is damaged, or its files are not of one model ({problem}).") from error
    return model


def _variant(settings: dict[str, Any], parts: list[str]) -> config.Variant:
    """Validate a saved variant; a fusion's parts stand in the order in which their weights do."""
    if parts:
        settings = settings | {"of": {name: settings["of"][name] for name in parts}}
    return TypeAdapter[config.Variant](config.Variant).validate_python(settings)


class NetworkModel(Model):
    """A network that gradient descent trains, and the encoders of its inputs."""

    def __init__(self, settings: Settings, kind: type[Network]) -> None:
        super().__init__(settings)
        self.kind = kind
        self.pieces = kind.make_encoders(settings)
        self.network: Network

    def fit(self, task: Task) -> None:
        """Encode the inputs and train by the recipe."""
        recipe = self.settings.recipe
        if recipe is None:
            raise StudyError(f"'{self.settings.variant.model}' is trained by gradient descent, which needs a recipe.")
        for encoder in self.pieces.values():
            encoder.fit(task.products)
        rows = self.encode(task.products, task.codes), self.encode(task.held, task.held_codes)
        torch.manual_seed(task.seed)
        self.network = self.kind(self.settings, self.pieces)
        accelerator = self.settings.accelerator
        self.history = fit_network(self.network, *rows, recipe, task.seed, accelerator, task.checkpoints)

    def encode(self, products: Products, codes: Codes) -> Inputs:
        """Return what the network reads of products, and their true classes, as tensors."""
        columns = {name: encoder.encode(products) for name, encoder in self.pieces.items()}
        return Inputs(torch.from_numpy(codes.astype(np.int64)), columns)

    def _predict(self, products: Products) -> Predictions:
        """Return what the network says of each row, read in batches."""
        network = self.network.eval()
        unknown = np.zeros((len(products), len(self.settings.class_counts)), np.int64)
        batches = Batches(self.encode(products, unknown), network.rows_at_once)
        with torch.inference_mode():
            read = [network.read(batch) for batch in batches]
            order = torch.argsort(batches.order)
            said = {name: torch.cat([part[name] for part in read])[order].numpy() for name in read[0]}
        levels = [said.pop(str(level)).astype(np.float16) for level in range(len(self.settings.class_counts))]
        return Predictions(levels, said)

    def _state(self) -> dict[str, Any]:
        weights = {f"network.{name}": tensor.numpy() for name, tensor in self.network.state_dict().items()}
        return super()._state() | weights

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.network = self.kind(self.settings, self.pieces).eval()
        weights = {name.partition(".")[2]: value for name, value in state.items() if name.startswith("network.")}
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
