"""One feature then and now: distances, tests, and what people are shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np

from model_runtime.monitor import distances
from model_runtime.monitor.distributions import Counts, Distribution, Floats
from model_runtime.monitor.drift_limits import Measure
from model_runtime.monitor.sketches import ColumnSketch
from model_runtime.monitor.statistics import FeatureStatistics

Kind = Literal["numeric", "categorical"]
RANGES = 10
SHOWN_RANGES = 20
SHOWN_CATEGORIES = 20
SHOWN_NEW = 10
SHOWN_SHARE = 0.005
"""The share of rows at each end for which a histogram has no range of its own."""
OTHERS = "(others)"
PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)


class ComparedFeature:
    """A feature of the baseline and the column that it is now."""

    def __init__(self, then: FeatureStatistics, now: ColumnSketch) -> None:
        self.then = then
        self.now = now
        self.name = then.name
        self.kind: Kind = "numeric" if then.categories is None else "categorical"

    @cached_property
    def _categories(self) -> list[str]:
        return list(self.then.categories or {})

    @cached_property
    def _category_counts(self) -> tuple[Counts, Counts]:
        """The counts of the baseline's categories then and now, and last those of all other values."""
        then = [*(self.then.categories or {}).values()]
        now, others = self.now.counts_of(self._categories)
        return np.array([*then, max(self.then.present - sum(then), 0)], float), np.array([*now, others], float)

    @cached_property
    def _numbers(self) -> tuple[Distribution, Distribution] | None:
        then, now = self.then.distribution, self.now.numbers.distribution()
        return None if then is None or now is None else (then, now)

    @cached_property
    def _counts(self) -> tuple[Counts, Counts]:
        """What is compared: categories, the rare and the new ones as one; or ranges with equal shares then."""
        if self.kind == "categorical":
            then, now = self._category_counts
            return common_categories(then, now)
        if self._numbers is None:
            return np.ones(1), np.ones(1)
        before, after = self._numbers
        edges = before.edges(RANGES, self.then.minimum, self.then.maximum)
        return before.counts_between(edges), after.counts_between(edges)

    @cached_property
    def _largest(self) -> float:
        """The largest difference of two shares: cumulated ones of numbers, those of categories."""
        if self.kind == "categorical":
            then, now = (
                {str(place): float(count) for place, count in enumerate(each)} for each in self._category_counts
            )
            return distances.linf_categorical(then, now)
        return distances.linf_simple(*self._numbers) if self._numbers else 0.0

    @property
    def has_gaps(self) -> bool:
        """Whether any value is missing, then or now."""
        return bool(self.then.missing or self.now.missing)

    def values_effect(self, measure: Measure) -> float:
        """How far its values are apart; both samples must have some."""
        return effect(measure, *self._counts, self._largest)

    def values_chance(self) -> float:
        """How likely that is by chance."""
        if self.kind == "categorical":
            return distances.chi_squared(*self._counts)
        if self._numbers is None:
            return 1.0
        then, now = self._numbers
        return distances.kolmogorov_smirnov(self._largest, then.total, now.total, then.rank_error + now.rank_error)

    @cached_property
    def _gaps(self) -> tuple[Counts, Counts]:
        then, now = (np.array([each.missing, each.present], np.float64) for each in (self.then, self.now))
        return then, now

    def gaps_effect(self, measure: Measure) -> float:
        """How far the shares of missing values are apart."""
        return effect(measure, *self._gaps, gap_between(*self._gaps))

    def gaps_chance(self) -> float:
        """How likely that is by chance."""
        return distances.chi_squared(*self._gaps)

    def tests(self) -> dict[str, float | None]:
        """All distances, and the probability by Pearson's test; None without values on both sides."""
        if not (self.then.present and self.now.present) or (self.kind == "numeric" and self._numbers is None):
            return dict.fromkeys(("ks", "robust", "jensen_shannon", "chi_squared"))
        then, now = self._counts
        return {
            "ks": self._largest if self.kind == "numeric" else None,
            "robust": effect("robust_distance", then, now, self._largest),
            "jensen_shannon": distances.jensen_shannon(then, now),
            "chi_squared": distances.chi_squared(then, now),
        }

    def described(self) -> dict[str, Any]:
        """What people are shown: missing shares, means, quantiles, a histogram, and values that are new."""
        numeric = not self.then.encoded and self._numbers is not None and self.then.mean is not None
        quantiles = None
        if numeric and self._numbers:
            then, now = (each.quantiles(PROBABILITIES).tolist() for each in self._numbers)
            quantiles = {"probabilities": list(PROBABILITIES), "baseline": then, "now": now}
        return {
            "missing": {"baseline": _share(self.then), "now": _share(self.now)},
            "mean": {"baseline": self.then.mean, "now": self.now.numbers.mean} if numeric else None,
            "quantiles": quantiles,
            "histogram": self._histogram(),
            "new_values": self._new_values(),
        }

    def _histogram(self) -> dict[str, Any]:
        if self.kind == "categorical":
            return self._bars()
        if self.then.distribution is None:
            return {"edges": None, "categories": None, "baseline": [], "now": []}
        both = [self.then.distribution, *(self._numbers or ())[1:]]
        ends = np.array([each.quantiles([SHOWN_SHARE, 1 - SHOWN_SHARE]) for each in both])
        low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
        edges = np.linspace(low, high if high > low else low + 1, SHOWN_RANGES + 1)
        # the first and the last range also have what lies beyond them
        then, now = _shares(both[0], edges), _shares(both[1], edges) if len(both) > 1 else [0.0] * SHOWN_RANGES
        return {"edges": edges.tolist(), "categories": None, "baseline": then, "now": now}

    def _bars(self) -> dict[str, Any]:
        then, now = (each / max(each.sum(), 1) for each in self._category_counts)
        largest = sorted(range(len(then) - 1), key=lambda place: -max(then[place], now[place]))
        shown, rest = largest[:SHOWN_CATEGORIES], [*largest[SHOWN_CATEGORIES:], len(then) - 1]
        names, shares = [self._categories[place] for place in shown], (then[shown].tolist(), now[shown].tolist())
        if then[rest].sum() + now[rest].sum() > 0:
            names.append(OTHERS)
            for shown_shares, each in zip(shares, (then, now), strict=True):
                shown_shares.append(float(each[rest].sum()))
        return {"edges": None, "categories": names, "baseline": shares[0], "now": shares[1]}

    def _new_values(self) -> list[str]:
        """The most frequent values that the baseline hasn't."""
        known: Mapping[str, int] = self.then.categories or {}
        if self.kind == "numeric" or not self.then.complete:
            return []
        counts = self.now.frequent()
        new = sorted((name for name in counts if name not in known), key=lambda name: -counts[name])
        return new[:SHOWN_NEW]


def common_categories(then: Counts, now: Counts) -> tuple[Counts, Counts]:
    """Counts of categories, the last one of all others, with those among them that were rare then."""
    # as many as the test of Pearson needs in the smaller sample
    often = then / max(then.sum(), 1) * min(then.sum(), now.sum()) >= distances.LEAST_EXPECTED
    often[-1] = False
    return np.append(then[often], then[~often].sum()), np.append(now[often], now[~often].sum())


def effect(measure: Measure, then: Counts, now: Counts, largest: float) -> float:
    """How far two samples are apart, by their counts and the largest difference of their shares."""
    if measure == "psi":
        return distances.stability(then, now)
    if measure == "jensen_shannon":
        return distances.jensen_shannon(then, now)
    return distances.linf_robust(largest, float(then.sum()), float(now.sum()))


def gap_between(then: Counts, now: Counts) -> float:
    """The difference of two shares of missing values."""
    return float(abs(then[0] / max(then.sum(), 1) - now[0] / max(now.sum(), 1)))


def _share(of: FeatureStatistics | ColumnSketch) -> float:
    return of.missing / of.rows if of.rows else 0.0


def _shares(distribution: Distribution, edges: Floats) -> list[float]:
    counts = distribution.counts_between(edges[1:-1])
    return [float(each) for each in counts / counts.sum()]
