"""The `train` stage: it looks every run of a catalogue up, makes those that are not kept, and publishes all.

Only the workers import PyTorch, which takes seconds: they are copies of one process that has done it already. Where
nothing is missing there are none.
"""

import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import as_completed
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from lib import config, files
from lib.clean.splits import test_rows
from lib.processes import cores, worker_pool
from lib.training import kept, metrics
from lib.training.runs import Run, grid, rows_of, study_of
from lib.training.sittings import Sittings, Taken, machine, summary

_WORKERS_IMPORT = "lib.training.run"
ON_GPU = 8
"""Runs that share a GPU: each leaves it idle most of the time, and holds half a GiB of it by being there."""

ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel0")
"""One of these is there wherever PyTorch may find a GPU on Linux."""


class Planned(NamedTuple):
    """A run of a variant, and what it is made of."""

    variant: str
    run: Run
    made_by: dict[str, Any]


def plan(catalogue: str, variants: Iterable[str] | None = None, runs: Collection[Run] | None = None) -> list[Planned]:
    """List a catalogue's runs, or those of some variants, and of these the ones among `runs`.

    The longest come first, so that none of them ends alone: those with the most training rows; and late variants before
    early ones, which they may be made of.
    """
    params = study_of(catalogue)
    device = _device(params.accelerator)
    planned = [
        Planned(name, run, kept.ingredients(catalogue, config.get_variant(params, name), run, params, device))
        for name in reversed([*(variants or params.variants)])
        for run in grid(name, params, catalogue)
        if runs is None or run in runs
    ]
    return sorted(planned, key=lambda one: rows_of(one.run.size), reverse=True)


def train(catalogue: str, variants: Iterable[str] | None = None, workers: int | None = None) -> pd.DataFrame:
    """Run the `train` stage, for all variants or for some.

    Parameters
    ----------
    workers : int, optional
        Processes that share the runs that are missing; by default one a core, and at most `ON_GPU` where they share a
        GPU. 0: all in this process.

    Returns
    -------
    DataFrame
        The accuracies of all runs: `variant`, and the columns of `lib.training.metrics.accuracies`.
    """
    params, planned = study_of(catalogue), plan(catalogue, variants)
    sittings = Sittings(catalogue, params)
    taken: dict[tuple[str, Run], Taken] = {}
    here, done, todo = list[Planned](), list[Planned](), list[Planned]()
    for one in planned:
        if found := sittings.take(one.variant, one.run, one.made_by):
            taken[one.variant, one.run] = found
        else:
            here.append(one)
            (done if kept.find(kept.key_of(one.made_by)) else todo).append(one)
    on_gpu = any(one.made_by["device"] != "cpu" for one in planned)
    made = _make_all(
        catalogue, params, todo, (min(cores(), ON_GPU) if on_gpu else cores()) if workers is None else workers
    )
    for one in tqdm(chain(done, made), f"training on {catalogue}", len(planned), initial=len(taken), unit="run"):
        if sittings.serve(one.run):
            sittings.write(one.variant, one.run, one.made_by, _outcome(one))
    if taken:
        print(summary([one.machine for one in taken.values()]))
    columns = [f"{split}_split" for split in config.SPLITS]
    products = pd.read_parquet(config.build_dir(catalogue, "clean", "products.parquet"), columns=columns)
    test: dict[str, int] = {split: len(test_rows(products, split)) for split in config.SPLITS}
    names = [name for name in variants or params.variants if name in {one.variant for one in planned}]
    measured = {
        name: metrics.accuracies(_publish(catalogue, name, [one for one in here if one.variant == name], taken), test)
        for name in names
    }
    return pd.concat(measured, names=["variant"]).reset_index("variant").reset_index(drop=True)


def _device(accelerator: str) -> str:
    """Say what networks are trained on. PyTorch is asked only where there may be a GPU."""
    if accelerator == "cpu" or not (sys.platform == "darwin" or any(Path(path).exists() for path in ACCELERATORS)):
        return "cpu"
    with worker_pool(1, _WORKERS_IMPORT) as pool:
        return pool.submit(_ask_for_gpu).result()


def _ask_for_gpu() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _make_all(catalogue: str, params: config.Params, todo: list[Planned], workers: int) -> Iterator[Planned]:
    """Make runs, and yield each; what one raises is raised without first waiting for the others."""
    if workers == 0 or not todo:
        for one in todo:
            _make(catalogue, one, params)
            yield one
        return
    with worker_pool(min(workers, len(todo)), _WORKERS_IMPORT) as pool:
        try:
            futures = {pool.submit(_make, catalogue, one, params): one for one in todo}
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _make(catalogue: str, planned: Planned, params: config.Params) -> None:
    from lib.training.run import do_run

    def fill(folder: Path, checkpoints: Path) -> None:
        do_run(catalogue, params.variants[planned.variant], planned.run, params, folder, checkpoints)

    kept.make(planned.made_by, fill)


def _outcome(one: Planned) -> Taken:
    """Read what a run got right that is kept on this machine."""
    folder = kept.folder_of(kept.key_of(one.made_by))
    outcomes = metrics.read(folder / "outcomes.npz")["run"]
    return Taken(outcomes, files.read_json(folder / "history.json")["train_size"], machine())


def _publish(
    catalogue: str, variant: str, here: list[Planned], taken: Mapping[tuple[str, Run], Taken]
) -> metrics.Outcomes:
    """Put the runs' files where the later stages expect them, under the runs' names; of those taken, the outcomes."""
    from_run = {one.run: kept.folder_of(kept.key_of(one.made_by)) for one in here}
    histories = {run: files.read_json(folder / "history.json") for run, folder in from_run.items()}
    names = {run: run.key(histories[run]["train_size"]) for run in from_run}
    with files.whole(config.build_dir(catalogue, "predictions", variant)) as predictions:
        predictions.mkdir()
        for run, folder in from_run.items():
            shutil.copyfile(folder / "predictions.npz", predictions / f"{names[run]}.npz")
        files.write_json(predictions / "history.json", {names[run]: h["epochs"] for run, h in histories.items()})
    with files.whole(config.build_dir(catalogue, "models", variant)) as models:
        models.mkdir()
        for run, folder in from_run.items():
            if (folder / "model").is_dir():
                shutil.copytree(folder / "model", models / names[run])
    outcomes = {names[one.run]: _outcome(one).outcomes for one in here}
    outcomes |= {run.key(of.train_size): of.outcomes for (name, run), of in taken.items() if name == variant}
    with files.whole(metrics.path_of(catalogue, variant)) as partial:
        metrics.write(partial, outcomes)
    return outcomes
