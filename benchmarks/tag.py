"""Products a second from ready features to tags, and the memory that it takes: ours, against all rows at once.

The table is a generated one: descriptions of the catalogue's own products under new ids, with random vectors. Each
measurement is a process of its own, so that its peak memory is its own. The peer reads the table with pandas, cleans
every row, asks the same parts for all rows at once, and writes with pandas: what a notebook would do. From photos the
rate is compared with the network's own over the same photos, as the `image` stage runs it (`lib.features.vectors`).
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from lib import config
from lib.clean.texts import clean_text
from lib.features.vectors import PART, compute
from lib.models.inputs import Products
from lib.tagging import photo_vectors
from lib.tagging.stream import Job, Tagged, decide, known_weights, tag_table
from lib.tagging.tagger import Tagger


def write_table(catalogue, folder, rows, dimension):
    """Write a table of so many products, in pieces, and random vectors for them."""
    raw = pd.read_parquet(config.build_dir(catalogue, "raw", "products.parquet"), columns=["brand", "description"])
    table, features = folder / f"{rows}.csv", folder / f"{rows}.npy"
    vectors = np.lib.format.open_memmap(features, "w+", np.float16, (rows, dimension))
    rng = np.random.default_rng(0)
    for begin in range(0, rows, 10_000):
        end = min(begin + 10_000, rows)
        part = raw.iloc[rng.integers(0, len(raw), end - begin)].assign(
            product_id=[f"p{row}" for row in range(begin, end)]
        )
        part.to_csv(table, mode="a" if begin else "w", header=not begin, index=False)
        vectors[begin:end] = rng.random((end - begin, dimension), np.float32)
    return table, features


def at_once(job):
    """Tag a table as a notebook would: every step for all rows."""
    tagger = Tagger.load(job.model)
    promises = tagger.promises
    begun = time.monotonic()
    table = pd.read_csv(job.table, keep_default_na=False, dtype=str)
    brands, texts = table["brand"].map(clean_text).tolist(), table["description"].map(clean_text).tolist()
    tags = tagger.tag(Products.of(brands, texts, np.load(job.features)))
    limits, smallest = promises.thresholds_for(job.precision), promises.smallest_listed(job.precision)
    rows = decide(tagger, tags, table["product_id"].tolist(), limits, smallest)
    pd.DataFrame(rows, columns=Tagged._fields).to_csv(job.output, index=False)
    return len(rows), time.monotonic() - begun


def streamed(job):
    summary = tag_table(job)
    return summary.products, summary.seconds


def from_photos(job):
    """Tag the catalogue's own products from their photos."""
    begun = time.monotonic()
    summary = tag_table(job)
    assert not summary.rejects["photo: not found"], "what is not looked at costs no time"
    return summary.products, time.monotonic() - begun


def network_alone(job):
    """Compute the same photos' vectors, and nothing else."""
    tagger = Tagger.load(job.model)
    names = pd.read_parquet(job.table)["image"].dropna().tolist()
    weights = known_weights(tagger.about.catalogue, tagger.about.backbone)
    begun = time.monotonic()
    network = photo_vectors.network_of(tagger.about.backbone, weights, 0)
    parts = [names[begin : begin + PART] for begin in range(0, len(names), PART)]
    done = sum(len(vectors.reasons) for vectors in compute(job.images, parts, network))
    return done, time.monotonic() - begun


KINDS = {function.__name__: function for function in (streamed, at_once, from_photos, network_alone)}


def child(kind, **job):
    """Measure in a process of its own."""
    code = f"import sys; from benchmarks.tag import measure; measure({kind!r}, sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    values = json.dumps({name: str(value) for name, value in job.items()})
    out = subprocess.run(
        [sys.executable, "-c", code, values],
        env=environment,
        capture_output=True,
    )
    if out.returncode:
        raise SystemExit(out.stderr.decode())
    return json.loads(out.stdout)


def measure(kind, values):
    values = json.loads(values)
    job = Job(
        **{name: Path(value) for name, value in values.items() if name != "precision"},
        precision=float(values["precision"]),
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    products, seconds = KINDS[kind](job)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"products": products, "seconds": seconds, "cpu": cpu, "mib": peak_mib()}))


def peak_mib():
    """Return this process's peak memory. `ru_maxrss` would not do: it begins at that of the process that started it."""
    return int(re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1]) / 2**10


def report(label, found):
    """Print a line; processor time is of the process alone, not of those that compute photos for it."""
    rate, of_cpu = found["products"] / found["seconds"], found["products"] / found["cpu"]
    print(f"{label:28} {found['products']:>9,} products {rate:9,.1f}/s", end="  ")
    print(f"{of_cpu:9,.0f} per own processor second  peak {found['mib']:7,.0f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", default="demo", help="one whose tagger was made")
    parser.add_argument("--model", type=Path, help="its folder (default: the study's)")
    parser.add_argument("--precision", default="0.95")
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--peer-rows", type=int, default=10_000, help="more would not fit into memory for long")
    parser.add_argument("--photos", type=int, default=0, help="also so many of the catalogue's products, from photos")
    arguments = parser.parse_args()
    model = arguments.model or config.build_dir(arguments.catalogue, "tagger")
    dimension = Tagger.load(model).about.backbone.dimension
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common = {"model": model, "precision": arguments.precision, "output": folder / "tagged.csv"}
        for rows in arguments.rows:
            table, features = write_table(arguments.catalogue, folder, rows, dimension)
            report("streamed", child("streamed", table=table, features=features, **common))
            if rows <= arguments.peer_rows:
                report("all rows at once (peer)", child("at_once", table=table, features=features, **common))
            table.unlink()
            features.unlink()
        if arguments.photos:
            raw = config.build_dir(arguments.catalogue, "raw")
            table = folder / "photos.parquet"
            products = pd.read_parquet(raw / "products.parquet").dropna(subset="image").head(arguments.photos)
            products["product_id"] = products["image"].str.removesuffix(".jpg")  # where photos are named by the id
            products.to_parquet(table)
            paths = {"table": table, "images": raw / "images.zip"}
            report("from photos", child("from_photos", **paths, **common))
            report("the photos' network alone", child("network_alone", **paths, **common))


if __name__ == "__main__":
    main()
