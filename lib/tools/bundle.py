"""A study that was run, handed on: one packs what DVC keeps of it, others restore it, and nothing is left to run.

`python -m lib.tools.bundle pack FOLDER` writes a bundle, `python -m lib.tools.bundle restore FOLDER` reads one. A
bundle is a folder: `cache/` is a DVC remote, `files/` has `dvc.lock` and what git keeps of the reports, and
`manifest.json` says which commit this is of, what is in it, and the SHA-256 of every file.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.exceptions import DownloadError, DvcException, UploadError
from dvc.repo import Repo
from dvc.stage import PipelineStage

from lib.config import load_catalogue, root
from lib.exceptions import StudyError
from lib.files import MANIFEST, check_files, contents, file_hashes, fingerprint, whole, write_json

CACHE, FILES, LOCK = "cache", "files", "dvc.lock"
TEXTS = ("raw", "clean", "text")
"""Folders of `build/NAME/` that hold texts or photos of products."""


def pack(target: Path, texts: bool = False) -> dict[str, Any]:
    """Pack the outputs of all stages that are up to date, and return the manifest.

    Parameters
    ----------
    target
        A new folder, or a bundle that is to be replaced.
    texts
        Also pack texts and photos of catalogues with `publish_examples: false`.

    Raises
    ------
    StudyError
        If no stage is up to date, if what stages read is not committed, if an output cannot be copied, or if `target`
        is something else than a bundle.
    """
    if target.exists() and not (target / MANIFEST).is_file():
        raise StudyError(f"{target} is there and is not a bundle. Expected a new name, or a bundle to be replaced.")
    with whole(target) as partial, _repository(partial) as repo:
        commit, changed = _commit(repo), repo.status()
        stages = [stage for stage in _stages(repo) if stage.addressing not in changed]
        stale = sorted(stage.name for stage in _stages(repo) if stage.addressing in changed)
        if not stages:
            raise StudyError(f"There is nothing to pack: none of {len(stale)} stages is up to date. Run `dvc repro`.")
        outputs = {out.def_path: out for stage in stages for out in stage.outs}
        held = {path for path in outputs if not texts and _shows_products(path)}
        cached = sorted(path for path, out in outputs.items() if out.use_cache and path not in held)
        with suppress(UploadError):  # stages that are not up to date may be incomplete; `_keep` looks at the others
            repo.push(remote="bundle")
        _keep(partial, {path: outputs[path].hash_info.value for path in cached})
        for path in [LOCK, *(path for path, out in outputs.items() if not out.use_cache)]:
            _copy(root() / path, partial / FILES / path)
        hashes = file_hashes(partial)
        content = {"commit": commit, "outputs": cached, "left_out": sorted(held), "not_run": stale, "files": hashes}
        write_json(partial / MANIFEST, content | {"seal": fingerprint(content)})
    return content


def _keep(bundle: Path, outputs: Mapping[str, str]) -> None:
    """Remove from the bundle's cache all but these outputs, of which all must be there; `outputs` has their hashes."""
    wanted: dict[str, str] = {}
    for path, value in outputs.items():
        hashes = [value]
        if value.endswith(".dir") and (listing := bundle / _object(value)).is_file():
            hashes += [entry["md5"] for entry in json.loads(listing.read_text("utf-8"))]
        wanted |= {_object(name): path for name in hashes}
    found = {f"{CACHE}/{name}" for name in contents(bundle / CACHE)}
    for name in found - set(wanted):
        (bundle / name).unlink()
    if lost := sorted(path for name, path in wanted.items() if name not in found):
        raise StudyError(f"`dvc push` did not copy {lost[0]} to {bundle / CACHE}. Is the disk full?")


def _object(value: str) -> str:
    """Return where DVC keeps what has this hash."""
    return f"{CACHE}/files/md5/{value[:2]}/{value[2:]}"


def _copy(source: Path, target: Path) -> None:
    with whole(target) as partial:
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, partial)


def restore(source: Path) -> dict[str, Any]:
    """Restore what a bundle holds, after all of it has been checked, and return its manifest.

    Raises
    ------
    StudyError
        If it is not a bundle, if it is damaged or was edited, or if it is of another commit than this checkout.
    """
    manifest = _checked(source)
    with _repository(source) as repo:
        if (here := _commit(repo)) != manifest["commit"]:
            packed = manifest["commit"]
            raise StudyError(
                f"{source} is of commit {packed}; this is commit {here}. Run `git checkout {packed}` first."
            )
        kept = {out.def_path for stage in _stages(repo) for out in stage.outs if not out.use_cache} | {LOCK}
        for path in contents(source / FILES):
            if not any(PurePosixPath(path).is_relative_to(known) for known in kept):
                raise StudyError(f"{source / FILES / path}: expected only what stages of dvc.yaml write, found {path}.")
    for path in sorted(path for path in kept if (source / FILES / path).exists()):
        _copy(source / FILES / path, root() / path)
    with _repository(source) as repo:
        with suppress(DownloadError):  # what was not packed is not found
            repo.fetch(remote="bundle")
        repo.checkout(force=True, allow_missing=True)
    if missing := [path for path in manifest["outputs"] if not (root() / path).exists()]:
        raise StudyError(f"{source} was to restore {missing[0]}, but DVC did not find it there.")
    return manifest


@contextmanager
def _repository(bundle: Path) -> Iterator[Repo]:
    """Yield the study's DVC repository with one more remote; what DVC refuses becomes a `StudyError`."""
    remote = {"url": str((bundle / CACHE).resolve()), "verify": True}
    try:
        with Repo(str(root()), config={"remote": {"bundle": remote}}) as repo:
            yield repo
    except DvcException as error:
        raise StudyError(f"{bundle}: DVC says: {error}") from error


def _stages(repo: Repo) -> list[PipelineStage]:
    return [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]


def _commit(repo: Repo) -> str:
    """Return the commit of this checkout; what stages read may not differ from it."""
    outputs = {out.def_path for stage in _stages(repo) for out in stage.outs}
    read = {dep.def_path for stage in _stages(repo) for dep in stage.deps} - outputs
    command = ["git", "-C", str(root()), "status", "--porcelain", "-z", "--", "dvc.yaml", *sorted(read)]
    if changed := subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]:
        names = ", ".join(line[3:] for line in changed)
        raise StudyError(f"A bundle belongs to a commit. Commit or stash what differs from it: {names}.")
    return str(repo.scm.get_rev())


def _shows_products(path: str) -> bool:
    """Tell whether an output holds texts or photos that its catalogue does not publish."""
    folder, catalogue, kind = (*PurePosixPath(path).parts, "", "")[:3]
    return folder == "build" and kind in TEXTS and not load_catalogue(catalogue).publish_examples


def _checked(source: Path) -> dict[str, Any]:
    """Read a bundle's manifest, and compare it with every file."""
    path = source / MANIFEST
    if not path.is_file():
        raise StudyError(f"{source} is not a bundle: it has no {MANIFEST}. Expected a folder that `make bundle` wrote.")
    damaged = f"{path} is damaged or was edited: "
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        seal = manifest.pop("seal")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise StudyError(f"{damaged}expected JSON with a seal, found {error!r}.") from error
    if seal != fingerprint(manifest):
        raise StudyError(f"{damaged}expected the seal {fingerprint(manifest)}, found {seal!r}.")
    check_files(source, manifest["files"])
    for file in source.glob(f"{CACHE}/**/*.dir"):
        for entry in json.loads(file.read_text("utf-8")):
            if ".." in (place := PurePosixPath(entry["relpath"])).parts or place.is_absolute():
                raise StudyError(f"{file}: expected names inside of an output, found {entry['relpath']!r}.")
    return manifest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.tools.bundle", description=__doc__)
    parser.add_argument("command", choices=["pack", "restore"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", action="store_true", help="pack texts and photos that are not published, too")
    options = parser.parse_args(arguments)
    packs = options.command == "pack"
    manifest = pack(options.folder, options.texts) if packs else restore(options.folder)
    print(f"{options.folder} {'holds' if packs else 'is restored:'} {len(manifest['outputs'])} outputs.")
    if manifest["left_out"]:
        names = ", ".join(manifest["left_out"])
        print(f"Left out, because they hold texts or photos: {names}. `dvc repro` makes them from the source.")
    if manifest["not_run"]:
        print(f"Not in it, because they were not run or are stale: {', '.join(manifest['not_run'])}.")


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        sys.exit(str(error))
