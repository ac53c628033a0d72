"""Time and peak memory of every stage of `dvc repro` from nothing, and the time of a second one with nothing to do.

Works in a temporary copy of what git tracks, so that nothing made before is taken for made. Memory is that of a stage
and of all processes that it starts (proportional set size: what they share is counted once), looked at once a second:
to look costs some milliseconds a process. Processor seconds are those of the same processes: on a machine that does
other things as well they say more than the seconds that passed.

    python benchmarks/pipeline.py [--catalogue demo] [--keep FOLDER]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import yaml

REPOSITORY = Path(__file__).parents[1]


def copy_tracked(target):
    names = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if not name.startswith("reports/") and name != "dvc.lock" and (REPOSITORY / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)
    if (REPOSITORY / "data").exists() and not (target / "data").exists():
        (target / "data").symlink_to(REPOSITORY / "data")
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)


def study_only(target, catalogue):
    """Study one catalogue in the copy, whether its line stands there as a comment or not, and those that it tags."""
    path = target / "params.yaml"
    params = yaml.safe_load(re.sub(r"^  # (\w+: \{source)", r"  \1", path.read_text(), flags=re.MULTILINE))
    pairs = {name: pair for name, pair in params["transfer"].items() if pair["source"] == catalogue}
    study = {catalogue: params["study"][catalogue]}
    tagged = {pair["target"]: params["prepared"][pair["target"]] for pair in pairs.values()}
    changes = {"study": study, "prepared": study | tagged, "transfer": pairs}
    path.write_text(yaml.safe_dump(params | changes, sort_keys=False))


def memory_gib(process):
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**30


class Peaks(threading.Thread):
    """Watches a process tree, and keeps the peak of each stage."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.stage, self.peaks, self.began = process, "start", {}, {}

    def run(self):
        """Look once a second until the process ends."""
        while self.process.is_running():
            try:
                now = memory_gib(self.process)
            except psutil.Error:
                return
            self.peaks[self.stage] = max(self.peaks.get(self.stage, 0), now)
            time.sleep(1)


def processor_seconds(process):
    """Return what the processes that a process has started, and that have ended, have used so far."""
    times = process.cpu_times()
    return times.children_user + times.children_system


def repro(target):
    """Run `dvc repro`, and return by stage: seconds, processor seconds, and peak GiB."""
    command = [sys.executable, "-m", "dvc", "repro"]
    process = psutil.Popen(command, cwd=target, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peaks, stages = Peaks(psutil.Process(process.pid)), {}
    peaks.start()
    began, used = time.perf_counter(), 0.0

    def end(stage):
        nonlocal began, used
        now, processor = time.perf_counter(), processor_seconds(process)
        stages[stage] = (now - began, processor - used)
        began, used = now, processor

    for line in process.stdout:
        if match := re.match(r"Running stage '(.+)':", line):
            end(peaks.stage)
            peaks.stage = match[1]
            print(f"{peaks.stage} ...", file=sys.stderr)
    last = peaks.stage
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    end(last)
    if process.wait():
        raise SystemExit(f"dvc repro failed in stage {last}; look in {target}")
    return {stage: (*times, peaks.peaks.get(stage, 0)) for stage, times in stages.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", default="demo")
    parser.add_argument("--keep", type=Path, help="use this folder, and leave what was made there")
    arguments = parser.parse_args()
    target = arguments.keep or Path(tempfile.mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    copy_tracked(target)
    study_only(target, arguments.catalogue)
    stages = repro(target)
    for stage, (seconds, processor, peak) in stages.items():
        print(f"{stage:35s} {seconds:8.1f} s {processor:8.1f} processor s {peak:6.2f} GiB")
    seconds, processor, peaks = zip(*stages.values(), strict=True)
    print(f"{'all':35s} {sum(seconds):8.1f} s {sum(processor):8.1f} processor s {max(peaks):6.2f} GiB")
    print(f"{'again, with nothing to do':35s} {sum(seconds for seconds, *_ in repro(target).values()):8.1f} s")
    if not arguments.keep:
        shutil.rmtree(target)


if __name__ == "__main__":
    main()
