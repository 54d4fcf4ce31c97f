"""Fleets of an environment: machines that models share, and what has to fit between them and the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from .nearest import nearest
from .setting_types import InstanceType, Positive, Section
from .yaml_source import YamlSource, dotted

if TYPE_CHECKING:
    from .model_settings import Model
    from .settings import Environment


class Fleet(Section):
    """Machines of one endpoint, on which models with `serving.component` have their copies."""

    instance_type: InstanceType = "ml.m5.large"
    """Machine, as ml.m5.large."""
    minimum: Positive = 1
    """Least number of machines."""
    maximum: Positive = 1
    """Most machines; above the minimum, SageMaker adds and takes away machines as copies need them."""

    @model_validator(mode="after")
    def _bounds_leave_something(self) -> Fleet:
        if self.minimum > self.maximum:
            raise PydanticCustomError(
                "fleet",
                "must be at most the maximum, {maximum}, got {minimum}",
                {"maximum": self.maximum, "minimum": self.minimum, "at": ("minimum",)},
            )
        return self


def check_fleets(
    environment: Environment | None,
    source: YamlSource,
    models: Mapping[str, Model | None],
    sources: Mapping[str, YamlSource],
) -> list[str]:
    """Every model on a fleet that its environment doesn't have, and every fleet with the endpoint's name of a model."""
    if environment is None:
        return []
    problems, fleets = [], environment.fleets
    for name, model in models.items():
        component = model.serving.component if model and model.serving else None
        if component and component.fleet not in fleets:
            place = sources[name].place(("serving", "component", "fleet"))
            said = f"{component.fleet!r} is no fleet of {source.file}{nearest(component.fleet, list(fleets))}"
            problems.append(f"{place}: {dotted(place.key)}: {said}; add it there under fleets")
    for name in fleets:
        if f"fleet_{name}" in models:
            place = source.place(("fleets", name))
            problems.append(
                f"{place}: {dotted(place.key)}: its endpoint would have the name of that of the model fleet_{name}; "
                "choose another name"
            )
    return problems
