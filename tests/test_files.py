"""Artifacts are whole or not there, whatever happens while they are written."""

import errno
import os
import subprocess
import sys

import pytest

from lib import files
from lib.exceptions import StudyError


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
    assert str(caught.value) == f"Cannot write {target}: {reason}."


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
