"""Runs that were made elsewhere: their outcomes, for a study that takes longer than one machine is to be had.

With `STUDY_SITTINGS=FOLDER` in the environment, `train` writes what each run got right to a small file in FOLDER, and
takes from there what another machine, or this one, has left: such a run is not made again. What is taken may differ in
the last bits from what this machine would have made. So nothing is taken unless it is asked for, and `train` says how
many runs come from where. A run whose predictions or model a later stage reads is always made here.
"""

import os
import platform
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from lib import config, files
from lib.exceptions import StudyError
from lib.training.metrics import Bits, Way
from lib.training.runs import NO_RECIPE, Run

VARIABLE = "STUDY_SITTINGS"
_OF_THE_MACHINE = {"processor", "device", "precision"}
_OF_A_NETWORK = ("backbone", "weights_sha256", "batch_norm_epsilon", "mean", "std", "size")
_CPUINFO = Path("/proc/cpuinfo")


class Taken(NamedTuple):
    """What a sitting left of a run."""

    outcomes: dict[Way, Bits]
    train_size: int
    machine: str


class Sittings:
    """The folder of a catalogue's runs from all sittings; empty, and never written to, where none is asked for."""

    def __init__(self, catalogue: str, params: config.Params) -> None:
        named = os.environ.get(VARIABLE)
        self.folder = config.root() / named if named else None
        self.catalogue = catalogue
        self.main = params.main
        self.own = {NO_RECIPE, *(name for name in params.recipes if name.startswith(self.main.recipes[0]))}

    def serve(self, run: Run) -> bool:
        """Tell whether outcomes are all that is read of a run.

        With all rows and by the study's own recipes, `07_errors` reads the predictions of the main experiment, and
        `05_train` and `08_business` the models, which the first seed saves.
        """
        in_main = run.text == self.main.text and run.split in self.main.splits
        in_full = run.size == "all" and run.recipe in self.own and (run.seed == 0 or in_main)
        return self.folder is not None and not in_full

    def write(self, variant: str, run: Run, made_by: dict[str, Any], taken: Taken) -> None:
        """Leave a run, of which outcomes are all that is read, for the next sitting."""
        path, ways = self._path(variant, run), {"/".join(way): bits for way, bits in taken.outcomes.items()}
        facts = {"key": self.key_of(made_by), "train_size": taken.train_size, "machine": taken.machine}
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **{k: np.array(v) for k, v in facts.items()}, **ways)

    def take(self, variant: str, run: Run, made_by: dict[str, Any]) -> Taken | None:
        """Return what a sitting left of a run that was made of the same, whatever the processor.

        Raises
        ------
        StudyError
            If its file is damaged.
        """
        if not self.serve(run) or not (path := self._path(variant, run)).exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["key"]) != self.key_of(made_by):
                    return None
                ways = {Way(*name.split("/")): file[name] for name in file.files if "/" in name}
                return Taken(ways, int(file["train_size"]), str(file["machine"]))
        except (OSError, ValueError, LookupError, EOFError, BadZipFile) as error:
            raise StudyError(
                f"{path} is not what a sitting left: {error}. Delete it, and its run is made again."
            ) from error

    def key_of(self, made_by: dict[str, Any]) -> str:
        """Return the hash of what a run is made of.

        Vectors of photos differ in their last bits between processors: of them it has what the network is.
        """
        inputs = {path: self._network(path) or hashed for path, hashed in made_by["inputs"].items()}
        asked = {name: value for name, value in made_by.items() if name not in _OF_THE_MACHINE}
        return files.fingerprint({**asked, "inputs": inputs})

    def _network(self, path: str) -> list[Any] | None:
        manifest = config.build_dir(self.catalogue, path).with_name("manifest.json")
        if not path.startswith("image/") or not manifest.exists():
            return None
        setup = files.read_json(manifest)
        return [setup[name] for name in _OF_A_NETWORK]

    def _path(self, variant: str, run: Run) -> Path:
        assert self.folder is not None
        return self.folder / variant / f"{run.key(run.size)}.npz"


@lru_cache
def machine() -> str:
    """Name this machine's processor, as far as it tells.

    >>> machine() != ""
    True
    """
    lines = _CPUINFO.read_text("utf-8").splitlines() if _CPUINFO.exists() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return f"{named or platform.processor() or platform.machine()} ({', '.join(extensions[-2:])})"


def summary(machines: Collection[str]) -> str:
    """Say how many runs came from where.

    >>> summary(["A", "A", "B"])
    '3 runs were made in other sittings: 2 on A, 1 on B.'
    """
    counts = ", ".join(f"{count} on {name}" for name, count in Counter(machines).most_common())
    return f"{len(machines)} runs were made in other sittings: {counts}."
