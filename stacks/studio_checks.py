"""What a studio and the models of its environment ask of each other."""

from __future__ import annotations

from collections.abc import Mapping

from .model_settings import Model
from .settings import Environment
from .yaml_source import YamlSource, dotted


def check_studio(
    environment: Environment | None,
    source: YamlSource,
    models: Mapping[str, Model | None],
    sources: Mapping[str, YamlSource],
) -> list[str]:
    """A training that has no network can't be tracked."""
    if environment is None or environment.studio is None or not environment.studio.mlflow:
        return []
    problems = []
    for name, model in models.items():
        if model and model.training.network_isolation:
            place = sources[name].place(("training", "network_isolation"))
            said = (
                f"can't be true where trainings are tracked, as {source.file} says with studio.mlflow; drop one of both"
            )
            problems.append(f"{place}: {dotted(place.key)}: {said}")
    return problems
