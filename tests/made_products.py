"""Products of a made-up shop, whose words, brands and photos tell their classes, and every kind of model for them."""

import numpy as np
import yaml
from pydantic import TypeAdapter
from tiny import PATHS, REPOSITORY, WORDS

from lib import config
from lib.models.base import Model, Task
from lib.models.inputs import Products
from lib.training.model import make_model

COUNTS = [2, 2, 4]
ALL = ["brand", "text", "image"]
LINEAR = {"model": "linear", "inputs": ["brand", "text"], "ngrams": 2, "C": 1.0}
MLP = {"model": "mlp", "inputs": ALL, "hidden_layers": 2, "hidden_size": 16}
ROBUST = MLP | {"modality_dropout": 0.2}
LSTM = {"embedding_size": 8, "hidden_size": 8}
CHAIN = {"decodings": ["hard", "soft", "soft_child"], "beam_width": 3}
VARIANTS = {
    "naive": {"model": "naive", "inputs": []},
    "linear": LINEAR,
    "linear_image": {"model": "linear_image", "inputs": ["brand", "image"], "ridges": [1.0, 0.1], "max_steps": 4},
    "mlp": MLP,
    "robust": ROBUST,
    "sequential": {"model": "sequential", "inputs": ALL, "hidden_layers": 2, "hidden_size": 16, **CHAIN},
    "lstm": {"model": "lstm", "inputs": ["brand", "text"], **LSTM, **CHAIN},
    "lstm_multitask": {"model": "lstm_multitask", "inputs": ALL, **LSTM},
    "fusion": {"model": "fusion", "inputs": ALL, "of": {"robust": ROBUST, "linear": LINEAR}},
    "path_fusion": {"model": "path_fusion", "inputs": ALL, "of": {"robust": ROBUST, "linear": LINEAR}},
}
RECIPE = {
    "optimizer": "adamw",
    "lr": 0.03,
    "weight_decay": 0.01,
    "batch_size": 16,
    "epochs": 12,
    "min_updates": 0,
    "validate_every": 5,
    "hidden_dropout": 0.1,
    "input_dropout": 0.1,
    "schedule": "one_cycle",
    "patience": 8,
    "standardize_image": True,
}


def shop(rows: int = 160, seed: int = 0) -> tuple[Products, np.ndarray]:
    """Products and their classes; some have no brand, no words or no photo."""
    rng = np.random.default_rng(seed)
    path = rng.integers(0, len(PATHS), rows)
    brands = [f"brand {p % 3}" if row % 7 else "" for row, p in enumerate(path)]
    texts = [f"{WORDS[p]} and {rng.choice(['soft', 'new', 'blue'])}" if row % 11 else "" for row, p in enumerate(path)]
    image = (np.eye(len(PATHS), 8)[path] + rng.normal(0, 0.2, (rows, 8))).astype(np.float16)
    image[::9] = 0
    return Products.of(brands, texts, image), np.array(PATHS, np.int16)[path]


def model_of(variant: dict, **recipe: object) -> Model:
    """Make an untrained model."""
    settings = TypeAdapter(config.Variant).validate_python(variant)
    text = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["text"]
    return make_model(
        settings, config.Recipe(**RECIPE | recipe), config.TextParams(**text), COUNTS, np.array(PATHS, np.int16)
    )


def fitted(variant: dict, seed: int = 0, checkpoints: object = None, **recipe: object) -> Model:
    """Fit a model on 100 products, with 30 validation products."""
    products, codes = shop()
    train, held = np.arange(100), np.arange(100, 130)
    model = model_of(variant, **recipe)
    task = Task(products.take(train), codes[train], products.take(held), codes[held], seed, checkpoints=checkpoints)
    model.fit(task)
    return model
