"""The benchmarks start: what they import is there, and each says what it measures."""

import runpy
import sys
from pathlib import Path

import pytest
from pipeline import PROJECT

BENCHMARKS = sorted(PROJECT.glob("benchmarks/*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_says_what_it_measures(path: Path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(path), run_name="__main__")
    assert "usage" in capsys.readouterr().out


def test_every_benchmark_stands_in_their_readme():
    text = (PROJECT / "benchmarks/README.md").read_text("utf-8")
    assert [path.name for path in BENCHMARKS if f"benchmarks/{path.name}" not in text] == []
