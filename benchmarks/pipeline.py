"""Time and peak memory of every stage of `dvc repro` from nothing, and the time of a second one with nothing to do.

Works in a temporary copy of what git tracks, so that nothing made before is taken for made. Memory is that of a stage
and of all
processes that it starts (proportional set size: what they share is counted once), looked at four times a second.

    python benchmarks/pipeline.py [--catalogue demo] [--keep FOLDER]
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[1]


def copy_tracked(target):
    names = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if not name.startswith("reports/") and name != "dvc.lock" and (REPOSITORY / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)
    if (REPOSITORY / "data").exists():
        (target / "data").symlink_to(REPOSITORY / "data")
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)


def study_only(target, catalogue):
    """List one catalogue in the copy's params.yaml, whether its line stands there as a comment or not."""
    path = target / "params.yaml"
    text = re.sub(r"^  # (\w+: \{source)", r"  \1", path.read_text(), flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if "{source:" not in line or line.startswith(f"  {catalogue}:")]
    path.write_text("\n".join(lines) + "\n")


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
        """Look four times a second until the process ends."""
        while self.process.is_running():
            try:
                now = memory_gib(self.process)
            except psutil.Error:
                return
            self.peaks[self.stage] = max(self.peaks.get(self.stage, 0), now)
            time.sleep(0.25)


def repro(target):
    """Run `dvc repro`, and return seconds and peak GiB by stage."""
    command = [sys.executable, "-m", "dvc", "repro"]
    process = subprocess.Popen(command, cwd=target, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peaks = Peaks(psutil.Process(process.pid))
    peaks.start()
    seconds, began = {}, time.perf_counter()
    for line in process.stdout:
        if match := re.match(r"Running stage '(.+)':", line):
            seconds[peaks.stage] = time.perf_counter() - began
            peaks.stage, began = match[1], time.perf_counter()
            print(f"{peaks.stage} ...", file=sys.stderr)
    seconds[peaks.stage] = time.perf_counter() - began
    if process.wait():
        raise SystemExit(f"dvc repro failed in stage {peaks.stage}; look in {target}")
    return seconds, peaks.peaks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", default="demo")
    parser.add_argument("--keep", type=Path, help="use this folder, and leave what was made there")
    arguments = parser.parse_args()
    target = arguments.keep or Path(tempfile.mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    copy_tracked(target)
    study_only(target, arguments.catalogue)
    seconds, peaks = repro(target)
    for stage, value in seconds.items():
        print(f"{stage:35s} {value:8.1f} s {peaks.get(stage, 0):6.2f} GiB")
    print(f"{'all':35s} {sum(seconds.values()):8.1f} s {max(peaks.values()):6.2f} GiB")
    print(f"{'again, with nothing to do':35s} {sum(repro(target)[0].values()):8.1f} s")
    if not arguments.keep:
        shutil.rmtree(target)


if __name__ == "__main__":
    main()
