"""Processes that work for a stage, and end when it does, however it does."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context, parent_process
from threading import Thread


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(workers: int | None = None, imported: str | None = None) -> ProcessPoolExecutor:
    """Return a pool of fresh processes, by default one a core.

    A plain pool outlives a parent that is killed: its processes finish what they were given, and then wait for ever.

    Parameters
    ----------
    workers
        How many processes.
    imported
        A module that they need. Where the system can copy processes, it is imported once, by a server process that the
        workers of all pools with the same needs are copies of.
    """
    workers = workers or cores()
    if imported and "forkserver" in get_all_start_methods():
        copies = get_context("forkserver")
        copies.set_forkserver_preload([imported])
        return ProcessPoolExecutor(workers, copies, initializer=_begin, initargs=(dict(os.environ),))
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(dict(os.environ),))


def _begin(environment: dict[str, str]) -> None:
    """Take over the parent's variables, as they are now: the server may have been started under others."""
    os.environ.clear()
    os.environ.update(environment)
    Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
