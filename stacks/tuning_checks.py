"""What model.yaml tunes has to be what the model's train.py takes."""

from __future__ import annotations

from collections.abc import Mapping

from .model_settings import Model
from .nearest import nearest
from .yaml_source import YamlSource, dotted

_KINDS = {"int": "integer", "float": "continuous"}


def check_tuning(source: YamlSource, model: Model, known: Mapping[str, str] | None) -> list[str]:
    """Where the tuned ranges differ from the hyperparameters of train.py and their types.

    `known` are the types by name; None for a model that takes any.
    """
    tuning = model.training.tuning
    if tuning is None or known is None:
        return []
    problems = []
    for name, each in tuning.ranges.items():
        path = ("training", "tuning", "ranges", name)
        place = source.place(path)
        start = f"{place}: {dotted(place.key)}"
        if name not in known:
            hint = f"{nearest(name, known)}; known: {', '.join(known)}"
            problems.append(f"{start} is no hyperparameter of train.py{hint}")
            continue
        kind = known[name]
        if each.categorical is None:
            given = "integer" if each.integer is not None else "continuous"
            if _KINDS.get(kind) != given and not (given == "integer" and kind == "float"):
                wanted = _KINDS.get(kind, "categorical")
                problems.append(f"{start} must be {wanted}: train.py declares it as {kind}, got {given}")
            continue
        for value in each.categorical:
            if type(value).__name__ != kind and not (kind == "float" and type(value) is int):
                problems.append(f"{start} must hold values of {kind}, as in train.py, got {value!r}")
    return problems
