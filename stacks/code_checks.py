"""What model.yaml and dataset.yaml say beside the code has to be what the code says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .dataset_settings import Dataset
from .dqdl import check_rule
from .model_code import (
    declared_features,
    declared_hyperparameters,
    declared_label,
    imported_packages,
    parameters_of,
)
from .model_settings import Model
from .nearest import nearest
from .settings import Repository
from .tuning_checks import check_tuning
from .yaml_source import KeyPath, YamlSource, dotted

TRANSFORM = ("spark", "tables", "days")
"""The parameters of a dataset's `transform`."""


def check_dataset(repository: Repository, folder: str, source: YamlSource, dataset: Dataset) -> list[str]:
    """Where a declaration and its folder differ: the name, and the function that prepares it."""
    problems = _check_name(folder, source, dataset.name)
    etl = repository.datasets / folder / "etl.py"
    shown = etl.relative_to(repository.root).as_posix()
    wanted = f"def transform({', '.join(TRANSFORM)})"
    if not etl.is_file():
        problems.append(f"{shown}: the file is missing; create it with `{wanted}`")
        return problems
    found = parameters_of(etl, "transform")
    if found is None:
        problems.append(f"{shown}: must have the function `{wanted}`")
    elif found != TRANSFORM:
        problems.append(f"{shown}: transform must take ({', '.join(TRANSFORM)}), got ({', '.join(found)})")
    return problems


def check_model(
    repository: Repository, folder: str, source: YamlSource, model: Model, datasets: Mapping[str, Any]
) -> list[str]:
    """Where a declaration, its dataset and its code differ.

    `datasets` are the ones that are listed, by name; None for one whose own declaration is broken.
    """
    package = repository.models / folder
    return [
        *_check_name(folder, source, model.name),
        *_check_data(source, model, datasets),
        *_check_features(package, source, model),
        *_check_hyperparameters(package, source, model),
        *check_tuning(source, model, declared_hyperparameters(package / "train.py")),
        *_check_imports(repository, folder),
    ]


def _check_name(folder: str, source: YamlSource, name: str) -> list[str]:
    return [] if name == folder else [_finding(source, ("name",), f" must be the folder's, {folder!r}, got {name!r}")]


def _check_data(source: YamlSource, model: Model, datasets: Mapping[str, Any]) -> list[str]:
    data = model.data
    if data.dataset not in datasets:
        hint = nearest(data.dataset, datasets)
        return [
            _finding(
                source, ("data", "dataset"), f": {data.dataset!r} is no dataset of config/platform.yaml; list it{hint}"
            )
        ]
    dataset = datasets[data.dataset]
    if dataset is None:
        return []
    columns = dataset.prepared.columns
    named: Iterable[tuple[KeyPath, str]] = (
        (("data", "label"), data.label),
        *((("data", "features", index), name) for index, name in enumerate(data.features)),
    )
    problems = [
        _finding(source, path, f": {name!r} is no column of the dataset {data.dataset}{nearest(name, columns)}")
        for path, name in named
        if name not in columns
    ]
    for index, rule in enumerate(data.rules):
        reason = check_rule(rule, columns, dataset.reference_tables)
        if reason:
            problems.append(_finding(source, ("data", "rules", index), f": {reason}"))
    return problems


def _check_features(package: Path, source: YamlSource, model: Model) -> list[str]:
    problems = []
    features = declared_features(package / "features.py")
    if features is not None and model.data.features != features:
        problems += [
            _finding(
                source, ("data", "features", index), f": {name!r} is no feature of features.py{nearest(name, features)}"
            )
            for index, name in enumerate(model.data.features)
            if name not in features
        ]
        missing = [name for name in features if name not in model.data.features]
        if missing:
            said = f": features.py has {', '.join(map(repr, missing))} too; add it"
            problems.append(_finding(source, ("data", "features"), said))
        elif sorted(features) == sorted(model.data.features):
            said = " must be in the order of FEATURES in features.py: requests are read by it"
            problems.append(_finding(source, ("data", "features"), said))
    label = declared_label(package / "features.py")
    if label is not None and model.data.label != label:
        said = f" must be LABEL of features.py, {label!r}, got {model.data.label!r}"
        problems.append(_finding(source, ("data", "label"), said))
    return problems


def _check_hyperparameters(package: Path, source: YamlSource, model: Model) -> list[str]:
    known = declared_hyperparameters(package / "train.py")
    if known is None:
        return []
    problems = []
    for name, value in model.training.hyperparameters.items():
        path = ("training", "hyperparameters", name)
        if name not in known:
            hint = f"{nearest(name, known)}; known: {', '.join(known)}"
            problems.append(_finding(source, path, f" is no hyperparameter of train.py{hint}"))
        elif type(value).__name__ != known[name] and not (known[name] == "float" and type(value) is int):
            problems.append(_finding(source, path, f" must be {known[name]}, as in train.py, got {value!r}"))
    return problems


def _check_imports(repository: Repository, folder: str) -> list[str]:
    siblings = {each.parent.name for each in repository.models.glob("*/model.yaml")} - {folder}
    return [
        f"{file.relative_to(repository.root).as_posix()}: imports {name!r}, another model, whose code isn't there when "
        "this one runs"
        for name, file in imported_packages(repository.models / folder).items()
        if name in siblings
    ]


def _finding(source: YamlSource, path: KeyPath, said: str) -> str:
    place = source.place(path)
    return f"{place}: {dotted(place.key)}{said}"
