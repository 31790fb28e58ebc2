"""Reads the files of a pack as checked values; every mistake is a :class:`~fairnad.errors.PackError`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from fairnad.domain.task import TaskDefaults
from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Target
from fairnad.ideas.idea import MutationTarget

Value = TypeVar("Value")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Action = Literal[
    "deepen-middle", "deepen-end", "widen-proportional", "widen-unevenly",
    "kernel", "stride", "squeeze-excitation", "activation",
    "shrink-depth-middle", "shrink-depth-end", "shrink-width-proportional", "shrink-width-unevenly", "single-use",
]  # fmt: skip
"""How the built-in designer carries out a predefined idea."""


class PredefinedIdea(BaseModel):
    """An idea of stage II or of downscaling."""

    model_config = ConfigDict(extra="forbid")

    idea: Text
    action: Action | None = None


class PackFile(BaseModel):
    """``pack.toml``."""

    model_config = ConfigDict(extra="forbid")

    name: Text
    description: Text
    prompts: dict[str, list[str]]
    targets: dict[MutationTarget, Text]
    upscaling: list[PredefinedIdea] = Field(min_length=1)
    adjustment: list[PredefinedIdea] = Field(min_length=1)
    shrinking: list[PredefinedIdea] = Field(min_length=1)
    single_use: PredefinedIdea = Field(alias="single-use")


def read_bytes(path: Path) -> bytes:
    """The content of a file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PackError(f"{path}: expected this file, found none: add it to the pack") from None
    except OSError as error:
        raise PackError(f"{path}: cannot be read ({error.strerror}): make it a readable file") from error


def read_text(path: Path) -> str:
    """The text of a file, with line feeds as line ends."""
    try:
        return read_bytes(path).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise PackError(
            f"{path}: expected UTF-8, found another encoding at byte {error.start}: save it as UTF-8"
        ) from error


def read_pack_file(path: Path) -> PackFile:
    """``pack.toml``."""
    return _validate(path, TypeAdapter(PackFile), _read_toml(path))


def read_attribute_tree(path: Path) -> AttributeTree:
    """``{target: {granularity: {main category: [sub-category, …]}}}`` in YAML."""
    shape = TypeAdapter(dict[Target, dict[Granularity, dict[Text, list[Text] | None]]])
    categories = {
        Category(target, granularity, main): tuple(subs or ())
        for target, granularities in _validate(path, shape, _read_yaml(path)).items()
        for granularity, mains in granularities.items()
        for main, subs in mains.items()
    }
    if not categories:
        raise PackError(f"{path}: expected target: granularity: main category: [sub-category, …], found no category")
    return AttributeTree(categories)


def read_yaml(path: Path, shape: type[Value]) -> Value:
    """The content of a YAML file, as a value of ``shape``."""
    return _validate(path, TypeAdapter(shape), _read_yaml(path))


def read_toml(path: Path, shape: type[Value]) -> Value:
    """The content of a TOML file, as a value of ``shape``."""
    return _validate(path, TypeAdapter(shape), _read_toml(path))


def read_tasks(path: Path) -> dict[str, TaskDefaults]:
    """The defaults of each task, from one table per task."""
    content = _read_toml(path)
    known = {entry.name for entry in fields(TaskDefaults)}
    for name, table in content.items():
        if isinstance(table, dict) and (unknown := set(table) - known):
            raise PackError(f"{path}: [{name}] has {listed(unknown)}; expected only {listed(known)}")
    return _validate(path, TypeAdapter(dict[str, TaskDefaults]), content)


def listed(names: Iterable[str]) -> str:
    """Names for a message, in a fixed order."""
    return ", ".join(sorted(names))


def _read_yaml(path: Path) -> object:
    import yaml

    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise PackError(f"{path}: not valid YAML: {' '.join(str(error).split())}: fix it") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"{path}: not valid TOML: {error}: fix it") from error


def _validate(path: Path, shape: TypeAdapter[Value], content: object) -> Value:
    try:
        return shape.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise PackError(f"{path}: {place or 'content'}: {first['msg']}: fix it") from error
