"""Hyperparameters arrive as strings; the model's dataclass `train.Hyperparameters` says what they are."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from model_runtime.errors import JobError
from model_runtime.model_code import ModelCode

RESERVED_PREFIXES = ("sagemaker_", "_")


def read_hyperparameters(file: Path) -> dict[str, str]:
    """The job's own hyperparameters, without those that SageMaker reserves for itself; none when there is no file."""
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobError(f"{file} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise JobError(f"{file} must hold a JSON object, got {json.dumps(values)[:80]}")
    return {key: str(value) for key, value in values.items() if not key.startswith(RESERVED_PREFIXES)}


def parse_hyperparameters(code: ModelCode, given: Mapping[str, str]) -> Any:
    """The instance of the model's `Hyperparameters` that the strings describe.

    A model that declares none gets a dictionary whose values are read as JSON where they are JSON. Raises JobError for
    an unknown name (with the nearest known one) and for a value that isn't of the declared type or range.
    """
    declared = getattr(code.optional_module("train"), "Hyperparameters", None)
    if declared is None:
        return {key: _json_or_text(value) for key, value in given.items()}
    types = get_type_hints(declared)
    known = [field.name for field in dataclasses.fields(declared)]
    values = {}
    for name, text in given.items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known are {', '.join(known)}"
            raise JobError(f"the model {code.name!r} has no hyperparameter {name!r}{hint}")
        values[name] = _typed(name, text, types[name])
    try:
        return declared(**values)
    except (TypeError, ValueError) as error:
        raise JobError(f"hyperparameters of {code.name!r}: {error}") from error


def _typed(name: str, text: str, expected: type) -> object:
    value = _json_or_text(text)
    if expected is str:
        return value if isinstance(value, str) else text
    if isinstance(value, str):  # the SageMaker SDK writes a number as a JSON string
        value = _json_or_text(value)
    if expected is float and type(value) is int:
        return float(value)
    if expected is int and type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not expected or (type(value) is float and not math.isfinite(value)):
        raise JobError(f"hyperparameter {name!r} must be {getattr(expected, '__name__', expected)}, got {text!r}")
    return value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
