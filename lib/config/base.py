"""What settings are made of, and how they are read: a wrong one raises one `StudyError`.

The message says where it stands, what was expected and what was found. An unknown key is an error.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from lib.exceptions import StudyError, nearest

LEVELS = ("level_1", "level_2", "level_3")
Input = Literal["brand", "text", "image"]
Text = Literal["plain", "masked", "titled"]
Split = Literal["random", "grouped"]
Section = dict[str, Any]
Share = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """A mapping in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def load(model: type[Model], path: Path) -> Model:
    """Read and validate a YAML file."""
    if not path.is_file():
        raise StudyError(f"{path} is missing.")
    try:
        return validate(model, yaml.safe_load(path.read_text("utf-8")), path.name)
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is not valid YAML: {error}") from error


def validate(model: type[Model], content: object, file: str, within: str = "") -> Model:
    """Validate a file's content, or a part of it, whose place in the file is `within`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(model, problem, within) for problem in error.errors()]
        raise StudyError("\n".join([f"{file} is wrong:", *lines])) from error


def _explain(model: type[BaseModel], problem: ErrorDetails, within: str) -> str:
    where = (within + ".".join(str(part) for part in problem["loc"])).strip(".") or "the file"
    if problem["type"] == "extra_forbidden":
        key, valid = str(problem["loc"][-1]), _valid_keys(model, problem["loc"][:-1])
        return f"  {where}: unknown key '{key}'; expected one of {valid}.{nearest(key, valid)}"
    if problem["type"] == "missing":
        return f"  {where}: this key is missing."
    if problem["type"] == "value_error":
        return f"  {where}: {problem['ctx']['error']}"
    return f"  {where}: {problem['msg']}. Got {problem['input']!r} instead."


def _valid_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Follow `loc` through the model's JSON schema to the mapping that it names, and list that mapping's keys."""
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    node: dict[str, Any] = schema

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        for option in node.get("anyOf", []):
            if "$ref" in option:
                node = option
        return definitions[node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node

    for part in loc:
        node = resolve(node)
        mapping = node.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            node = {"$ref": mapping[str(part)]}
        elif part in node.get("properties", {}):
            node = node["properties"][str(part)]
        else:
            extra = node.get("additionalProperties") or node.get("items") or {}
            node = extra if isinstance(extra, dict) else {}
    return sorted(resolve(node).get("properties", {}))
