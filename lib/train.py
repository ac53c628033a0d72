"""The `train` stage: every run of a variant, in parallel, each on one thread, kept as it is finished."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from lib import artifacts, config
from lib.data import load_catalogue_data
from lib.estimators import Levels, Task, make_estimator
from lib.evaluate import Record, independent, run_records
from lib.runs import NO_RECIPE, Run, grid
from lib.splits import test_rows, training_rows
from lib.workers import worker_pool


def train(catalogue: str, variant: str, workers: int | None = None) -> pd.DataFrame:
    """Run the `train` stage of one variant.

    Runs that an earlier, killed call finished are not run again; one that it began goes on from its last checkpoint.

    Parameters
    ----------
    workers : int, optional
        Processes that share the runs; by default one a core, or a single one with a GPU. 0: all in this process.

    Returns
    -------
    DataFrame
        The metrics of all runs, in the columns of `results.csv`.
    """
    params, settings = config.load_params(), config.load_catalogue(catalogue)
    runs = grid(variant, params, settings)
    work = config.build_dir(catalogue, "work", "train", variant, _inputs_fingerprint(catalogue, variant, runs, params))
    todo = [run for run in runs if not _finished(work, run).exists()]
    completed = _run_all(catalogue, variant, todo, work, _workers(params.accelerator) if workers is None else workers)
    for _ in tqdm(completed, f"{catalogue} {variant}", len(runs), initial=len(runs) - len(todo), unit="run"):
        pass
    records = _publish(catalogue, variant, [_finished(work, run) for run in runs])
    artifacts.remove(work.parent)
    return pd.DataFrame(records)


def run_one(catalogue: str, variant: str, run: Run, work: Path) -> None:
    """Fit and measure one run, and leave its files in a folder of `work`."""
    torch.set_num_threads(1)  # the same sums in the same order, however many cores there are
    params, data = config.load_params(), load_catalogue_data(catalogue)
    train_rows, validation_rows = training_rows(data.products, run.split, run.size, run.seed)
    rows = {"train": train_rows, "validation": validation_rows, "test": test_rows(data.products, run.split)}
    stem = run.key(len(train_rows))
    checkpoints = work / f"{_finished(work, run).name}.checkpoint"
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
    with artifacts.whole(_finished(work, run)) as folder:
        folder.mkdir(parents=True)
        _write_predictions(folder / f"{stem}.npz", rows, levels, train_predicted)
        artifacts.write_json(folder / "metrics.json", records)
        if run.size == "all" and run.seed == 0:
            estimator.save(folder / stem)
    artifacts.remove(checkpoints)


def _half(levels: Levels) -> Levels:
    return [level.astype(np.float16) for level in levels]


def _run_all(catalogue: str, variant: str, runs: list[Run], work: Path, workers: int) -> Iterator[None]:
    """Run all, and yield after each; what a run raises is raised without first waiting for the others."""
    if workers == 0:
        for run in runs:
            run_one(catalogue, variant, run, work)
            yield
        return
    with worker_pool(workers) as pool:
        try:
            for future in as_completed([pool.submit(run_one, catalogue, variant, run, work) for run in runs]):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(work: Path, run: Run) -> Path:
    return work / f"{run.recipe}-{run.text}-{run.split}-{run.size}-{run.seed}"


def _workers(accelerator: str) -> int:
    """Return how many runs go on at once: one a core, or one alone on a GPU."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _inputs_fingerprint(catalogue: str, variant: str, runs: list[Run], params: config.Params) -> str:
    """Hash all that determines a run's result, so that what an earlier call left is taken only if it is the same."""
    recipes = [params.recipes[name] for name in sorted({run.recipe for run in runs} - {NO_RECIPE})]
    files = ["clean/products.parquet", "clean/taxonomy.json", "image/features.npy", "text/words.json"]
    files += ["text/plain.npz", "text/masked.npz"]
    hashes = [artifacts.file_sha256(config.build_dir(catalogue, file)) for file in files]
    settings = [config.get_variant(params, variant), *recipes, params.text]
    versions = [torch.__version__, np.__version__]
    return artifacts.fingerprint([hashes, [part.model_dump() for part in settings], params.accelerator, versions])


def _write_predictions(
    path: Path, rows: dict[str, np.ndarray], levels: dict[str, Levels], train_predicted: np.ndarray
) -> None:
    arrays = {f"{name}_rows": part.astype(np.int32) for name, part in rows.items()}
    arrays |= {f"{name}_{level}": array for name, parts in levels.items() for level, array in enumerate(parts)}
    np.savez_compressed(path, allow_pickle=False, train_predicted=train_predicted, **arrays)


def _publish(catalogue: str, variant: str, finished: list[Path]) -> list[Record]:
    """Put the finished runs' files where the later stages expect them."""
    with artifacts.whole(config.build_dir(catalogue, "predictions", variant)) as predictions:
        _copy(finished, ["*.npz"], predictions)
    with artifacts.whole(config.build_dir(catalogue, "models", variant)) as models:
        _copy(finished, ["*.safetensors", "*[0-9].json"], models)
    records = sorted(_all_records(finished), key=lambda record: [str(value) for value in record.values()])
    artifacts.write_json(config.report_dir(catalogue, "metrics", f"{variant}.json"), records)
    return records


def _copy(folders: list[Path], patterns: list[str], target: Path) -> None:
    target.mkdir()
    for file in (file for folder in folders for pattern in patterns for file in folder.glob(pattern)):
        shutil.copyfile(file, target / file.name)


def _all_records(finished: list[Path]) -> Iterator[Record]:
    for folder in finished:
        yield from artifacts.read_json(folder / "metrics.json")
