"""The benchmarks start: what they import is there, and each says what it measures."""

import subprocess
import sys
from pathlib import Path

import pytest
from pipeline import PROJECT, environment

BENCHMARKS = sorted(PROJECT.glob("benchmarks/*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_says_what_it_measures(path: Path):
    result = subprocess.run(
        [sys.executable, path, "--help"], env=environment(PROJECT), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout


def test_every_benchmark_stands_in_their_readme():
    text = (PROJECT / "benchmarks/README.md").read_text("utf-8")
    assert [path.name for path in BENCHMARKS if f"benchmarks/{path.name}" not in text] == []
