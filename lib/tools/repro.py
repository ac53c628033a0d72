"""`python -m lib.tools.repro`: checks that all is there, says what will run and how long it took before, and runs it.

What it runs is `dvc repro`, which takes the same arguments. DVC itself would name the first missing file, but not how
to get it, and would not say how far it is. Its own words, and those of the stages, are in `build/repro.log`.
With `--dry` nothing runs. `--tour [CATALOGUE]` makes a tagger to play with, and nothing that this does not need.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Thread

import pandas as pd
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage
from tqdm import tqdm

from lib.check import check
from lib.config import build_dir, load_params, root
from lib.exceptions import StudyError
from lib.files import read_json
from lib.processes import COSTS
from lib.tools import saving

DVC = (sys.executable, "-m", "dvc", "repro")
RUNNING = "Running stage"
STAGE = re.compile(rf"^({RUNNING}|Stage) '(.+?)'")
"""How DVC names a stage that it runs, or one that it skips."""

ELSEWHERE = "benchmarks/stages.csv"
"""What the stages took on another machine, for whoever has run none yet: `stage`, and what `COSTS` holds of each."""
BAR = "{desc} {bar} {n_fmt} of {total_fmt} stages done [{elapsed}{postfix}]"
NEXT = "`make lab` opens the notebooks: begin with 00_start_here, then try 09_tag."
SHOWN_LINES = 20  # of the log, when a stage has failed


def planned(arguments: Sequence[str]) -> list[str]:
    """List the stages that `dvc repro` would run, and those that may follow because they read what these write.

    Raises
    ------
    StudyError
        If DVC refuses, in its own words.
    """
    targets = [argument for argument in arguments if not argument.startswith("-")]
    try:
        repo = Repo(str(root()))
        stale = {name.rpartition(":")[2] for name in repo.status(targets or None, with_deps=bool(targets))}
        index = repo.index.targets_view(targets, with_deps=True) if targets else repo.index
        named = {stage.name: stage for stage in index.stages if isinstance(stage, PipelineStage)}
    except DvcException as error:
        raise StudyError(str(error)) from error
    stages = ahead = [name for name in named if name in stale]
    while ahead:
        readers = {stage.name for name in ahead for stage in repo.index.graph.predecessors(named[name])}
        ahead = [name for name in named if name in readers and name not in stages]
        stages = stages + ahead
    return sorted(stages, key=[getattr(stage, "name", "") for stage in repo.index.stages].index)


def last_costs() -> pd.DataFrame:
    """Return what each stage cost when it last ran here; or else elsewhere.

    Returns
    -------
    DataFrame
        `seconds, processor_seconds, gib, cores, machine`, by stage.
    """
    here = {path.stem: read_json(path) for path in root().glob(f"{COSTS}/*.json")}
    costs = pd.DataFrame.from_dict(here, orient="index")
    elsewhere = root() / ELSEWHERE
    return costs.combine_first(pd.read_csv(elsewhere, index_col="stage")) if elsewhere.is_file() else costs


def seconds_of(stages: Sequence[str]) -> pd.Series:
    """Return what each stage took, in seconds; NaN for one that was never measured."""
    costs = last_costs()
    return (costs["seconds"] if len(costs) else pd.Series(dtype=float)).reindex(list(stages))


def duration(seconds: float) -> str:
    """Write a duration as it is read.

    >>> duration(8.2), duration(312), duration(float("nan"))
    ('8 s', '5 min', 'not measured yet')
    """
    if seconds != seconds:
        return "not measured yet"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def mend_lock() -> None:
    """Remove DVC's list of locks if a `dvc` that was killed has left half of it: DVC would ask a person to do that."""
    path = root() / ".dvc" / "tmp" / "rwlock"
    with suppress(FileNotFoundError):
        try:
            json.loads(path.read_text("utf-8"))
        except ValueError:
            path.unlink()


def run(arguments: Sequence[str], expected: pd.Series) -> int:
    """Run `dvc repro` behind one progress line, and return its exit status.

    Parameters
    ----------
    expected
        What each stage that will run took, in seconds (`seconds_of`).
    """
    log = root() / "build" / "repro.log"
    log.parent.mkdir(exist_ok=True)
    usual = expected.fillna(expected.mean())
    mend_lock()
    process = subprocess.Popen(
        [*DVC, *arguments], cwd=root(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    seen, ended = set[str](), Event()
    with log.open("w", encoding="utf-8") as file, tqdm(total=len(usual), bar_format=BAR) as bar:
        if sys.stderr.isatty():
            Thread(target=_refresh, args=(bar, ended), daemon=True).start()
        for line in process.stdout:
            file.write(line)
            if (found := STAGE.match(line)) and found[2] in usual.index:
                bar.update(len(seen) - bar.n)
                if found[1] == RUNNING:
                    left = usual.drop([*seen]).sum()
                    bar.set_description_str(found[2], refresh=False)
                    bar.set_postfix_str(f"about {duration(left)} left" if left else "")
                seen.add(found[2])
        status = process.wait()
        ended.set()
        bar.update(len(usual) - bar.n if status == 0 else 0)
    if status:
        lines = [line.rpartition("\r")[2] for line in log.read_text("utf-8").splitlines()]
        print(*lines[-SHOWN_LINES:], f"All of it is in {log.relative_to(root())}.", sep="\n", file=sys.stderr)
    return status


def _refresh(bar: "tqdm[None]", ended: Event) -> None:
    """Show how long it has taken so far, each second."""
    while not ended.wait(1):
        bar.refresh()


def tour(catalogue: str) -> int:
    """Make a tagger to play with, by the stages before `train` and one run of the model that is deployed.

    `make repro` finds that run among those that are kept. Nothing below `reports/` is touched, and a tagger that is
    there is left as it is. Returns an exit status.
    """
    from lib.analysis import business
    from lib.training import kept, stage
    from lib.training.run import do_run
    from lib.training.runs import study_of

    if build_dir(catalogue, "tagger").exists():
        print(f"'{catalogue}' has a tagger already. {NEXT}")
        return 0
    if status := follow([f"image@{catalogue}", f"text@{catalogue}"]):
        return status
    params, run = study_of(catalogue), business.deployed_run(catalogue)
    if (variant := params.business.variant) not in params.variants:
        raise StudyError(f"Nothing can be deployed on '{catalogue}': it lacks the inputs of two parts of `{variant}`.")
    (planned,) = stage.plan(catalogue, [variant], [run])
    print(f"One run of `{variant}`, which takes about a minute, and its promises ...", flush=True)
    folder = kept.make(
        planned.made_by,
        lambda folder, checkpoints: do_run(catalogue, params.variants[variant], run, params, folder, checkpoints),
    )
    name = run.key(read_json(folder / "history.json")["train_size"])
    shutil.copytree(folder / "model", build_dir(catalogue, "models", variant, name), dirs_exist_ok=True)
    tagger = business.make_promises(business.open_deployed(catalogue)).tagger
    tagger.save(
        build_dir(catalogue, "tagger"), f"# A tagger of `{catalogue}`\n\nMade by `make tour`, not by the study.\n"
    )
    print(f"The tagger is made. {NEXT}")
    return 0


def follow(arguments: Sequence[str]) -> int:
    """Say what will run, run it, and return an exit status."""
    stages = planned(arguments)
    if not stages:
        print("Everything is up to date: no stage has to run again.")
        return 0
    expected = seconds_of(stages)
    print(f"{len(stages)} stages will run. How long they took before: {duration(expected.sum(min_count=1))}.")
    for stage, seconds in expected.items():
        print(f"  {stage:24} {duration(seconds)}")
    return 0 if "--dry" in arguments else run(arguments, expected)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    saving.main()
    try:
        check()
        if arguments[:1] == ["--tour"]:
            return tour(arguments[1] if arguments[1:] else next(iter(load_params().study)))
        return follow(arguments)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
