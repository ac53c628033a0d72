"""Active learning, strategies and seeds side by side: each in a process of its own, on one thread."""

from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lib.label_pool import Pool
from lib.workers import worker_pool

_WORKERS_IMPORT = "lib.active_learning"
LONGEST = "diversity"


class Outcome(NamedTuple):
    """What one strategy made of its budgets with one seed.

    Attributes
    ----------
    right
        bool (budgets, test rows): whether the path is right.
    asked
        intp (largest budget,): the products that were labelled, in order; each budget is a beginning of it.
    """

    right: npt.NDArray[np.bool_]
    asked: npt.NDArray[np.intp]


def run_all(
    pool: Pool,
    strategies: Sequence[str],
    budgets: Sequence[int],
    seeds: int,
    candidates: int,
    workers: int | None = None,
) -> dict[tuple[str, int], Outcome]:
    """Run every strategy with every seed.

    Parameters
    ----------
    workers
        Processes; by default one a core. 0: all in this process.

    Returns
    -------
    (strategy, seed) -> what came of it.
    """
    calls = [(strategy, seed) for strategy in strategies for seed in range(seeds)]
    calls.sort(key=lambda call: call[0] != LONGEST)  # so that the longest ones do not end alone
    found = {}
    with TemporaryDirectory() as folder:
        pool.save(Path(folder))
        if workers == 0:
            return {call: _work(folder, *call, budgets, candidates) for call in calls}
        with worker_pool(workers, _WORKERS_IMPORT) as processes:
            try:
                futures = {processes.submit(_work, folder, *call, budgets, candidates): call for call in calls}
                for future in tqdm(as_completed(futures), "active learning", len(calls), unit="run"):
                    found[futures[future]] = future.result()
            finally:
                processes.shutdown(wait=False, cancel_futures=True)
    return {call: found[call] for call in sorted(found)}


def _work(folder: str, strategy: str, seed: int, budgets: Sequence[int], candidates: int) -> Outcome:
    import torch
    from threadpoolctl import threadpool_limits

    from lib.active_learning import learn, right_paths

    torch.set_num_threads(1)  # the same sums in the same order, however many cores there are
    pool = Pool.load(Path(folder))
    with threadpool_limits(1):
        rounds = list(learn(pool, pool.codes.__getitem__, strategy, budgets, seed, candidates))
        right = np.stack([right_paths(pool, one.model) for one in rounds])
    return Outcome(right, rounds[-1].asked)
