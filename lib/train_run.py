"""One run of the `train` stage, as a worker does it: fit, measure, and leave the files in a folder."""

from pathlib import Path

import numpy as np
import torch

from lib import artifacts, config
from lib.data import load_catalogue_data
from lib.estimators import Levels, Task, make_estimator
from lib.evaluate import independent, run_records
from lib.runs import Run
from lib.splits import test_rows, training_rows


def run_one(catalogue: str, variant: str, run: Run, folder: Path) -> None:
    """Fit and measure one run, and leave its files in `folder`, whole or not at all."""
    torch.set_num_threads(1)  # the same sums in the same order, however many cores there are
    params, data = config.load_params(), load_catalogue_data(catalogue)
    train_rows, validation_rows = training_rows(data.products, run.split, run.size, run.seed)
    rows = {"train": train_rows, "validation": validation_rows, "test": test_rows(data.products, run.split)}
    stem = run.key(len(train_rows))
    checkpoints = folder.with_name(f"{folder.name}.checkpoint")
    estimator = make_estimator(config.get_variant(params, variant))
    estimator.fit(Task(catalogue, run, train_rows, validation_rows, checkpoints))
    levels = {name: _half(estimator.log_probabilities(part)) for name, part in rows.items()}
    train_predicted = independent(levels.pop("train"))
    records = run_records(
        run.columns(variant, len(train_rows)),
        levels["test"],
        data.codes[rows["test"]],
        train_predicted,
        data.codes[train_rows],
        data.paths,
    )
    with artifacts.whole(folder) as partial:
        partial.mkdir(parents=True)
        _write_predictions(partial / f"{stem}.npz", rows, levels, train_predicted)
        artifacts.write_json(partial / "metrics.json", records)
        if run.size == "all" and run.seed == 0:
            estimator.save(partial / stem)
    artifacts.remove(checkpoints)


def _half(levels: Levels) -> Levels:
    return [level.astype(np.float16) for level in levels]


def gpu_is_there() -> bool:
    """Tell whether networks can run on a GPU."""
    return torch.cuda.is_available()


def _write_predictions(
    path: Path, rows: dict[str, np.ndarray], levels: dict[str, Levels], train_predicted: np.ndarray
) -> None:
    arrays = {f"{name}_rows": part.astype(np.int32) for name, part in rows.items()}
    arrays |= {f"{name}_{level}": array for name, parts in levels.items() for level, array in enumerate(parts)}
    np.savez_compressed(path, allow_pickle=False, train_predicted=train_predicted, **arrays)
