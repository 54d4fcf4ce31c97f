"""What the code of models and datasets says about itself, read without running it: synth needs no Spark."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path


def parameters_of(module: Path, function: str) -> tuple[str, ...] | None:
    """The names of the parameters of a function at a module's top level; None when there is no such function."""
    for statement in _module(module).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == function:
            given = statement.args
            return tuple(each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs))
    return None


def declared_features(features: Path) -> list[str] | None:
    """The names in `FEATURES` of a model's features.py, in order; None when they aren't written down as text."""
    values = _assignments(features)
    return _texts(values.get("FEATURES"), values)


def declared_label(features: Path) -> str | None:
    """The text `LABEL` of a model's features.py; None when it isn't written down as text."""
    value = _assignments(features).get("LABEL")
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def declared_hyperparameters(train: Path) -> dict[str, str] | None:
    """The fields of the class `Hyperparameters` in a model's train.py with the names of their types.

    None when there is no such class: such a model takes any hyperparameter.
    """
    for statement in _module(train).body:
        if isinstance(statement, ast.ClassDef) and statement.name == "Hyperparameters":
            fields = [each for each in statement.body if isinstance(each, ast.AnnAssign)]
            return {
                each.target.id: ast.unparse(each.annotation) for each in fields if isinstance(each.target, ast.Name)
            }
    return None


def imported_packages(package: Path) -> dict[str, Path]:
    """The top-level packages that the modules of a model import, each with the first file that does."""
    found: dict[str, Path] = {}
    for file in sorted(package.glob("*.py")):
        for node in ast.walk(_module(file)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], file)
    return found


def _module(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])


def _assignments(file: Path) -> dict[str, ast.expr]:
    """The values that a module gives to names at its top level."""
    return dict(_assigned(_module(file)))


def _assigned(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.expr):
                yield target.id, value


def _texts(value: ast.expr | None, names: Mapping[str, ast.expr]) -> list[str] | None:
    """The texts of a tuple, a list or a dictionary's keys, `*name` of another one included; None for anything else."""
    if isinstance(value, ast.Name):
        return _texts(names.get(value.id), {name: each for name, each in names.items() if name != value.id})
    entries = (
        value.keys if isinstance(value, ast.Dict) else value.elts if isinstance(value, ast.Tuple | ast.List) else None
    )
    if entries is None:
        return None
    found: list[str] = []
    for entry in entries:
        if isinstance(entry, ast.Constant) and isinstance(entry.value, str):
            found.append(entry.value)
        elif isinstance(entry, ast.Starred) and (inner := _texts(entry.value, names)) is not None:
            found += inner
        else:
            return None
    return found
