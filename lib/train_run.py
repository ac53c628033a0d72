"""One run of the `train` stage, as a worker does it: fit, measure, and leave the files in a folder."""

from pathlib import Path

import numpy as np
import torch

from lib import artifacts, config, outcomes
from lib.data import load_catalogue_data
from lib.estimators import make_estimator
from lib.evaluate import correctness, decode, independent, run_records, valid_path
from lib.runs import Run
from lib.splits import test_rows, training_rows
from lib.tasks import Predictions, Task


def run_one(catalogue: str, variant: str, run: Run, folder: Path) -> None:
    """Fit and measure one run, and leave its files in `folder`, whole or not at all."""
    torch.set_num_threads(1)  # the same sums in the same order, however many cores there are
    params, data = config.load_params(), load_catalogue_data(catalogue)
    train_rows, validation_rows = training_rows(data.products, run.split, run.size, run.seed)
    rows = {"train": train_rows, "validation": validation_rows, "test": test_rows(data.products, run.split)}
    stem = run.key(len(train_rows))
    checkpoints = folder.with_name(f"{folder.name}.checkpoint")
    settings = config.get_variant(params, variant)
    estimator = make_estimator(settings)
    estimator.fit(Task(catalogue, run, train_rows, validation_rows, checkpoints))
    found = {name: _half(estimator.predict(part)) for name, part in rows.items()}
    trained = found.pop("train")
    if isinstance(settings, config.PathFusionVariant):
        said = {
            name: {"valid_path": valid_path(of.levels, data.paths)}
            for name, of in (("test", found["test"]), ("train", trained))
        }
    else:
        said = {
            "test": decode(found["test"].levels, data.paths) | _chained(found["test"]),
            "train": {"independent": independent(trained.levels)} | _chained(trained),
        }
    right = {
        outcomes.Way(name, part): outcomes.pack(correctness(codes, data.codes[rows[part]], data.paths), rows[part])
        for part, decoded in said.items()
        for name, codes in decoded.items()
    }
    truth = {part: data.codes[rows[part]] for part in said}
    with artifacts.whole(folder) as partial:
        partial.mkdir(parents=True)
        _write_predictions(partial / f"{stem}.npz", rows, found, said["train"])
        outcomes.write(partial / outcomes.FILE, {stem: right})
        records = run_records(run.columns(variant, len(train_rows)), said, truth, data.paths)
        artifacts.write_json(partial / "metrics.json", records)
        if run.size == "all" and run.seed == 0:
            estimator.save(partial / stem)
    artifacts.remove(checkpoints)


def _half(predictions: Predictions) -> Predictions:
    return predictions._replace(levels=[level.astype(np.float16) for level in predictions.levels])


def _chained(predictions: Predictions) -> dict[str, np.ndarray]:
    """Return the best path of each row in each of a chain's decodings."""
    return {name: paths.codes[:, 0] for name, paths in predictions.decoded.items()}


def gpu_is_there() -> bool:
    """Tell whether networks can run on a GPU."""
    return torch.cuda.is_available()


def _write_predictions(
    path: Path, rows: dict[str, np.ndarray], found: dict[str, Predictions], on_train: dict[str, np.ndarray]
) -> None:
    """Write all that is asked of a run later on; the contract is in `docs/architecture.md`."""
    arrays = {
        f"train_{'predicted' if name == 'independent' else name}": predicted for name, predicted in on_train.items()
    }
    arrays |= {f"{name}_rows": part.astype(np.int32) for name, part in rows.items()}
    for name, predictions in found.items():
        arrays |= {f"{name}_{level}": array for level, array in enumerate(predictions.levels)}
        for decoding, paths in predictions.decoded.items():
            arrays |= {f"{name}_{decoding}": paths.codes, f"{name}_{decoding}_scores": paths.scores}
    np.savez_compressed(path, allow_pickle=False, **arrays)
