"""Rules that watch a training, as model.yaml declares them; the runtime's `diagnostics` says what each one looks at."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .setting_types import Positive, Section

HYPERPARAMETER = "_diagnostics"
METRICS = {
    "validation:metric": r"round=\d+ .*validation=([-+.eE\d]+)",
    "diagnostics:rules_broken": r"rules_broken=(\d+)",
}
"""What a training job prints of itself: names of metrics with the regular expressions that find them."""


def _action(value: Any) -> Any:
    # YAML reads a bare off as false
    return "off" if value is False else value


Action = Annotated[Literal["off", "warn", "stop"], BeforeValidator(_action)]
Share = Annotated[float, Field(ge=0, le=0.5)]
Percentage = Annotated[float, Field(gt=0)]


class LittleData(Section):
    """Too few training rows for the number of features."""

    action: Action = "warn"
    """off, warn (it is reported) or stop (the training ends as failed, with the reason)."""
    rows_per_feature: Positive = 50
    """The least rows for each feature."""


class ClassImbalance(Section):
    """A class that hardly occurs in the training rows; a regression has none."""

    action: Action = "warn"
    """off, warn or stop."""
    minimum_share: Share = 0.01
    """The least share of the rarer class."""


class DeadFeatures(Section):
    """Features that are constant or always missing in the training rows."""

    action: Action = "warn"
    """off, warn or stop."""
    maximum: Annotated[int, Field(ge=0)] = 0
    """How many may be."""


class LossNotDecreasing(Section):
    """A training that doesn't get going."""

    action: Action = "warn"
    """off, warn or stop."""
    rounds: Positive = 20
    """The first rounds, which are looked at."""
    percent: Percentage = 0.1
    """By how much the metric of the validation days has to improve in them."""


class Overfitting(Section):
    """A metric of the validation days that gets worse while trees are added."""

    action: Action = "warn"
    """off, warn or stop."""
    percent: Percentage = 10.0
    """By how much it may be worse than its best."""


class ExplodingMetric(Section):
    """A metric that is no finite number any more, or grows beyond all measure."""

    action: Action = "stop"
    """off, warn or stop."""
    factor: Annotated[float, Field(gt=1)] = 10.0
    """How many times its first value is beyond all measure."""


class ResourceStarvation(Section):
    """A machine that is too small."""

    action: Action = "warn"
    """off, warn or stop."""
    percent: Annotated[float, Field(gt=0, le=100)] = 90.0
    """How much of its memory may be in use."""


class Diagnostics(Section):
    """Rules that watch each training: before it, in every round, and after it."""

    little_data: LittleData = LittleData()
    """Too few training rows for the number of features."""
    class_imbalance: ClassImbalance = ClassImbalance()
    """A class that hardly occurs."""
    dead_features: DeadFeatures = DeadFeatures()
    """Features that are constant or always missing."""
    loss_not_decreasing: LossNotDecreasing = LossNotDecreasing()
    """A training that doesn't get going."""
    overfitting: Overfitting = Overfitting()
    """A metric that gets worse while trees are added."""
    exploding_metric: ExplodingMetric = ExplodingMetric()
    """A metric that is no finite number any more."""
    resource_starvation: ResourceStarvation = ResourceStarvation()
    """A machine that is too small."""

    @property
    def warns(self) -> bool:
        """Whether a rule has the action warn."""
        return any(rule["action"] == "warn" for rule in self.model_dump().values())

    def hyperparameters(self) -> dict[str, str]:
        """The settings that aren't the defaults, as the job takes them; none when all are."""
        found = {
            name: {key: value for key, value in rule.items() if value != getattr(getattr(DEFAULTS, name), key)}
            for name, rule in self.model_dump(mode="json").items()
        }
        changed = {name: rule for name, rule in found.items() if rule}
        return {HYPERPARAMETER: json.dumps(changed, sort_keys=True)} if changed else {}


DEFAULTS = Diagnostics()
