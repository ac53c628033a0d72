"""Artifacts are whole or not there, whatever happens while they are written."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib import files
from lib.exceptions import StudyError

PROJECT = Path(__file__).parents[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, "file", "folder"])
def test_a_folder_takes_the_place_of_whatever_stood_there(tmp_path, before):
    target = tmp_path / "raw"
    if before == "file":
        target.write_text("old")
    elif before == "folder":
        target.mkdir()
        (target / "old").write_text("old")
    with files.whole(target) as partial:
        partial.mkdir()
        (partial / "new").write_text("new")
        assert not (target / "new").exists()
    assert names(tmp_path) == ["raw"]
    assert names(target) == ["new"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter").write_text("years of work")

    def write():
        with files.whole(target) as partial:
            partial.write_text("new")

    message = r"Cannot write .*thesis: expected the name of a file, found a folder\. It is left as it is\."
    with pytest.raises(StudyError, match=message):
        write()
    assert (target / "chapter").read_text() == "years of work"
    assert names(tmp_path) == ["thesis"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    target = tmp_path / "table.parquet"
    target.write_text("old")

    def write_half():
        with files.whole(target) as partial:
            partial.write_text("half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["table.parquet"]


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "No space left on device"), (errno.EACCES, "Permission denied")]
)
def test_a_full_disk_or_an_unwritable_folder_is_one_clear_message(tmp_path, number, reason):
    target = tmp_path / "raw"
    with pytest.raises(StudyError) as caught, files.whole(target):
        raise OSError(number, os.strerror(number))
    remedy = "Make room there, or let this user write there, and run it again."
    assert str(caught.value) == f"Cannot write {target}: {reason}. {remedy}"
    assert names(tmp_path) == []


def test_what_a_source_refuses_is_not_blamed_on_the_target(tmp_path):
    with pytest.raises(StudyError) as caught, files.whole(tmp_path / "build/raw"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "data/products.csv"))
    assert str(caught.value).startswith(f"Cannot open {tmp_path}/data/products.csv: Permission denied.")


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np, pandas as pd
from lib import files
from lib.exceptions import StudyError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
table = pd.DataFrame({"a": np.random.default_rng(0).normal(size=50_000)})

def mapped(path):
    np.lib.format.open_memmap(path, "w+", np.float32, (50_000,))

def bare(path):
    path.mkdir()
    with (path / "b").open("wb") as file:
        file.write(bytes(50_000))

WAYS = {
    "parquet": table.to_parquet,
    "csv": table.to_csv,
    "npz": lambda path: np.savez(path.open("wb"), a=table["a"]),
    "zip": lambda path: files.write_zip(path, [("a", bytes(50_000))]),
    "text": lambda path: path.write_text("x" * 50_000),
    "memory map": mapped,
    "folder": bare,
}
for way, write in WAYS.items():
    target = Path(sys.argv[1]) / way
    try:
        with files.whole(target) as partial:
            write(partial)
    except StudyError as error:
        assert str(error).startswith(f"Cannot write {target}: File too large. Make room"), error
        print(way)
"""


def test_whatever_writes_to_a_disk_that_has_no_room_gets_one_clear_message_and_leaves_nothing(tmp_path):
    """No file may grow beyond a limit, which is what a full disk is to who writes."""
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout.splitlines() == ["parquet", "csv", "npz", "zip", "text", "memory map", "folder"], done.stderr
    assert names(tmp_path) == []


def test_a_disk_that_is_full_says_it_where_a_library_has_lost_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    for error in (OSError("4096 requested and 100 written"), RuntimeError("PytorchStreamWriter failed writing file")):
        with pytest.raises(StudyError, match="No space left on device"), files.whole(tmp_path / "a"):
            raise error
    with pytest.raises(ValueError, match="mine"), files.whole(tmp_path / "a"):
        raise ValueError("mine")


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_done(tmp_path, monkeypatch):
    files.check_writable(tmp_path / "new")
    assert names(tmp_path / "new") == []
    (tmp_path / "file").touch()
    with pytest.raises(
        StudyError, match=r"Cannot write to .*file/below: Not a directory\. Make room there, or let this"
    ):
        files.check_writable(tmp_path / "file/below")

    def refuse(**options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(StudyError, match="Read-only file system"):
        files.check_writable(tmp_path)


def test_what_a_killed_process_left_goes_with_the_next_writing_and_what_a_living_one_writes_stays(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".raw.{ended.pid}.partial").mkdir()
    living = tmp_path / f".raw.{os.getppid()}.partial"
    living.mkdir()
    other = tmp_path / f".clean.{ended.pid}.partial"
    other.mkdir()
    with files.whole(tmp_path / "raw") as partial:
        partial.write_text("new")
    assert names(tmp_path) == sorted([living.name, other.name, "raw"])


def test_a_folder_is_compared_with_its_hashes(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/b/one", "a/two", "manifest.json", "a/manifest.json"):
        (tmp_path / name).write_text(name)
    hashes = files.file_hashes(tmp_path)
    assert list(hashes) == ["a/b/one", "a/manifest.json", "a/two"]  # its own manifest is to hold these
    files.check_files(tmp_path, hashes)
    (tmp_path / "a/b/new").touch()
    with pytest.raises(StudyError, match=r"a/b/new: expected nothing, found a file"):
        files.check_files(tmp_path, hashes)
    (tmp_path / "a/b/new").unlink()
    (tmp_path / "a/two").rename(tmp_path / "two")
    with pytest.raises(StudyError, match=r"a/two: expected a file, found nothing"):
        files.check_files(tmp_path, hashes)
    (tmp_path / "a/two").symlink_to(tmp_path / "two")
    with pytest.raises(StudyError, match=r"a/two: expected a file, found a link"):
        files.check_files(tmp_path, hashes | {"two": hashes["a/two"]})


def test_equal_values_give_equal_bytes(tmp_path):
    files.write_json(tmp_path / "a.json", {"é": 1, "a": [2]})
    files.write_json(tmp_path / "b.json", {"a": [2], "é": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert files.read_json(tmp_path / "a.json") == {"a": [2], "é": 1}


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(StudyError, match=r"taxonomy\.json is missing\. Run `dvc repro` to make it"):
        files.read_json(tmp_path / "taxonomy.json")
