"""How often each value is there: what two samples of a column are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Distribution:
    """Distinct values, rising, and how many rows have each (at least one value).

    `rank_error` is the share of all rows by which the rank of a value may be wrong: 0 where each row was counted.
    """

    values: Floats
    weights: Counts
    rank_error: float = 0.0

    @classmethod
    def of(cls, values: Floats, weights: Counts, rank_error: float = 0.0) -> Distribution:
        """Of values in any order, some of them perhaps several times."""
        distinct, places = np.unique(values, return_inverse=True)
        rows = np.bincount(places, weights=weights, minlength=len(distinct)).astype(np.float64)
        return cls(distinct, rows, rank_error)

    @property
    def total(self) -> float:
        """How many rows there are."""
        return float(self.weights.sum())

    def share_up_to(self, points: Floats, *, inclusive: bool = True) -> Floats:
        """The share of rows whose value is at most each point (or below it)."""
        places = np.searchsorted(self.values, points, "right" if inclusive else "left")
        cumulated = np.concatenate([[0.0], np.cumsum(self.weights)])
        shares: Floats = cumulated[places] / cumulated[-1]
        return shares

    def quantiles(self, shares: Sequence[float] | Floats) -> Floats:
        """For each share the least value that so many rows are at or below."""
        cumulated = np.cumsum(self.weights)
        # a hair less, since shares such as 0.1 aren't exact
        places = np.searchsorted(cumulated, np.asarray(shares) * cumulated[-1] * (1 - 1e-12), "left")
        found: Floats = self.values[np.minimum(places, len(self.values) - 1)]
        return found

    def counts_between(self, edges: Floats) -> Counts:
        """How many rows are below the first edge, between each two, and from the last one on."""
        places = np.searchsorted(edges, self.values, "right")
        return np.bincount(places, weights=self.weights, minlength=len(edges) + 1).astype(np.float64)

    def edges(self, ranges: int, minimum: float | None = None, maximum: float | None = None) -> Floats:
        """Bounds of that many ranges with about as many rows each; fewer, or more, where a value is frequent.

        A bound lies between two values, never on one: where many rows have the same value, the last digit of it would
        decide about all of them. A value that fills a range has one of its own. What lies beyond the extremes (by
        default those of the values) has ranges of its own, too, which are empty here.
        """
        between = (self.values[:-1] + self.values[1:]) / 2
        after = np.searchsorted(self.values, self.quantiles(np.arange(1, ranges) / ranges))
        frequent = np.flatnonzero(self.weights * ranges >= self.total)
        places = np.concatenate([after, frequent, frequent - 1])
        low = min(self.values[0], np.inf if minimum is None else np.float32(minimum))
        high = max(self.values[-1], -np.inf if maximum is None else np.float32(maximum))
        inner = between[places[(places >= 0) & (places < len(between))]]
        return np.unique(np.concatenate([[low], inner, [np.nextafter(high, np.inf)]]))
