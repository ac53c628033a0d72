"""A bundle restores what was run, shows no text that is not published, and is refused if it is not what was packed."""

import json
import shutil
import subprocess

import pytest
import yaml
from pipeline import PROJECT, dvc, ran

from lib.exceptions import StudyError
from lib.files import file_sha256, fingerprint
from lib.tools import bundle

MAKE = """
import pathlib, sys
for path in sys.argv[2:]:
    file = pathlib.Path(path, "products.txt") if "." not in path else pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"Made: {sys.argv[1]}")
"""
COLLECT, TRAIN = "a red dress of ${item}", "the weights of ${item}"
STAGES = {
    "collect": {
        "foreach": ["demo", "fashion"],
        "do": {
            "cmd": f"python make.py '{COLLECT}' build/${{item}}/raw",
            "deps": ["make.py"],
            "outs": ["build/${item}/raw"],
        },
    },
    "train": {
        "foreach": ["demo", "fashion"],
        "do": {
            "cmd": f"python make.py '{TRAIN}' build/${{item}}/models reports/${{item}}/results.csv",
            "deps": ["make.py", "build/${item}/raw"],
            "params": ["text.stop_words"],
            "outs": ["build/${item}/models", {"reports/${item}/results.csv": {"cache": False}}],
        },
    },
}


def git(root, *arguments):
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def instructor(tmp_path_factory):
    """Return a repository with the project's catalogues, whose few small stages have run; results are not committed."""
    root = tmp_path_factory.mktemp("bundle") / "instructor"
    shutil.copytree(PROJECT / "catalogues", root / "catalogues")
    shutil.copy(PROJECT / "params.yaml", root)
    (root / "make.py").write_text(MAKE)
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    (root / ".gitignore").write_text("build/\n.dvc/tmp/\n.dvc/cache/\n")
    shutil.copytree(PROJECT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "made up")
    result = dvc(root, "repro")
    assert len(ran(result.stdout)) == 4, result.stderr
    return root


@pytest.fixture(scope="module")
def packed(instructor):
    """Return a bundle of what the instructor ran."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(instructor))
        bundle.pack(instructor.parent / "bundle")
    return instructor.parent / "bundle"


@pytest.fixture
def copy(packed, tmp_path):
    """Return a bundle that a test may spoil."""
    return shutil.copytree(packed, tmp_path / "bundle")


@pytest.fixture
def student(instructor, tmp_path, monkeypatch):
    """Return a fresh clone, in which nothing was run, as the study."""
    git(tmp_path, "clone", "--quiet", str(instructor), "student")
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path / "student"))
    return tmp_path / "student"


@pytest.mark.slow
def test_what_is_restored_is_not_run_again_and_texts_that_are_not_published_are_made_anew(packed, instructor, student):
    assert bundle.restore(packed)["left_out"] == ["build/fashion/raw"]
    kept = ("build/demo/raw", "build/demo/models", "build/fashion/models", "reports")
    for folder in kept:
        assert contents(student / folder) == contents(instructor / folder)
    assert not (student / "build/fashion/raw").exists()
    assert ran(dvc(student, "repro").stdout) == ["collect@fashion"]
    assert contents(student / "build") == contents(instructor / "build")


def test_no_text_of_an_unpublished_catalogue_is_in_a_bundle(packed):
    everything = b"".join(contents(packed).values())
    assert b"Made: a red dress of demo" in everything
    assert b"Made: a red dress of fashion" not in everything
    assert b"Made: the weights of fashion" in everything


@pytest.mark.slow
def test_texts_are_packed_for_who_asks_and_then_nothing_is_left_to_do(
    instructor, student, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("STUDY_ROOT", str(instructor))
    bundle.main(["pack", str(tmp_path / "all"), "--texts"])
    monkeypatch.setenv("STUDY_ROOT", str(student))
    bundle.main(["restore", str(tmp_path / "all")])
    assert "Left out" not in capsys.readouterr().out
    assert ran(dvc(student, "repro").stdout) == []
    assert "up to date" in dvc(student, "status").stdout


def test_a_bundle_takes_no_folder_s_place_but_another_bundle_s(packed, instructor, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(instructor))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(StudyError, match=r"mine is there and is not a bundle\. Expected a new name"):
        bundle.pack(tmp_path / "mine")
    before = contents(packed)
    bundle.pack(packed)
    assert contents(packed) == before


def test_stages_that_were_not_run_are_left_out_and_named(student, tmp_path):
    with pytest.raises(StudyError, match=r"nothing to pack: none of 4 stages is up to date\. Run `dvc repro`"):
        bundle.pack(tmp_path / "empty")
    assert dvc(student, "repro", "train@demo").returncode == 0
    manifest = bundle.pack(tmp_path / "some")
    assert manifest["not_run"] == ["collect@fashion", "train@fashion"]
    assert manifest["outputs"] == ["build/demo/models", "build/demo/raw"]


def test_what_dvc_has_lost_or_cannot_copy_is_not_packed(student, tmp_path, monkeypatch):
    assert dvc(student, "repro", "train@demo").returncode == 0
    with monkeypatch.context() as patch:
        patch.setattr(bundle.Repo, "push", lambda *_, **__: 0)
        with pytest.raises(StudyError, match=r"`dvc push` did not copy build/demo/models .* Is the disk full\?"):
            bundle.pack(tmp_path / "full")
    shutil.rmtree(student / ".dvc/cache")
    with pytest.raises(StudyError, match="nothing to pack"):
        bundle.pack(tmp_path / "lost")
    assert not [path for path in tmp_path.iterdir() if path != student]


def test_an_edited_source_belongs_to_no_commit(packed, student, tmp_path):
    params = (student / "params.yaml").read_text("utf-8")
    (student / "params.yaml").write_text(params.replace("stop_words: english", "stop_words: none"), "utf-8")
    for act in (lambda: bundle.pack(tmp_path / "new"), lambda: bundle.restore(packed)):
        with pytest.raises(StudyError, match=r"Commit or stash what differs from it: params\.yaml\."):
            act()


def test_a_bundle_of_another_commit_is_refused(packed, student):
    packed_at = git(student, "rev-parse", "HEAD").strip()
    git(student, "commit", "--quiet", "--allow-empty", "--message", "later")
    with pytest.raises(StudyError, match=f"is of commit {packed_at}; this is commit .*git checkout {packed_at}"):
        bundle.restore(packed)


def some(folder, pattern="cache/files/md5/*/*"):
    return next(path for path in sorted(folder.glob(pattern)) if path.suffix != ".dir")


def append(path):
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")


def edit_manifest(folder, **changes):
    content = json.loads((folder / "manifest.json").read_text()) | changes
    (folder / "manifest.json").write_text(json.dumps(content))


SPOILT = {
    "a changed file": (lambda b: append(some(b)), r"cache/files/md5/.* is damaged or was edited: expected SHA-256"),
    "a changed lock": (lambda b: append(b / "files/dvc.lock"), r"files/dvc\.lock is damaged or was edited"),
    "a missing file": (lambda b: some(b).unlink(), r"cache/files/md5/.*: expected a file, found nothing"),
    "one file more": (lambda b: (b / "files/more.csv").touch(), r"files/more\.csv: expected nothing, found a file"),
    "another commit": (lambda b: edit_manifest(b, commit="0" * 40), r"manifest\.json .* edited: expected the seal"),
    "half a manifest": (lambda b: (b / "manifest.json").write_text('{"commit":'), r"expected JSON with a seal"),
    "no object": (lambda b: (b / "manifest.json").write_text("[]"), r"expected JSON with a seal"),
    "no manifest": (lambda b: (b / "manifest.json").unlink(), r"is not a bundle: it has no manifest\.json"),
}


@pytest.mark.parametrize("change", SPOILT)
def test_a_damaged_or_edited_bundle_is_refused_and_nothing_is_written(copy, student, change):
    before = contents(student)
    spoil, message = SPOILT[change]
    spoil(copy)
    with pytest.raises(StudyError, match=message):
        bundle.restore(copy)
    assert contents(student) == before


def sealed(folder):
    """Make a manifest fit a bundle that was changed, as somebody with bad intent would."""
    content = json.loads((folder / "manifest.json").read_text())
    del content["seal"]
    listed = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    content["files"] = {path.relative_to(folder).as_posix(): file_sha256(path) for path in listed}
    (folder / "manifest.json").write_text(json.dumps(content | {"seal": fingerprint(content)}))


def test_a_bundle_writes_nothing_but_what_stages_write(copy, student):
    (copy / "files/lib").mkdir()
    (copy / "files/lib/evil.py").touch()
    sealed(copy)
    with pytest.raises(StudyError, match=r"expected only what stages of dvc\.yaml write, found lib/evil\.py"):
        bundle.restore(copy)


def test_a_name_that_leads_out_of_an_output_is_refused(copy, student):
    listing = next(copy.glob("cache/files/md5/*/*.dir"))
    listing.chmod(0o644)
    listing.write_text(json.dumps([{"md5": "0" * 32, "relpath": "../../evil.py"}]))
    sealed(copy)
    with pytest.raises(StudyError, match=r"expected names inside of an output, found '\.\./\.\./evil\.py'"):
        bundle.restore(copy)
