"""A tiny catalogue as the `clean`, `text` and `image` stages would leave it, for tests of what comes after them."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from lib import config, files
from lib.clean.splits import sampling_key, split_products, training_rows, tuning_rows
from lib.config import SplitParams
from lib.features import text
from lib.models.base import Model, Task
from lib.models.inputs import load_catalogue_data
from lib.training.model import make_model
from lib.training.runs import Run

REPOSITORY = Path(__file__).parents[1]
PATHS = [(0, 0, 0), (0, 0, 1), (0, 1, 2), (1, 0, 0), (1, 1, 2), (1, 1, 3)]
WORDS = ["sole laces", "sole strap", "denim pockets", "linen pleats", "denim zip", "wool knit"]


def params(**changes: object) -> dict:
    """The committed params.yaml for one catalogue called tiny, with short recipes, and some keys replaced."""
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    content |= {"study": {"tiny": {"source": "."}}, "others": {}}
    content["recipes"]["paper"] |= {"epochs": 3}
    content["recipes"]["tuned"] |= {"epochs": 6, "min_updates": 60, "validate_every": 5, "batch_size": 32}
    return content | deepcopy(changes)


def catalogue(**changes: object) -> dict:
    """A catalogue's file with two training sizes and two seeds."""
    return {
        "title": "Tiny",
        "description": "Made by a test.",
        "kind": "shop",
        "publish_examples": True,
        "shop": {"products": 200, "seed": 0},
        "text": ["description"],
        "image": {"backbone": "small_vgg", "size": 64},
        "train_sizes": [40, "all"],
        "seeds": 2,
    } | changes


def write(root: Path, products: int = 240, development: float = 0.0, **changes: object) -> None:
    """Write params.yaml, the catalogue's file, and its clean, text and image artifacts below `root`."""
    forget()
    (root / "catalogues").mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(params(**changes)))
    (root / "catalogues/tiny.yaml").write_text(yaml.safe_dump(catalogue()))
    rng = np.random.default_rng(0)
    path = rng.choice(len(PATHS), products, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05])
    write_clean(root, path, rng, development)
    text.extract_text("tiny")
    write_features(root, path, rng)


def forget() -> None:
    """Forget what was read of another test's catalogue of the same name, or of this one before it was changed."""
    load_catalogue_data.cache_clear()
    text.forget()


def fit(name: str, run: Run) -> Model:
    """Fit a variant of params.yaml on a run's rows."""
    params, data = config.load_params(), load_catalogue_data("tiny")
    variant, recipe = config.get_variant(params, name), params.recipes.get(run.recipe)
    train, held = training_rows(data.products, run.split, run.size, run.seed)
    share = getattr(variant, "tuning_share", 1.0)
    model = make_model(variant, recipe, params.text, data.class_counts, data.paths)
    products, tuning = data.as_products(variant.inputs, run.text), tuning_rows(data.products, held, share)
    model.fit(Task(products.take(train), data.codes[train], products.take(held), data.codes[held], run.seed, tuning))
    return model


def train_best(text: str = "plain") -> tuple[Model, str]:
    """Train `best` as the `train` stage would, leave it where that does, and return it with its key."""
    run = Run("tuned", text, "grouped", "all", 0)
    model, key = (
        fit("best", run),
        run.key(len(training_rows(load_catalogue_data("tiny").products, "grouped", "all", 0)[0])),
    )
    model.save(config.build_dir("tiny", "models", "best", key))
    return model, key


def write_clean(root: Path, path: np.ndarray, rng: np.random.Generator, development: float = 0.0) -> None:
    """Write the cleaned table and the taxonomy for products on the given paths."""
    codes = np.array(PATHS, np.int16)[path]
    ids = [f"p{row:05d}" for row in range(len(path))]
    group = np.arange(len(path), dtype=np.int32) // 2
    keys, groups = sampling_key(ids), pd.DataFrame({"group": group, "loose_group": group})
    shares = SplitParams(test=0.25, validation=0.1)
    noise = rng.choice(["soft", "new", "blue", "classic"], len(path))
    words = [f"{WORDS[p]} and {word}" for p, word in zip(path, noise, strict=True)]
    table = {
        "product_id": ids,
        "brand": [f"brand {p % 3}" if row % 7 else f"rare {row}" for row, p in enumerate(path)],
        "title": [f"the {word}" for word in words],
        "text": [f"{word} thing{p}" for p, word in zip(path, words, strict=True)],
        "masked_text": words,
        **{f"level_{i + 1}": [f"class {c}" for c in codes[:, i]] for i in range(3)},
        **{f"level_{i + 1}_code": codes[:, i] for i in range(3)},
        "image": [f"{row:07d}.jpg" for row in range(len(path))],
        **groups,
        **split_products(keys, groups, codes, shares, development),
        "sampling_key": keys,
    }
    folder = root / "build/tiny/clean"
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_parquet(folder / "products.parquet")
    levels = [[f"class {c}" for c in range(n)] for n in (2, 2, 4)]
    files.write_json(folder / "taxonomy.json", {"levels": levels, "paths": PATHS})


def write_features(root: Path, path: np.ndarray, rng: np.random.Generator) -> None:
    """Write image features that tell the paths apart, more or less."""
    folder = root / "build/tiny/image"
    folder.mkdir(parents=True, exist_ok=True)
    features = np.eye(len(PATHS), 8)[path] + rng.normal(0, 0.4, (len(path), 8))
    np.save(folder / "features.npy", features.astype(np.float16))
