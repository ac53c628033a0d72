"""Kills a small study at random, again and again: nothing wrong may be left, no process, and no lock.

In a copy of the project, its small study (that of the tests) runs once undisturbed. Then a stage is started with
`dvc repro`, and one of its processes is killed (SIGKILL) at a random moment: `dvc` itself, the notebook's runner, its
kernel, the whole process group, or a worker, which is any other process of the stage. What must hold each time: all
that the stage started has ended 10 seconds after `dvc` has; `dvc repro` then runs through without anybody's help; and
every file is the same, byte for byte, as of the undisturbed run.

    python benchmarks/kills.py [--kills 10] [--seed 0] [--keep FOLDER]
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import yaml

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

import pipeline  # noqa: E402

KINDS = ("dvc", "notebook", "kernel", "group", "worker")
GRACE_SECONDS = 10.0
MARK = "STUDY_KILLS"
"""A variable that all processes of a run inherit, wherever they end up in the table of processes."""


def repro(root, mark, *arguments):
    """Start `dvc repro` in a process group of its own."""
    command = [sys.executable, "-m", "dvc", "repro", "--no-run-cache", *arguments]
    log = (root / "kills.log").open("ab")
    environment = pipeline.environment(root) | {MARK: mark}
    environment.pop("STUDY_CACHE", None)
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def processes(mark):
    """Return all processes that carry the mark, and still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def kind_of(process):
    """Tell what a process of a stage is; None for the shell between DVC and the runner, which decides nothing."""
    words = process.cmdline()
    if "dvc" in words[:3]:
        return "dvc"
    if words[1:2] == ["-m"] and words[2] in ("lib.notebook", "lib.report"):
        return "notebook"
    if "ipykernel_launcher" in words:
        return "kernel"
    return None if process.name() in ("sh", "dash", "bash") else "worker"


def victim(dvc, kind, mark, rng):
    """Return a process of this kind as soon as there is one; None if `dvc` ends before."""
    while dvc.poll() is None:
        try:
            choices = [one for one in processes(mark) if kind_of(one) == ("dvc" if kind == "group" else kind)]
        except psutil.Error:
            continue
        if choices:
            return rng.choice(sorted(choices, key=lambda one: one.pid))
        time.sleep(0.02)
    return None


def content(path):
    """Read a file; an executed notebook without its progress bars, which say how long it took."""
    if path.suffix != ".ipynb":
        return path.read_bytes()
    notebook = json.loads(path.read_text("utf-8"))
    for cell in notebook["cells"]:
        cell["outputs"] = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    return json.dumps(notebook).encode()


def contents(root):
    """Hash what the study has made; not what it costs, and not what says how a stage failed."""
    folders = [*root.glob("build/*"), root / "reports"]
    paths = [path for folder in folders if folder.name not in ("costs", "cache") for path in folder.rglob("*")]
    paths += root.glob("build/cache/train/*/**/*")
    kept = [path for path in paths if path.is_file() and not {"failed", "work"} & {*path.relative_to(root).parts}]
    return {str(path.relative_to(root)): hashlib.sha256(content(path)).hexdigest() for path in kept}


def forget(root, stage, rng):
    """Let a stage have work to do: half of the runs and all vectors of photos are no longer kept."""
    kept = sorted(root.glob("build/cache/train/*/manifest.json")) if stage.startswith("train") else []
    for path in rng.sample(kept, len(kept) // 2):
        shutil.rmtree(path.parent)
    if stage.startswith("image"):
        shutil.rmtree(root / "build/cache/image", ignore_errors=True)


def kill_once(root, stage, kind, moment, expected, rng, number):
    """Kill once, and return what came of it, in words; nothing if all is as it should be."""
    mark = f"{root.name}-{number}"
    forget(root, stage, rng)
    dvc = repro(root, mark, "--force", "--single-item", stage)
    time.sleep(moment)
    target = victim(dvc, kind, mark, rng)
    if target is None:
        status = dvc.wait()
        return "ended before" if status == 0 else f"failed by itself: {status}"
    what = " ".join(target.cmdline())[:120]
    if kind == "group":
        os.killpg(dvc.pid, signal.SIGKILL)
    else:
        target.kill()
    dvc.wait()
    ended = time.monotonic()
    while (left := processes(mark)) and time.monotonic() < ended + 6 * GRACE_SECONDS:
        time.sleep(0.1)
    seconds = time.monotonic() - ended
    faults = [f"left after {GRACE_SECONDS:g} s"] if seconds > GRACE_SECONDS else []
    for one in left:
        faults.append(f"left after {seconds:.0f} s: {one.name()}")
        one.kill()
    again = repro(root, f"{mark}-again", stage)
    if again.wait():
        faults.append("`dvc repro` did not go through afterwards")
        subprocess.run(
            [sys.executable, "-m", "dvc", "repro", "--force", stage], cwd=root, env=pipeline.environment(root)
        )
    found = contents(root)
    faults += [f"differs: {name}" for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    print(f"  killed: {what}; {len(left)} left after {seconds:.1f} s", flush=True)
    return "; ".join(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="use this folder, whose study is not run again if it has been")
    options = parser.parse_args()
    root = (options.keep or Path(tempfile.mkdtemp(prefix="kills-"))).resolve()
    kept = root / "undisturbed.json"
    if not kept.exists():
        if not (root / "params.yaml").exists():
            root.mkdir(parents=True, exist_ok=True)
            pipeline.copy_project(root)
        began = time.monotonic()
        if repro(root, "undisturbed").wait():
            raise SystemExit(f"the undisturbed run failed; look in {root}/kills.log")
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        kept.write_text(json.dumps(contents(root), indent=1))
    expected = json.loads(kept.read_text())
    stages = [stage for stage in yaml.safe_load((root / "dvc.lock").read_text())["stages"] if stage != "data.dvc"]
    rng, results = random.Random(options.seed), Counter()
    done, number = 0, 0
    order = []
    while done < options.kills:
        order = order or rng.sample(stages, len(stages))
        stage, kind = order.pop(), KINDS[done % len(KINDS)]
        kind = "worker" if (kind, stage.partition("@")[0]) == ("kernel", "report") else kind  # Sphinx
        number += 1
        costs = root / f"build/costs/{stage}.json"  # of its last run
        moment = rng.uniform(0.0, 3.0 + json.loads(costs.read_text())["seconds"])
        print(f"{done + 1}: {kind} of {stage} after {moment:.1f} s", flush=True)
        fault = kill_once(root, stage, kind, moment, expected, rng, number)
        if fault == "ended before":
            print("  it had ended before", flush=True)
            continue
        done += 1
        results["wrong" if fault else "right"] += 1
        if fault:
            print(f"  FAULT: {fault}", flush=True)
    print(f"{options.kills} kills: {results['right']} right, {results['wrong']} wrong ({root})", flush=True)
    if not options.keep:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
