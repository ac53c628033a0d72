"""Time and peak memory of every stage of `make repro` from nothing, and the time of a second one with nothing to do.

Works in a temporary copy of what git tracks, so that nothing made before is taken for made. What each stage cost is
what the study measures of itself (`lib.processes.measured`).

    python benchmarks/pipeline.py [--catalogue demo] [--keep FOLDER] [--save]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
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
    params = yaml.safe_load(re.sub(r"^  # ( *\w+:)", r"  \1", path.read_text(), count=3, flags=re.MULTILINE))
    others = {name: other for name, other in params["others"].items() if other["tagged_by"] == catalogue}
    changes = {"study": {catalogue: params["study"][catalogue]}, "others": others}
    path.write_text(yaml.safe_dump(params | changes, sort_keys=False))


def repro(target):
    """Run `make repro`'s command with nothing kept from elsewhere, and return its seconds."""
    environment = os.environ | {"PYTHONPATH": str(target), "STUDY_ROOT": str(target)}
    environment.pop("STUDY_CACHE", None)
    began = time.perf_counter()
    if subprocess.run([sys.executable, "-m", "lib.tools.repro"], cwd=target, env=environment).returncode:
        raise SystemExit(f"a stage failed; look in {target}")
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", default="demo")
    parser.add_argument("--keep", type=Path, help="use this folder, and leave what was made there")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/stages.csv, for `make repro` to say")
    arguments = parser.parse_args()
    target = arguments.keep or Path(tempfile.mkdtemp())
    target.mkdir(parents=True, exist_ok=True)
    copy_tracked(target)
    study_only(target, arguments.catalogue)
    seconds = repro(target)
    costs = pd.DataFrame({path.stem: json.loads(path.read_text()) for path in target.glob("build/costs/*.json")}).T
    print(costs.to_string())
    used, peak = costs["processor_seconds"].sum(), costs["gib"].max()
    print(f"all: {seconds:.1f} s, {used:.1f} processor s in the stages, at most {peak:.2f} GiB")
    print(f"again, with nothing to do: {repro(target):.1f} s")
    if arguments.save:
        costs.to_csv(REPOSITORY / "benchmarks/stages.csv", index_label="stage")
    if not arguments.keep:
        shutil.rmtree(target)


if __name__ == "__main__":
    main()
