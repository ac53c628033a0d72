"""Processes that work for a stage, and end when it does, however it does."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread


def worker_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of fresh processes, by default one a core.

    A plain pool outlives a parent that is killed: its processes finish what they were given, and then wait for ever.
    """
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
