"""Reads config/ and ml_code/models/*/model.yaml into `Settings`, or raises one error that lists everything wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from . import yaml_source
from .model_code import (
    declared_features,
    declared_hyperparameters,
    declared_label,
    declared_tables,
    imported_packages,
)
from .settings import EXAMPLES, Environment, EnvironmentSettings, Model, Platform, Repository, Section, Settings
from .yaml_source import KeyPath, Place, YamlSource, dotted

S = TypeVar("S", bound=Section)

_WANTED = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be one of {expected}",
}


class ConfigurationError(Exception):
    """Everything that is wrong in the configuration, one finding a line: file, line, key, value and the fix."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def load(repository: Repository) -> Settings:
    """Read the whole configuration.

    Raises
    ------
    ConfigurationError
        with all findings of all files.
    """
    problems: list[str] = []
    shared = _read(repository, repository.config / "platform.yaml")
    platform = _validate(Platform, shared, problems)
    if platform is None:
        raise ConfigurationError(problems)
    environments = _listed(repository, shared, "environments", repository.config, "{}.yaml", problems)
    models = _listed(repository, shared, "models", repository.models, "{}/model.yaml", problems)
    for name, source in models.items():
        _validate_model(repository, name, source, problems)
    settings = [
        _environment(repository, name, platform, source, models, problems) for name, source in environments.items()
    ]
    if problems:
        raise ConfigurationError(problems)
    return Settings(platform=platform, environments=tuple(found for found in settings if found))


def _listed(
    repository: Repository, source: YamlSource, key: str, folder: Path, pattern: str, problems: list[str]
) -> dict[str, YamlSource]:
    """The files that the names under a key of platform.yaml stand for."""
    found = {}
    there = sorted(path.relative_to(folder).parts[0].removesuffix(".yaml") for path in folder.glob(pattern.format("*")))
    for index, name in enumerate(source.data[key]):
        path = folder / pattern.format(name)
        if path.is_file():
            found[name] = _read(repository, path)
        else:
            place, file = source.place((key, index)), path.relative_to(repository.root).as_posix()
            hint = _nearest(name, [each for each in there if each not in source.data[key]])
            problems.append(f"{place}: {dotted(place.key)}: {name!r} has no file {file}; create it{hint}")
    return found


def _environment(
    repository: Repository,
    name: str,
    platform: Platform,
    source: YamlSource,
    models: Mapping[str, YamlSource],
    problems: list[str],
) -> EnvironmentSettings | None:
    environment = _validate(Environment, source, problems)
    overrides = source.data.get("models")
    for override in overrides if isinstance(overrides, Mapping) else ():
        if override not in platform.models:
            place = source.place(("models", override))
            hint = _nearest(override, platform.models)
            problems.append(f"{place}: {dotted(place.key)}: {override!r} is no model of config/platform.yaml{hint}")
    merged = {key: model.overridden_by(source, ("models", key)) for key, model in models.items()}
    found = [_validate_model(repository, key, model, problems) for key, model in merged.items()]
    if environment is None:
        return None
    return EnvironmentSettings(
        name=name, platform=platform, environment=environment, models=tuple(model for model in found if model)
    )


def _validate_model(repository: Repository, folder: str, source: YamlSource, problems: list[str]) -> Model | None:
    model = _validate(Model, source, problems)
    if model is None:
        return None
    if model.name != folder:
        place = source.place(("name",))
        problems.append(f"{place}: {dotted(place.key)} must be the folder's, {folder!r}, got {model.name!r}")
    etl = repository.models / folder / "etl.py"
    tables = declared_tables(etl)
    if tables is None:
        problems.append(f"{etl.relative_to(repository.root).as_posix()}: must declare TABLES, a dictionary by name")
        return None
    for index, table in enumerate(model.data.tables):
        if table not in tables:
            place = source.place(("data", "tables", index))
            problems.append(f"{place}: {dotted(place.key)}: {table!r} is no table of etl.py{_nearest(table, tables)}")
    missing = [table for table in tables if table not in model.data.tables]
    if missing:
        place = source.place(("data", "tables"))
        problems.append(f"{place}: {dotted(place.key)}: etl.py reads {', '.join(map(repr, missing))} too; add it")
    _check_code(repository.models, folder, source, model, problems)
    return model


def _check_code(models: Path, folder: str, source: YamlSource, model: Model, problems: list[str]) -> None:
    """What model.yaml says beside the code has to be what the code says."""

    def report(path: KeyPath, problem: str) -> None:
        place = source.place(path)
        problems.append(f"{place}: {dotted(place.key)}{problem}")

    package = models / folder
    features = declared_features(package / "features.py")
    if features is not None and model.data.features != features:
        for index, name in enumerate(model.data.features):
            if name not in features:
                report(
                    ("data", "features", index), f": {name!r} is no feature of features.py{_nearest(name, features)}"
                )
        missing = [name for name in features if name not in model.data.features]
        if missing:
            report(("data", "features"), f": features.py has {', '.join(map(repr, missing))} too; add it")
        elif sorted(features) == sorted(model.data.features):
            report(("data", "features"), " must be in the order of FEATURES in features.py: requests are read by it")
    label = declared_label(package / "features.py")
    if label is not None and model.data.label != label:
        report(("data", "label"), f" must be LABEL of features.py, {label!r}, got {model.data.label!r}")
    known = declared_hyperparameters(package / "train.py")
    for name, value in model.training.hyperparameters.items() if known is not None else ():
        path, types = ("training", "hyperparameters", name), known or {}
        if name not in types:
            report(path, f" is no hyperparameter of train.py{_nearest(name, list(types))}; known: {', '.join(types)}")
        elif type(value).__name__ != types[name] and not (types[name] == "float" and type(value) is int):
            report(path, f" must be {types[name]}, as in train.py, got {value!r}")
    siblings = {each.parent.name for each in models.glob("*/model.yaml")} - {folder}
    for name, file in imported_packages(package).items():
        if name in siblings:
            shown = file.relative_to(models.parent.parent).as_posix()
            problems.append(f"{shown}: imports {name!r}, another model, whose code isn't there when this one runs")


def unlisted_models(repository: Repository, settings: Settings) -> list[str]:
    """The models that have a folder but aren't listed in platform.yaml, so that they aren't deployed."""
    there = {path.parent.name for path in repository.models.glob("*/model.yaml")}
    return sorted(there - set(settings.platform.models))


def _read(repository: Repository, path: Path) -> YamlSource:
    return yaml_source.read(path, path.relative_to(repository.root).as_posix())


def _validate(section: type[S], source: YamlSource, problems: list[str]) -> S | None:
    problems += source.problems
    if not source.readable:
        return None
    try:
        return section.model_validate(source.data)
    except ValidationError as error:
        problems += [_describe(section, source, detail) for detail in error.errors(include_url=False)]
        return None


def _describe(section: type[Section], source: YamlSource, error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    in_dictionary = error["loc"][-1:] == ("[key]",)
    path: KeyPath = (*(error["loc"][:-1] if in_dictionary else error["loc"]), *context.get("at", ()))
    place = source.place(path)
    start = f"{place}: {dotted(place.key)}"
    if kind == "extra_forbidden":
        known = _known_keys(section, path[:-1])
        return f"{start} is not a known key{_nearest(str(path[-1]), known)}; known here: {', '.join(known)}"
    if kind == "missing":
        return f"{start} is missing; add it"
    if kind == "string_pattern_mismatch":
        wanted = f"must be as {EXAMPLES[context['pattern']]}"
    elif kind in _WANTED:
        wanted = _WANTED[kind].format(**context)
    else:
        return f"{start}: {error['msg']}"
    return f"{start} {wanted}, got {_shown(error['input'], place)}{_hint(kind, error, place)}"


def _shown(value: Any, place: Place) -> str:
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    return repr(value) if isinstance(value, str) or place.written is None else place.written


def _hint(kind: str, error: ErrorDetails, place: Place) -> str:
    value = error["input"]
    if kind == "string_type" and place.written and not isinstance(value, Mapping | list):
        return f'; put it in quotes, as "{place.written}"'
    if kind == "literal_error" and isinstance(value, str):
        return _nearest(value, error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if kind in {"int_type", "float_type"} and isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return "; take the quotes off"
    return ""


def _known_keys(section: type[BaseModel], path: KeyPath) -> list[str]:
    model: type[BaseModel] = section
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        options = [inner, *get_args(inner)]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return sorted(model.model_fields)


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
