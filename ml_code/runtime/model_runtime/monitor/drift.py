"""Which features have moved: by more than a limit, and by more than chance explains.

Two things of each feature are compared with the baseline: its values, and how many are missing. Of each the *effect* is
measured on one scale, the population stability index (of ten ranges with equal shares of the baseline, of categories,
or of missing and present), and *chance* by a test: Kolmogorov and Smirnov's for numbers, Pearson's for categories and
for missing values. A feature has moved when an effect is above its limit and its test, adjusted over all tests of all
features by Holm's procedure, is below `alpha`. So the chance that calm data alarms at all is at most `alpha`,
however many features there are; and in large samples, where any difference is significant, small ones don't alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from model_runtime.monitor.compared_feature import ComparedFeature, Kind
from model_runtime.monitor.distances import holm
from model_runtime.monitor.drift_limits import DriftLimits, Limit
from model_runtime.monitor.sketches import ColumnSketch, TableSketch
from model_runtime.monitor.statistics import Statistics

__all__ = ["DriftLimits", "Effect", "FeatureDrift", "Limit", "find_drift"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One comparison: how far apart, how likely by chance, and how likely among all that was compared."""

    score: float
    p_value: float
    adjusted: float = 1.0


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """A feature then and now; `to_json` is its entry in the report.

    `effect` is the comparison that decides, of its values or of its missing ones: the one that has moved, or else the
    one with the larger score; None where there were too few rows to say anything.
    """

    name: str
    kind: Kind
    limit: Limit
    moved: bool
    effect: Effect | None
    tests: Mapping[str, float | None]
    described: Mapping[str, Any]

    @property
    def judged(self) -> bool:
        """Whether there were rows enough to say anything."""
        return self.effect is not None

    @property
    def score(self) -> float | None:
        """The effect that decides."""
        return self.effect.score if self.effect else None

    @property
    def threshold(self) -> float:
        """The score above which it counts."""
        return self.limit.threshold

    def to_json(self) -> dict[str, Any]:
        """Its entry in `features` of report.json, but for `since` and `daily`."""
        effect = self.effect
        return {
            "name": self.name,
            "kind": self.kind,
            "moved": self.moved,
            "judged": self.judged,
            "measure": self.limit.measure,
            "score": effect.score if effect else None,
            "threshold": self.limit.threshold,
            "p_value": effect.p_value if effect else None,
            "adjusted_p": effect.adjusted if effect else None,
            "tests": dict(self.tests),
            **self.described,
        }


def find_drift(baseline: Statistics, now: TableSketch, limits: DriftLimits | None = None) -> list[FeatureDrift]:
    """Compare each feature of the baseline, in its order; a feature that isn't there any more misses all values."""
    limits = limits or DriftLimits()
    absent = ColumnSketch()
    absent.add_missing(now.rows)
    compared = [ComparedFeature(each, now.columns.get(name, absent)) for name, each in baseline.features.items()]
    effects = [_effects(each, limits) for each in compared]
    adjusted = iter(holm([effect.p_value for of_feature in effects for effect in of_feature]))
    return [
        _judged(each, [replace(effect, adjusted=next(adjusted)) for effect in of_feature], limits)
        for each, of_feature in zip(compared, effects, strict=True)
    ]


def _effects(feature: ComparedFeature, limits: DriftLimits) -> list[Effect]:
    """Of its values, and of its missing ones, as far as there are rows enough."""
    measure = limits.of(feature.name).measure
    found = []
    if min(feature.then.present, feature.now.present) >= limits.least_rows:
        found.append(Effect(score=feature.values_effect(measure), p_value=feature.values_chance()))
    if min(feature.then.rows, feature.now.rows) >= limits.least_rows and feature.has_gaps:
        found.append(Effect(score=feature.gaps_effect(measure), p_value=feature.gaps_chance()))
    return found


def _judged(feature: ComparedFeature, effects: list[Effect], limits: DriftLimits) -> FeatureDrift:
    limit = limits.of(feature.name)
    beyond = [each for each in effects if each.score > limit.threshold and each.adjusted < limits.alpha]
    deciding = max(beyond or effects, key=lambda each: each.score, default=None)
    return FeatureDrift(
        name=feature.name,
        kind=feature.kind,
        limit=limit,
        moved=bool(beyond) and feature.name not in limits.ignored,
        effect=deciding,
        tests=feature.tests(),
        described=feature.described(),
    )
