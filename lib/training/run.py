"""One run, as a worker does it: fit on training rows, predict, and leave all that is asked of a run in a folder."""

from pathlib import Path

import numpy as np
import torch

from lib import config, files
from lib.clean.splits import test_rows, training_rows, tuning_rows
from lib.models.base import Predictions, Task
from lib.models.inputs import load_catalogue_data
from lib.training import metrics
from lib.training.metrics import Way, correctness, decode, independent, pack, valid_path
from lib.training.model import make_model
from lib.training.runs import NO_RECIPE, Run

PREDICTIONS, OUTCOMES, HISTORY, MODEL = "predictions.npz", "outcomes.npz", "history.json", "model"
"""What a run leaves; the last one only where it is wanted."""

OWN = "run"
"""A run's name in its own outcomes: what it is called is the grid's to say."""


def do_run(
    catalogue: str, variant: config.Variant, run: Run, params: config.Params, folder: Path, checkpoints: Path
) -> None:
    """Fit and measure one run, and leave its files in `folder`: contracts in `docs/architecture.md`.

    Parameters
    ----------
    checkpoints
        Where a long fit keeps its last checkpoint; if there is one, it goes on from there, to the same result.
    """
    torch.set_num_threads(1)  # the same sums in the same order, however many cores there are
    data = load_catalogue_data(catalogue)
    train, held = training_rows(data.products, run.split, run.size, run.seed)
    rows = {"train": train, "validation": held, "test": test_rows(data.products, run.split)}
    products = data.as_products(config.columns_of(variant), run.text)
    of = {part: products.take(numbers) for part, numbers in rows.items()}

    recipe = None if run.recipe == NO_RECIPE else params.recipes[run.recipe]
    model = make_model(variant, recipe, params.text, data.class_counts, data.paths, params.accelerator)
    share = variant.tuning_share if isinstance(variant, config.PathFusionVariant) else None
    tuning = None if share is None else tuning_rows(data.products, held, share)
    held_codes = data.codes[held]
    model.fit(Task(of["train"], data.codes[train], of["validation"], held_codes, run.seed, tuning, checkpoints))

    predictions = {part: _in_half_precision(model.predict(of[part])) for part in rows}
    decoded = {part: _decode(variant, predictions[part], data.paths, part) for part in ("test", "train")}
    right = {
        Way(name, part): pack(correctness(codes, data.codes[rows[part]], data.paths), rows[part])
        for part, ways in decoded.items()
        for name, codes in ways.items()
    }
    _write_predictions(folder / PREDICTIONS, rows, predictions, decoded["train"])
    metrics.write(folder / OUTCOMES, {OWN: right})
    files.write_json(folder / HISTORY, {"train_size": len(train), "epochs": model.history})
    if run.size == "all" and run.seed == 0:
        model.save(folder / MODEL)


def _in_half_precision(predictions: Predictions) -> Predictions:
    return predictions._replace(levels=[level.astype(np.float16) for level in predictions.levels])


def _decode(variant: config.Variant, predictions: Predictions, paths: np.ndarray, part: str) -> dict[str, np.ndarray]:
    """Decode in each way that a variant is measured in; on training rows in the usual one alone, and a chain's own."""
    if isinstance(variant, config.PathFusionVariant):
        return {"valid_path": valid_path(predictions.levels, paths)}
    own = {name: codes[:, 0] for name, codes in predictions.decoded.items() if not name.endswith("_scores")}
    levels = predictions.levels
    return (decode(levels, paths) if part == "test" else {"independent": independent(levels)}) | own


def _write_predictions(
    path: Path, rows: dict[str, np.ndarray], predictions: dict[str, Predictions], on_train: dict[str, np.ndarray]
) -> None:
    """Write what was predicted: of training rows the classes alone."""
    arrays = {f"train_{'predicted' if name == 'independent' else name}": codes for name, codes in on_train.items()}
    arrays |= {f"{part}_rows": numbers.astype(np.int32) for part, numbers in rows.items()}
    for part in ("validation", "test"):
        levels, decoded = predictions[part]
        arrays |= {f"{part}_{name}": array for name, array in (*enumerate(levels), *decoded.items())}
    np.savez_compressed(path, allow_pickle=False, **arrays)
