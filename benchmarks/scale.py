"""Seconds and peak memory of the `clean` and `text` stages by the number of products, up to the paper's 750,000.

The generated shop's records, without photos, go straight into `raw/` of a temporary study. Each stage of each size runs
in a process of its own. Seconds are those of the clock, and of the processor for the process and all that it starts;
memory is theirs as well (proportional set size: what they share is counted once), looked at four times a second.
The growth exponent between two sizes is 1 where twice the products take twice the time. Groups are compared
with the shop's truth, as the notebook of `clean` does it.

The peer finds near-duplicate descriptions as one would first: a `datasketch.MinHash` of each description's three-word
phrases, and a `MinHashLSH` that is asked for each.

    python benchmarks/scale.py [--products 75000 750000] [--seed 2015] [--peer 20000]
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import psutil
import yaml
from datasketch import MinHash, MinHashLSH

from lib import config, schemas
from lib.clean import truth
from lib.clean.clean import clean
from lib.clean.duplicates import MIN_SHINGLES, common_limit, text_links
from lib.clean.shingles import SHINGLE_WORDS, shingles, without_common
from lib.clean.texts import clean_text
from lib.clean.words import words
from lib.config.base import FIELDS
from lib.demo_shop import generate
from lib.features.text import extract_text
from lib.files import write_zip
from lib.processes import Watch

REPOSITORY = Path(__file__).parents[1]
CATALOGUE = "demo"


def make_study(root, products, seed):
    """Copy the parameters and the demo catalogue into a study, with this many products."""
    (root / "catalogues").mkdir(parents=True)
    shutil.copy2(REPOSITORY / "params.yaml", root)
    catalogue = yaml.safe_load((REPOSITORY / "catalogues/demo.yaml").read_text("utf-8"))
    catalogue["shop"] |= {"products": products, "seed": seed}
    (root / "catalogues/demo.yaml").write_text(yaml.safe_dump(catalogue), "utf-8")


def write_raw():
    """Write what collecting the shop would leave, without photos; of equal ids the first stays."""
    shop = config.load_catalogue(CATALOGUE).shop
    records = generate(shop["products"], shop["seed"], photos=False)
    rows = (tuple(getattr(record, name) for name in FIELDS) for record in records)
    table = pd.DataFrame(rows, columns=list(FIELDS), dtype="str").drop_duplicates("product_id")
    table = table.sort_values("product_id", ignore_index=True).assign(image=pd.Series(dtype="str"))
    folder = config.build_dir(CATALOGUE, "raw")
    folder.mkdir(parents=True)
    schemas.write_table(folder / "products.parquet", table, schemas.RAW_PRODUCTS)
    write_zip(folder / "images.zip", [])


def plain_pairs(descriptions, threshold, permutations):
    """Find pairs of alike descriptions, one after the other."""
    index, pairs = MinHashLSH(threshold=threshold, num_perm=permutations), 0
    for row, text in enumerate(descriptions):
        found = words(text)
        phrases = {" ".join(found[i : i + SHINGLE_WORDS]) for i in range(len(found) - SHINGLE_WORDS + 1)}
        if len(phrases) < MIN_SHINGLES:
            continue
        sketch = MinHash(num_perm=permutations)
        for phrase in phrases:
            sketch.update(phrase.encode())
        pairs += len(index.query(sketch))
        index.insert(row, sketch)
    return pairs


def our_pairs(descriptions, brands, params):
    """Find pairs of alike descriptions of one brand, as the stage does."""
    specific, _ = without_common(shingles(descriptions), brands, common_limit(brands))
    return sum(len(left) for left, _ in text_links(specific, brands, params))


def compare_with_peer(rows):
    """Time both ways over the first `rows` raw products."""
    raw = pd.read_parquet(config.build_dir(CATALOGUE, "raw", "products.parquet")).head(rows)
    params, brands = config.load_params().clean, pd.factorize(raw["brand"].fillna(""))[0]
    descriptions = [clean_text(text) for text in raw["description"].fillna("")]
    seconds = []
    for find in (
        lambda: our_pairs(descriptions, brands, params),
        lambda: plain_pairs(descriptions, params.minhash_threshold, params.minhash_permutations),
    ):
        began = time.perf_counter()
        find()
        seconds.append(time.perf_counter() - began)
    return seconds


def groups():
    """Return precision and recall of the near-duplicate groups."""
    products = pd.read_parquet(
        config.build_dir(CATALOGUE, "clean", "products.parquet"), columns=["product_id", "group"]
    )
    score = truth.group_score(products, truth.known_truth(CATALOGUE))
    return [score.precision, score.recall]


STAGES = {
    "generate": write_raw,
    "clean": lambda: clean(CATALOGUE),
    "text": lambda: extract_text(CATALOGUE),
    "groups": groups,
}


def run_here(stage, peer):
    """Run a stage, and print seconds by the clock and by the processor, and what it returned, if that is numbers."""
    began, used = time.perf_counter(), processor_seconds()
    result = compare_with_peer(peer) if stage == "peer" else STAGES[stage]()
    seconds = [time.perf_counter() - began, processor_seconds() - used]
    print(json.dumps([*seconds, result if isinstance(result, list) else None]))


def processor_seconds():
    """Return what this process has used, and those that it started and that have ended."""
    return sum(os.times()[:4])


def run(stage, root, peer):
    """Run a stage in a process of its own; return seconds by clock and processor, peak GiB, and what it returned."""
    command = [sys.executable, str(Path(__file__)), "--stage", stage, "--peer", str(peer)]
    environment = os.environ | {"STUDY_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Watch(psutil.Process(process.pid))
    watch.start()
    output, errors = process.communicate()
    if process.returncode:
        sys.exit(f"The stage {stage} failed:\n{errors[-2000:]}")
    seconds, used, result = json.loads(output.splitlines()[-1])
    return seconds, used, watch.peak / 2**30, result


def measure(products, seed, peer):
    """Print a size's figures, and return the seconds of `clean` and `text` by clock and by processor."""
    totals = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "study")
        make_study(root, products, seed)
        for stage in ("generate", "clean", "text"):
            seconds, used, peak, _ = run(stage, root, peer)
            if stage != "generate":
                totals = [totals[0] + seconds, totals[1] + used]
            print(f"{products:9,} {stage:9s} {seconds:8.1f} s, processor {used:8.1f} s, {peak:6.2f} GiB", flush=True)
        *_, (precision, recall) = run("groups", root, peer)
        print(f"{products:9,} groups    precision {precision:.4f}, recall {recall:.4f}", flush=True)
        if peer:
            *_, (ours, plain) = run("peer", root, peer)
            print(f"{peer:9,} alike     ours {ours:.1f} s, plain {plain:.1f} s, ratio {plain / ours:.1f}", flush=True)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, nargs="+", default=[75_000, 750_000], help="sizes, in rising order")
    parser.add_argument("--seed", type=int, default=2015)
    parser.add_argument("--peer", type=int, default=20_000, help="products for the peer; 0: none")
    parser.add_argument("--stage", choices=[*STAGES, "peer"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        run_here(arguments.stage, arguments.peer)
        return
    totals = []
    for products in arguments.products:
        totals.append(measure(products, arguments.seed, arguments.peer if not totals else 0))
    for (few, less), (many, more) in pairwise(zip(arguments.products, totals, strict=True)):
        clock, processor = (math.log(b / a) / math.log(many / few) for a, b in zip(less, more, strict=True))
        print(f"clean + text, {few:,} to {many:,}: exponent {clock:.2f}, of processor seconds {processor:.2f}")


if __name__ == "__main__":
    main()
