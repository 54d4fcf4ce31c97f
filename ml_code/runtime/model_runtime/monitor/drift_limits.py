"""From where on a feature has moved: limits, global and of single features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from model_runtime.errors import JobError

Measure = Literal["psi", "robust_distance", "jensen_shannon"]
MEASURES: tuple[Measure, ...] = ("psi", "robust_distance", "jensen_shannon")
SPANS = (1, 7, 28)
"""Days of the windows of the training that a baseline tells of."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a feature's effect is measured by, and above which value it counts."""

    measure: Measure = "psi"
    threshold: float = 0.2

    def __post_init__(self) -> None:
        """Refuse limits that nothing or everything is above."""
        if self.measure not in MEASURES:
            raise JobError(f"drift is measured by {', '.join(MEASURES)}, got {self.measure!r}")
        if not (isinstance(self.threshold, int | float) and 0 < self.threshold < math.inf):
            raise JobError(f"the limit of {self.measure} must be a number above 0, got {self.threshold!r}")


@dataclass(frozen=True, kw_only=True)
class DriftLimits:
    """From where on a feature has moved.

    `features` have limits of their own, `ignored` ones are compared and never count. Others have to be further from
    the training, too, than is usual for windows of it that are as long as this one, which has `days`, unless `usual` is
    false (see the module `usual`). A feature is judged when it has at least `least_rows` values in the baseline and
    now: by chance alone the index of n rows is about 9 / n.
    """

    overall: Limit = field(default_factory=Limit)
    features: Mapping[str, Limit] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    alpha: float = 0.01
    least_rows: int = 200
    days: int = 7
    usual: bool = True

    def __post_init__(self) -> None:
        """Refuse what can't be judged by."""
        if not 0 < self.alpha < 1:
            raise JobError(f"alpha must be between 0 and 1, got {self.alpha!r}")
        if self.least_rows < 1:
            raise JobError(f"least_rows must be at least 1, got {self.least_rows!r}")

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> DriftLimits:
        """Those of the monitor's settings: `least_rows` and `alpha`, and `drift` with a measure, features and ignore.

        Raises JobError, naming the place, for what can't be a limit.
        """
        drift = settings.get("drift") or {}
        overall = _limit("drift", drift, Limit())
        features = {
            name: _limit(f"drift.features.{name}", each, overall) for name, each in drift.get("features", {}).items()
        }
        alpha = drift.get("alpha", settings.get("alpha", 0.01))
        rows = settings.get("least_rows", 200)
        return cls(
            overall=overall,
            features=features,
            ignored=frozenset(drift.get("ignore", ())),
            alpha=alpha,
            least_rows=rows,
            days=settings.get("window_days", 7),
            usual=bool(drift.get("usual", True)),
        )

    def of(self, feature: str) -> Limit:
        """The limit of a feature."""
        return self.features.get(feature, self.overall)


def span_of(days: int) -> int:
    """The windows that one of so many days is compared with: as long, or shorter ones, which vary more."""
    return max((span for span in SPANS if span <= days), default=SPANS[0])


def _limit(place: str, said: Mapping[str, Any], otherwise: Limit) -> Limit:
    given = [name for name in MEASURES if name in said]
    if len(given) > 1:
        raise JobError(f"{place} must have one of {', '.join(MEASURES)}, got {', '.join(given)}")
    try:
        return Limit(measure=given[0], threshold=said[given[0]]) if given else otherwise
    except JobError as error:
        raise JobError(f"{place}: {error}") from None
