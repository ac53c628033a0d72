"""Processes that work for a stage, and end when it does, however it does."""

import os
import platform
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from threading import Event, Thread

import psutil

from lib.files import write_json

SHELLS = frozenset(("sh", "dash", "bash", "zsh", "busybox"))
LOOK_SECONDS = 0.5
GRACE_SECONDS = 5.0  # in which a process that is told to stop cleans up
COSTS = "build/costs"
"""Where `measured` leaves what each stage cost, beside the outputs and never in them: they stay the same bits."""


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
    """Take over the parent's variables, as they are now: the server may have been started under others.

    An interrupt ends a worker without a word: who started it says what there is to say.
    """
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def end_with_parent(parent: int) -> None:
    """End this process as soon as the one that started it, whose number is `parent`, is no more."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    Thread(target=look, daemon=True).start()


def end_with_dvc() -> None:
    """End this process, and all that it started, as soon as the `dvc` that runs it is no more.

    DVC starts a stage through a shell, so that a killed `dvc` does not take the stage with it: it would go on unseen,
    beside whatever `dvc repro` starts next. Outside of DVC this does nothing, so that `nohup` goes on working.
    """
    if "DVC_STAGE" in os.environ:
        dvc = None
        with suppress(psutil.NoSuchProcess):
            above = next((process for process in psutil.Process().parents() if process.name() not in SHELLS), None)
            dvc = above if above is not None and _may_be_dvc(above) else None
        Thread(target=_end_after, args=(dvc,), daemon=True).start()


def _may_be_dvc(process: psutil.Process) -> bool:
    """Tell a `dvc`, or a program that runs one, from whatever takes in processes whose parent has ended already."""
    is_python = process.pid != 1 and "python" in process.name().lower()
    return is_python or any("dvc" in word for word in process.cmdline()[:3])


def _end_after(other: psutil.Process | None) -> None:
    """Wait for another process, and end this one: politely first, and after a while with all that it started."""
    with suppress(psutil.NoSuchProcess):
        while other and other.is_running() and other.status() != psutil.STATUS_ZOMBIE:  # its parent has not asked yet
            time.sleep(LOOK_SECONDS)
    children = psutil.Process().children(recursive=True)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # which would end this process alone
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
    for process in {*children, *psutil.Process().children(recursive=True)}:
        if process.is_running():
            process.kill()
    os._exit(1)


class Watch(Thread):
    """Looks at a process and all that it starts once a second: their memory, and the processor time of each.

    A process that has ended can no longer be asked, so the last second of each is not counted.

    Parameters
    ----------
    process
        Which; by default this one.
    """

    def __init__(self, process: psutil.Process | None = None) -> None:
        super().__init__(daemon=True)
        self.process = process or psutil.Process()
        self.peak, self.used, self.ended = 0, dict[tuple[int, float], float](), Event()

    def run(self) -> None:
        """Look until `ended` is set, or the process has ended."""
        while not self.ended.wait(1) and self.process.is_running():
            self.look()

    def look(self) -> None:
        """Memory is the proportional set size where the system tells it: what processes share is counted once."""
        memory, children = 0, list[psutil.Process]()
        with suppress(psutil.Error):
            children = self.process.children(recursive=True)
        for process in [self.process, *children]:
            with suppress(psutil.Error), process.oneshot():
                times, held = process.cpu_times(), process.memory_full_info()
                self.used[process.pid, process.create_time()] = times.user + times.system
                memory += getattr(held, "pss", held.uss)
        self.peak = max(self.peak, memory)


@contextmanager
def measured(root: Path, stage: str) -> Iterator[None]:
    """Measure what is done inside, and leave it below `root` in `COSTS`: `STAGE.json`, unless an error ends it.

    It holds `seconds`, `processor_seconds`, `gib` (at most, of all processes), `cores` and `machine`.
    """
    watch, began = Watch(), time.monotonic()
    watch.start()
    try:
        yield
    finally:
        watch.ended.set()
    watch.join()
    watch.look()
    costs = {"seconds": time.monotonic() - began, "processor_seconds": sum(watch.used.values())}
    costs = {name: round(value, 1) for name, value in costs.items()} | {"gib": round(watch.peak / 2**30, 2)}
    path = root / COSTS / f"{os.environ.get('DVC_STAGE', stage)}.json"
    write_json(path, costs | {"cores": cores(), "machine": f"{platform.machine()} {platform.system()}"})
