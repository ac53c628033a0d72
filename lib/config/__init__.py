"""Parameters of the study: read from `params.yaml` and `catalogues/NAME.yaml`, validated, and typed.

A wrong key or value raises one `StudyError` that says where it stands, what was expected and what was found.
"""

import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from itertools import chain
from math import inf
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lib.config.base import LEVELS, SPLITS, Input, Share, Size, Split, Strict, Text
from lib.config.params import (
    LARGER_BUDGETS,
    RANDOM,
    Backbone,
    BusinessParams,
    Catalogue,
    CleanParams,
    ImageParams,
    Kind,
    MatchParams,
    Params,
    Recipe,
    Runs,
    SplitParams,
    StopWords,
    Studied,
    TextParams,
    Transfer,
    Yardstick,
)
from lib.config.variants import (
    ChainVariant,
    Decoding,
    DenseVariant,
    LinearImageVariant,
    LinearVariant,
    LSTMMultitaskVariant,
    LSTMVariant,
    MLPVariant,
    NaiveVariant,
    NetworkVariant,
    PartsVariant,
    PathFusionVariant,
    SequentialVariant,
    Variant,
    columns_of,
    input_of,
)
from lib.exceptions import StudyError, nearest

Model = TypeVar("Model", bound=BaseModel)


def root() -> Path:
    """Return the study's folder: the `STUDY_ROOT` variable, or the folder that holds `lib`."""
    return Path(os.environ.get("STUDY_ROOT") or Path(__file__).parents[2]).resolve()


def load_params() -> Params:
    """Read and validate `params.yaml`."""
    return load(Params, root() / "params.yaml")


def load_catalogue(name: str) -> Catalogue:
    """Read and validate `catalogues/NAME.yaml`.

    Raises
    ------
    StudyError
        If there is no such catalogue, or its file is wrong.
    """
    path = root() / "catalogues" / f"{name}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise StudyError(f"There is no catalogue '{name}': {path} is missing. Known: {names}.{nearest(name, names)}")
    return load(Catalogue, path)


def experiments(name: str, params: Params) -> list[str]:
    """Return the experiments that a catalogue takes, in the order of `params.yaml`.

    Raises
    ------
    StudyError
        If `catalogues/NAME.yaml` names one that there is not.
    """
    taken, known = load_catalogue(name).experiments, params.experiments
    for experiment in [] if taken == "all" else taken:
        if experiment not in known:
            hint = nearest(experiment, known)
            raise StudyError(f"{name}.yaml: experiments: there is no '{experiment}'. Known: {known}.{hint}")
    return [experiment for experiment in known if taken == "all" or experiment in taken]


def load_section(name: str, model: type[Model]) -> Model:
    """Read and validate the section of `catalogues/NAME.yaml` that says where its products come from."""
    catalogue = load_catalogue(name)
    return validate(model, getattr(catalogue, catalogue.kind), f"{name}.yaml", f"{catalogue.kind}.")


def get_variant(params: Params, name: str) -> Variant:
    """Return a variant by name, or raise a `StudyError` that names the nearest one."""
    if name not in params.variants:
        hint = nearest(name, params.variants)
        raise StudyError(f"There is no variant '{name}' in params.yaml. Known: {list(params.variants)}.{hint}")
    return params.variants[name]


def studied(name: str) -> Studied:
    """Return the entry of a catalogue that is studied, or a second shop, with absolute paths that exist.

    Raises
    ------
    StudyError
        If the catalogue is not listed, or one of its files is missing.
    """
    params = load_params()
    listed: dict[str, Studied] = {**params.study, **params.others}
    if name not in listed:
        hint = nearest(name, listed)
        raise StudyError(f"params.yaml does not list '{name}' under study or others. It lists {list(listed)}.{hint}")
    entry = Studied(
        source=root() / listed[name].source,
        weights=(root() / weights) if (weights := listed[name].weights) else None,
    )
    for path in (entry.source, entry.weights):
        if path is not None and not path.exists():
            raise StudyError(f"The catalogue '{name}' needs {path}, which is missing. Run `make data` to fetch it.")
    return entry


def build_dir(catalogue: str, *parts: str) -> Path:
    """Return a path below `build/CATALOGUE/`."""
    return root().joinpath("build", catalogue, *parts)


def cache_dir(*parts: str) -> Path:
    """Return a path below `$STUDY_CACHE`, a folder that may be outside of the study; by default `build/cache/`.

    What stands there is found again by the hash of what made it, and can be deleted at any time.
    """
    return root().joinpath(os.environ.get("STUDY_CACHE") or "build/cache", *parts)


def report_dir(catalogue: str, *parts: str) -> Path:
    """Return a path below `reports/CATALOGUE/`."""
    return root().joinpath("reports", catalogue, *parts)


# How a file is read


_MAX_VALUES = 1_000_000  # of a file of settings, with aliases written out
_MAX_LINES, _MAX_MESSAGE = 20, 1000  # of a message: problems, and characters
_shown = Repr()
_shown.maxstring = _shown.maxother = _shown.maxlong = 200


def load(model: type[Model], path: Path) -> Model:
    """Read and validate a YAML file."""
    return validate(model, read_yaml(path), path.name)


def read_yaml(path: Path) -> Any:
    """Read a YAML file of settings: plain data in UTF-8, of the size that settings have.

    Raises
    ------
    StudyError
        If it is missing or anything else, in a few words: what a hostile file holds may be long, and is not quoted.
    """
    if not path.is_file():
        raise StudyError(f"{path} is missing.")
    content = path.read_bytes()
    try:
        loader = yaml.SafeLoader(content.decode("utf-8-sig"))
        if (node := loader.get_single_node()) is None:
            return None
        if _count_values(node, {}) > _MAX_VALUES:
            raise ValueError(f"with its aliases written out, it holds more than {_MAX_VALUES:,} values")
        return loader.construct_document(node)
    except UnicodeDecodeError as error:
        line, start = content[: error.start].count(b"\n") + 1, content[: error.start].rfind(b"\n") + 1
        text = content[start:].split(b"\n")[0].decode("cp1252", "replace").strip()
        likely = "UTF-16" if content[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else f"Windows-1252 or Latin-1: {text[:60]!r}"
        raise StudyError(
            f"{path} is not UTF-8: line {line} has the byte 0x{content[error.start]:02x}. "
            f"It may be {likely}. Save it as UTF-8."
        ) from error
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise StudyError(f"{path} is not valid YAML{where}: {error.problem or error.context}"[:_MAX_MESSAGE]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise StudyError(f"{path} is not valid YAML: {why}"[:_MAX_MESSAGE]) from error


def _count_values(node: yaml.Node, known: dict[int, float]) -> float:
    """Count the values that a node stands for, each alias in full; one that holds itself has no end."""
    if id(node) not in known:
        known[id(node)] = inf
        parts = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        inner = () if isinstance(node, yaml.ScalarNode) else parts
        known[id(node)] = 1 + sum(_count_values(part, known) for part in inner)
    return known[id(node)]


def validate(model: type[Model], content: object, file: str, within: str = "") -> Model:
    """Validate a file's content, or a part of it, whose place in the file is `within`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors()
        lines = [_explain(problem, within) for problem in problems[:_MAX_LINES]]
        more = [f"  and {len(problems) - _MAX_LINES:,} more."] if len(problems) > _MAX_LINES else []
        raise StudyError("\n".join([f"{file} is wrong:", *lines, *more])) from error


def _explain(problem: ErrorDetails, within: str) -> str:
    where = (within + ".".join(str(part) for part in problem["loc"])).strip(".") or "the file"
    if problem["type"] == "missing":
        return f"  {where}: this key is missing."
    if problem["type"] == "value_error":
        return f"  {where}: {problem['ctx']['error']}"
    return f"  {where}: {problem['msg']}. Got {_shown.repr(problem['input'])} instead."
