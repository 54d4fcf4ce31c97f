"""Fairness as model.yaml declares it: which groups of rows are looked at, and what may differ between them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .nearest import nearest
from .setting_types import ColumnName, Section

BIAS_METRICS: Mapping[str, tuple[str, ...]] = {
    "binary_classification": ("CI", "DPL", "DPPL", "DI", "AD", "RD"),
    "regression": ("CI", "DPL", "DPPL", "ED"),
}
"""The metrics by kind of problem, named as SageMaker Clarify names them; ED, which it hasn't, is of regressions."""

LONGEST_ARGUMENT = 256
"""Characters that SageMaker takes as one argument of a processing job."""


class Limit(Section):
    """The range in which a metric has to lie."""

    minimum: float | None = None
    """The least that is good; left out: any."""
    maximum: float | None = None
    """The most that is good; left out: any."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Limit:
        if self.minimum is None and self.maximum is None:
            raise PydanticCustomError("limit", "needs a minimum or a maximum; add one, or leave the metric out")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise PydanticCustomError("limit", "has a minimum above its maximum; swap them")
        return self


class Facet(Section):
    """A group of rows that is compared with all others: by values of a feature, or by those above a threshold."""

    feature: ColumnName
    """The feature, one of the model's."""
    values: Annotated[list[str | int | float], Field(min_length=1)] | None = None
    """Values that make up the group; text as the model's encoders read it."""
    above: float | None = None
    """Instead of values: rows whose value is above this make up the group."""
    limits: dict[str, Limit] = Field(default_factory=dict)
    """Ranges by metric, as DI or AD; metrics without one are reported only."""
    action: Literal["reject", "warn"] = "reject"
    """What a metric outside of its range does: the gate rejects the model, or the report warns."""

    @model_validator(mode="after")
    def _is_one_group(self) -> Facet:
        if (self.values is None) == (self.above is None):
            raise PydanticCustomError("facet", "needs either values or above, which make up the group")
        if len(self.argument()) > LONGEST_ARGUMENT:
            raise PydanticCustomError(
                "facet",
                "takes {length} characters as an argument of its job, which may have {most}; name fewer values",
                {"length": len(self.argument()), "most": LONGEST_ARGUMENT},
            )
        return self

    def argument(self) -> str:
        """The facet as the job Evaluate takes it."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), separators=(",", ":"))


class Fairness(Section):
    """Groups of rows that a model must not treat too differently."""

    facets: list[Facet] = Field(default_factory=list)
    """The groups; none: nothing is compared."""


def check_facets(fairness: Fairness, problem: str, features: list[str]) -> None:
    """Raise for a facet of no feature, and for a limit on a metric that the kind of problem doesn't have."""
    known = BIAS_METRICS[problem]
    for index, facet in enumerate(fairness.facets):
        if facet.feature not in features:
            raise PydanticCustomError(
                "facet_feature",
                "must be one of the model's features, got {feature}{hint}",
                {
                    "feature": repr(facet.feature),
                    "hint": nearest(facet.feature, features),
                    "at": ("fairness", "facets", index, "feature"),
                },
            )
        for metric in facet.limits:
            if metric not in known:
                raise PydanticCustomError(
                    "bias_metric",
                    "has no meaning for a {problem}; take one of {known}",
                    {
                        "problem": problem.replace("_", " "),
                        "known": ", ".join(known),
                        "at": ("fairness", "facets", index, "limits", metric),
                    },
                )
