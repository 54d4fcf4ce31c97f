"""Rows that are kept of a stream of any length, in bounded memory, whoever sees which part of it.

A row is kept by the hash of its key alone: the least hashes stay. So samples of parts of the stream add up to the
sample of the whole, and what one side keeps of predictions, the other finds among labels. Source: Beyer, Haas,
Reinwald, Sismanis, Gemulla (2007), On synopses for distinct-value estimation under multiset operations, SIGMOD. Up to
the limit nothing is left out and every count is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

SEED = 7
HASHES = 2.0**64
MOST_PREDICTIONS = 1_000_000
"""Up to so many predictions are joined with their labels: 32 MB."""
MOST_DISTINCT = 65_536
"""Up to so many keys are counted exactly; more with a standard error of 0.4 %."""


def hashes_of(keys: pl.Series) -> Hashes:
    """A number of 64 bits for each key; the same in all processes that run the same version of polars."""
    found: Hashes = keys.hash(SEED).to_numpy()
    return found


def row_keys(ids: Sequence[str], places: Sequence[int]) -> pl.Series:
    """The key of each row: its request's id, and its place among the request's rows where it isn't the first."""
    return pl.Series([one if place == 0 else f"{one}\n{place}" for one, place in zip(ids, places, strict=True)])


@dataclass
class PredictionSample:
    """Predictions by the hashes of their keys: the last prediction of a key counts.

    `groups` has a bit for each facet that a row is in; `labels` are those that came with the rows, NaN without one.
    `threshold` is what all kept hashes are below: the share `threshold / 2**64` of all keys is kept.
    """

    limit: int = MOST_PREDICTIONS
    keys: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    predictions: Floats = field(default_factory=lambda: np.empty(0))
    times: Times = field(default_factory=lambda: np.empty(0, np.int64))
    groups: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    labels: Floats = field(default_factory=lambda: np.empty(0))
    threshold: float = HASHES
    _pending: list[PredictionSample] = field(default_factory=list)
    _waiting: int = 0

    @property
    def share(self) -> float:
        """The share of all keys that is kept."""
        return self.threshold / HASHES

    def add(self, other: PredictionSample) -> None:
        """Take in the rows of another sample; those of later calls replace earlier ones of the same time."""
        self._pending.append(other)
        self._waiting += len(other.keys)
        if self._waiting > max(self.limit // 4, 4096):
            self.settle()

    def settle(self) -> PredictionSample:
        """Work off what was added: one row for a key, sorted by key, at most `limit` of them. Returns itself."""
        if not self._pending:
            return self
        parts = [self, *self._pending]
        self._pending, self._waiting = [], 0
        self.threshold = min(part.threshold for part in parts)
        keys = np.concatenate([part.keys for part in parts])
        times = np.concatenate([part.times for part in parts])
        order = np.lexsort((np.arange(len(keys)), times, keys))
        ordered = keys[order]
        last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.empty(0, np.bool_)
        order = order[last]
        kept = keys[order].astype(np.float64) < self.threshold
        order = order[kept]
        if len(order) > self.limit:
            self.threshold = float(keys[order[self.limit]])
            order = order[: self.limit]
            order = order[keys[order].astype(np.float64) < self.threshold]
        self.keys, self.times = keys[order], times[order]
        self.predictions = np.concatenate([part.predictions for part in parts])[order]
        self.groups = np.concatenate([part.groups for part in parts])[order]
        self.labels = np.concatenate([part.labels for part in parts])[order]
        return self


@dataclass
class DistinctCount:
    """How many different keys there were, from the least hashes."""

    limit: int = MOST_DISTINCT
    kept: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    full: bool = False

    @property
    def threshold(self) -> float:
        """What all kept hashes are below; of all keys below it none is left out."""
        return float(self.kept[-1]) if self.full else HASHES

    def add_all(self, other: DistinctCount) -> None:
        """Count what another has counted."""
        self.full = self.full or other.full
        self.add(other.kept)

    def beside(self, other: DistinctCount, below: float = HASHES) -> int:
        """How many keys are here and not there, of those whose hash is below a bound; an estimate as `value`."""
        bound = min(below, self.threshold, other.threshold)
        only = np.setdiff1d(self.kept, other.kept, assume_unique=True)
        return round(int((only.astype(np.float64) < bound).sum()) / (bound / HASHES)) if bound else 0

    def add(self, hashes: Hashes) -> None:
        """Count keys."""
        found = np.unique(np.concatenate([self.kept, hashes]))
        self.full = self.full or len(found) > self.limit
        self.kept = found[: self.limit]

    @property
    def value(self) -> int:
        """The number; exact up to `limit`."""
        if not self.full:
            return len(self.kept)
        return round((self.limit - 1) / (float(self.kept[-1]) / HASHES))


@dataclass
class RowSample:
    """Up to `limit` rows of numbers, NaN for a missing one."""

    limit: int
    keys: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    rows: npt.NDArray[np.float32] | None = None

    def add(self, keys: Hashes, rows: npt.NDArray[np.float32]) -> None:
        """Take in rows; those with the least hashes stay."""
        known = self.rows if self.rows is not None else rows[:0]
        all_keys, all_rows = np.concatenate([self.keys, keys]), np.concatenate([known, rows])
        if len(all_keys) > self.limit:
            order = np.argsort(all_keys, kind="stable")[: self.limit]
            all_keys, all_rows = all_keys[order], all_rows[order]
        self.keys, self.rows = all_keys, all_rows
