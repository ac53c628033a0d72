"""The `train` stage: every run of a variant, in parallel, each on one thread, kept as it is finished.

Only the workers import PyTorch, which takes seconds: they are copies of one process that has done it already.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from lib import artifacts, config
from lib.runs import NO_RECIPE, Run, grid
from lib.workers import cores, worker_pool

_WORKERS_IMPORT = "lib.train_run"


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


def _run_all(catalogue: str, variant: str, runs: list[Run], work: Path, workers: int) -> Iterator[None]:
    """Run all, and yield after each; what a run raises is raised without first waiting for the others."""
    calls = [(catalogue, variant, run, _finished(work, run)) for run in runs]
    if workers == 0:
        for call in calls:
            _run_one(*call)
            yield
        return
    with worker_pool(workers, _WORKERS_IMPORT) as pool:
        try:
            for future in as_completed([pool.submit(_run_one, *call) for call in calls]):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _run_one(catalogue: str, variant: str, run: Run, folder: Path) -> None:
    from lib.train_run import run_one

    run_one(catalogue, variant, run, folder)


def _gpu_is_there() -> bool:
    from lib.train_run import gpu_is_there

    return gpu_is_there()


def _finished(work: Path, run: Run) -> Path:
    return work / f"{run.recipe}-{run.text}-{run.split}-{run.size}-{run.seed}"


def _workers(accelerator: str) -> int:
    """Return how many runs go on at once: one a core, or one alone on a GPU."""
    if accelerator != "cpu":
        with worker_pool(1, _WORKERS_IMPORT) as pool:
            if pool.submit(_gpu_is_there).result():
                return 1
    return cores()


def _inputs_fingerprint(catalogue: str, variant: str, runs: list[Run], params: config.Params) -> str:
    """Hash all that determines a run's result, so that what an earlier call left is taken only if it is the same."""
    recipes = [params.recipes[name] for name in sorted({run.recipe for run in runs} - {NO_RECIPE})]
    files = ["clean/products.parquet", "clean/taxonomy.json", "image/features.npy", "text/words.json"]
    files += ["text/plain.npz", "text/masked.npz", "text/titled.npz"]
    hashes = [artifacts.file_sha256(config.build_dir(catalogue, file)) for file in files]
    settings = [config.get_variant(params, variant), *recipes, params.text]
    versions = [version("torch"), version("numpy")]
    return artifacts.fingerprint([hashes, [part.model_dump() for part in settings], params.accelerator, versions])


def _publish(catalogue: str, variant: str, finished: list[Path]) -> list[dict[str, Any]]:
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


def _all_records(finished: list[Path]) -> Iterator[dict[str, Any]]:
    for folder in finished:
        yield from artifacts.read_json(folder / "metrics.json")
