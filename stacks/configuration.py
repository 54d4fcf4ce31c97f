"""Reads config/ and ml_code/models/*/model.yaml into `Settings`, or raises one error that lists everything wrong."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from . import yaml_source
from .settings import Environment, EnvironmentSettings, Model, Platform, Repository, Section, Settings
from .yaml_source import KeyPath, YamlSource

S = TypeVar("S", bound=Section)


class ConfigurationError(Exception):
    """Everything that is wrong in the configuration, one finding a line: file, line, key, value and the fix."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def load(repository: Repository) -> Settings:
    """Read the whole configuration.

    Raises
    ------
    ConfigurationError
        with all findings of all files.
    """
    problems: list[str] = []
    platform = _validate(Platform, _read(repository, repository.config / "platform.yaml"), problems)
    if platform is None:
        raise ConfigurationError(problems)
    models = {name: _read(repository, repository.models / name / "model.yaml") for name in platform.models}
    base = {name: _validate(Model, source, problems) for name, source in models.items()}
    for name, model in base.items():
        if model and model.name != name:
            place = models[name].place(("name",))
            problems.append(f"{place}: name must be the folder's, {name!r}, got {model.name!r}")
    environments = [
        _environment(repository, name, platform, {k: v for k, v in models.items() if base[k]}, problems)
        for name in platform.environments
    ]
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    return Settings(platform=platform, environments=tuple(found for found in environments if found))


def _environment(
    repository: Repository, name: str, platform: Platform, models: dict[str, YamlSource], problems: list[str]
) -> EnvironmentSettings | None:
    source = _read(repository, repository.config / f"{name}.yaml")
    environment = _validate(Environment, source, problems)
    if environment is None:
        return None
    for override in environment.models:
        if override not in platform.models:
            place = source.place(("models", override))
            problems.append(
                f"{place}: models.{override} is no model of platform.yaml{_nearest(override, platform.models)}"
            )
    merged = {key: model.overridden_by(source, ("models", key)) for key, model in models.items()}
    found = [_validate(Model, model, problems) for model in merged.values()]
    return EnvironmentSettings(
        name=name, platform=platform, environment=environment, models=tuple(model for model in found if model)
    )


def _read(repository: Repository, path: Path) -> YamlSource:
    return yaml_source.read(path, path.relative_to(repository.root).as_posix())


def _validate(section: type[S], source: YamlSource, problems: list[str]) -> S | None:
    if source.problems:
        problems += source.problems
        return None
    try:
        return section.model_validate(source.data)
    except ValidationError as error:
        problems += [_describe(section, source, detail) for detail in error.errors(include_url=False)]
        return None


def _describe(section: type[Section], source: YamlSource, error: ErrorDetails) -> str:
    path: KeyPath = tuple(part for part in error["loc"] if not _is_branch(part, source.data))
    key = ".".join(map(str, path)) or "the file"
    place = source.place(path)
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(section, path[:-1])
        return f"{place}: {key} is not a known key{_nearest(str(path[-1]), known)}; known here: {', '.join(known)}"
    if kind == "missing":
        return f"{place}: {key} is missing; add it"
    message = error["msg"].removeprefix("Value error, ")
    hint = ""
    if kind == "string_type" and isinstance(value, int):
        hint = f'; put it in quotes, as "{value}"'
    if kind == "literal_error":
        hint = _nearest(str(value), error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if isinstance(value, dict | list):
        return f"{place}: {key}: {message}{hint}"
    return f"{place}: {key}: {message}, got {value!r}{hint}"


def _is_branch(part: Any, data: Any) -> bool:
    """Whether a part of an error's location is pydantic's name for the member of a union, not a key of the file."""
    return isinstance(part, str) and part in {"str", "int", "float", "bool", "none", "[key]"} and part not in data


def _known_keys(section: type[BaseModel], path: KeyPath) -> list[str]:
    model: type[BaseModel] = section
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        options = [inner, *get_args(inner)]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return sorted(model.model_fields)


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
