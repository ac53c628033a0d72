"""Notes which parameters a stage reads: as `sitecustomize.py` of a copy of the project, Python runs it at every start.

Each line of `trace.jsonl` is the stage's command, the model that was read, and its field.
"""

import json
import sys
from pathlib import Path

import psutil

from lib import config

RUNNERS = ("lib.notebook", "lib.report")


def stage() -> str | None:
    """Return the command, after `python -m`, of the stage that this process belongs to."""
    if "lib.notebook" in sys.orig_argv:
        return None  # the runner itself: only the notebook's own process counts
    for command in (sys.orig_argv, *(process.cmdline() for process in psutil.Process().parents())):
        for runner in RUNNERS:
            if runner in command:
                return " ".join(command[command.index(runner) :])
    return None


def install(stage: str) -> None:
    """Note every field that is read from a model of parameters, but for what validation reads."""
    noted: set[tuple[str, str]] = set()
    loading = False
    load, read = config.load, config.Strict.__getattribute__

    def noting_load(model, path):
        nonlocal loading
        loading = True
        try:
            return load(model, path)
        finally:
            loading = False

    def noting_read(self, name):
        key = (type(self).__name__, name)
        if not loading and key not in noted and name in type(self).__pydantic_fields__:
            noted.add(key)
            with (Path(__file__).parent / "trace.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps([stage, *key]) + "\n")
        return read(self, name)

    config.load = noting_load
    config.Strict.__getattribute__ = noting_read


if found := stage():
    install(found)
