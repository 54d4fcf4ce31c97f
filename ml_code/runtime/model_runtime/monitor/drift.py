"""Which features have moved: by more than a limit, and by more than chance explains.

Two things of each feature are compared with the baseline: its values, and how many are missing. Of each the *effect* is
measured on one scale, the population stability index (of ten ranges with equal shares of the baseline, of categories,
or of missing and present), and *chance* by a test: Kolmogorov and Smirnov's for numbers, Pearson's for categories and
for missing values. A feature has moved when an effect is above its limit and its test, adjusted over all tests of all
features by Holm's procedure, is below `alpha`. So the chance that independent rows without a change alarm at all is at
most `alpha`, however many features there are; and in large samples, where any difference is significant, small ones
don't alarm. Rows that come in clusters are another matter: so the limit is at least what windows of the training days
have reached, as the baseline tells it, with a margin (see `usual`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from model_runtime.monitor.compared_feature import ComparedFeature, Kind
from model_runtime.monitor.distances import holm
from model_runtime.monitor.drift_limits import DriftLimits, Limit, Measure, span_of
from model_runtime.monitor.sketches import ColumnSketch, TableSketch
from model_runtime.monitor.statistics import Reached, Statistics
from model_runtime.monitor.usual import margin

__all__ = ["DriftLimits", "Effect", "FeatureDrift", "Limit", "find_drift"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One comparison: how far apart, how likely by chance, and how likely among all that was compared.

    `threshold` is what the score has to be above, `usual` up to where windows like those of the training go; None
    where that isn't known or doesn't count.
    """

    score: float
    p_value: float
    threshold: float
    usual: float | None = None
    adjusted: float = 1.0

    @property
    def times(self) -> float:
        """The score in thresholds."""
        return self.score / self.threshold


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """A feature then and now; `to_json` is its entry in the report.

    `effect` is the comparison that decides, of its values or of its missing ones: the one that has moved, or else the
    one with the larger score in thresholds; None where there were too few rows to say anything.
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
        return self.effect.threshold if self.effect else self.limit.threshold

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
            "threshold": self.threshold,
            "usual": effect.usual if effect else None,
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
    further = margin(baseline, limits)
    effects = [_effects(each, limits, further) for each in compared]
    adjusted = iter(holm([effect.p_value for of_feature in effects for effect in of_feature]))
    return [
        _judged(each, [replace(effect, adjusted=next(adjusted)) for effect in of_feature], limits)
        for each, of_feature in zip(compared, effects, strict=True)
    ]


def _effects(feature: ComparedFeature, limits: DriftLimits, further: float) -> list[Effect]:
    """Of its values, and of its missing ones, as far as there are rows enough."""
    measure, usual = limits.of(feature.name).measure, feature.then.usual
    found = []
    if min(feature.then.present, feature.now.present) >= limits.least_rows:
        threshold, known = _threshold(feature.name, limits, usual.values if usual else {}, further)
        found.append(
            Effect(
                score=feature.values_effect(measure),
                p_value=feature.values_chance(),
                threshold=threshold,
                usual=known,
            )
        )
    if min(feature.then.rows, feature.now.rows) >= limits.least_rows and feature.has_gaps:
        threshold, known = _threshold(feature.name, limits, usual.gaps if usual else {}, further)
        found.append(
            Effect(score=feature.gaps_effect(measure), p_value=feature.gaps_chance(), threshold=threshold, usual=known)
        )
    return found


def _threshold(
    name: str, limits: DriftLimits, usual: Mapping[int, Mapping[Measure, Reached]], further: float
) -> tuple[float, float | None]:
    """What the score has to be above, and what is usual if that counts: where a feature has no limit of its own."""
    limit = limits.of(name)
    reached = usual.get(span_of(limits.days), {}).get(limit.measure)
    if not limits.usual or name in limits.features or reached is None:
        return limit.threshold, None
    usually = reached.largest * further
    return max(limit.threshold, usually), usually


def _judged(feature: ComparedFeature, effects: list[Effect], limits: DriftLimits) -> FeatureDrift:
    beyond = [each for each in effects if each.score > each.threshold and each.adjusted < limits.alpha]
    deciding = max(beyond or effects, key=lambda each: each.times, default=None)
    return FeatureDrift(
        name=feature.name,
        kind=feature.kind,
        limit=limits.of(feature.name),
        moved=bool(beyond) and feature.name not in limits.ignored,
        effect=deciding,
        tests=feature.tests(),
        described=feature.described(),
    )
