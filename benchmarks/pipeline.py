"""Time and peak memory of every stage of `dvc repro` from nothing, and the time of a second one with nothing to do.

Works in a temporary copy of what git tracks, so that nothing made before is taken for made. Memory is that of a stage
and of all processes that it starts (proportional set size: what they share is counted once), looked at once a second:
to look costs some milliseconds a process. Processor seconds are those of the same processes: on a machine that does
other things as well they say more than the seconds that passed.

    python benchmarks/pipeline.py [--catalogue demo] [--keep FOLDER]
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml
from _watch import Watch

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
    params = yaml.safe_load(re.sub(r"^  # ( *\w+:)", r"  \1", path.read_text(), count=3, flags=re.MULTILINE))
    others = {name: other for name, other in params["others"].items() if other["tagged_by"] == catalogue}
    changes = {"study": {catalogue: params["study"][catalogue]}, "others": others}
    path.write_text(yaml.safe_dump(params | changes, sort_keys=False))


def repro(target, *arguments):
    """Run `dvc repro`, and return by stage: seconds, processor seconds, and peak GiB."""
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    process = psutil.Popen(command, cwd=target, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    watch, stages = Watch(psutil.Process(process.pid)), {}
    watch.start()
    began, used = time.perf_counter(), 0.0

    def end(stage):
        nonlocal began, used
        now, processor = time.perf_counter(), watch.processor_seconds()
        stages[stage] = (now - began, processor - used)
        began, used = now, processor

    for line in process.stdout:
        if match := re.match(r"Running stage '(.+)':", line):
            end(watch.stage)
            watch.stage = match[1]
            print(f"{watch.stage} ...", file=sys.stderr)
    if process.wait():
        raise SystemExit(f"dvc repro failed in stage {watch.stage}; look in {target}")
    end(watch.stage)
    return {stage: (*times, watch.peaks.get(stage, 0)) for stage, times in stages.items()}


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
