"""The numbers of a column in bounded memory: exact while few are distinct, then as a KLL sketch.

A sketch knows ranks, and not how often a single value is there, which is what codes of text are compared by. So the
most frequent values are still counted beside it, as long as nearly all rows have one of them.

Numbers are kept as 32-bit floats, as models see them: 39.02 that a client writes and the 39.020000458 that a table has
are one value. Mean and deviation come from what was given. Source of the sketch: Z. Karnin, K. Lang, E. Liberty,
"Optimal quantile approximation in streams", FOCS 2016, in Apache DataSketches, whose serialized form is read here:
https://github.com/apache/datasketches-cpp/blob/master/kll/include/kll_sketch.hpp.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import datasketches
import numpy as np
import numpy.typing as npt
import polars as pl

from model_runtime.monitor.distributions import Distribution

K = 2048
"""The size of the KLL sketch: a rank is wrong by 0.14 % of the rows at most, with 99 % confidence."""
MOST_EXACT = 1024
"""Up to so many distinct values each is counted by itself."""
MOST_COUNTED = 4096
"""Up to so many are counted beside the sketch; with more the rarer half is given up."""
MOST_LOST = 0.1
"""When values with a larger share of the rows were given up, nothing is counted any more: no column of codes."""
_PROBE = 8192
_PIECE = 1 << 20
_LARGEST = float(np.finfo(np.float32).max)
_SQUARABLE = 1e150

Singles = npt.NDArray[np.float32]
Wholes = npt.NDArray[np.int64]


class NumberSketch:
    """Finite numbers: how many, their moments and extremes, and their distribution."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.minimum = math.inf
        self.maximum = -math.inf
        self._squares = 0.0
        self._values: Singles = np.empty(0, np.float32)
        self._counts: Wholes = np.empty(0, np.int64)
        self._lost: int | None = 0
        self._kll: Any = None

    @property
    def exact(self) -> bool:
        """Whether each value was counted."""
        return self._kll is None

    @property
    def deviation(self) -> float:
        """The standard deviation of the population, as Deequ's; 0 without a number."""
        return math.sqrt(max(self._squares, 0.0) / self.count) if self.count else 0.0

    def update(self, numbers: pl.Series) -> None:
        """Take numbers in: no null, none that isn't finite."""
        if not len(numbers):
            return
        wide = numbers.cast(pl.Float64).to_numpy()
        self.minimum = min(self.minimum, float(wide.min()))
        self.maximum = max(self.maximum, float(wide.max()))
        values = np.clip(wide, -_SQUARABLE, _SQUARABLE)
        mean = float(values.mean())
        self._add_moments(len(values), mean, float(np.square(values - mean).sum()))
        # numbers too large for 32 bits count as the largest there is
        singles = numbers
        if numbers.dtype != pl.Float32:
            singles = pl.Series(np.clip(wide, -_LARGEST, _LARGEST).astype(np.float32))
        if self._lost is not None and singles.head(_PROBE).n_unique() <= MOST_COUNTED:
            table = singles.rename("value").value_counts(name="count")
            self._count(table["value"].to_numpy(), table["count"].to_numpy().astype(np.int64))
        else:
            self._give_up()
        if self._kll is not None:
            # in order, since the sketch sorts a bit at a time, which takes it longer
            self._kll.update(np.sort(singles.to_numpy()))

    def merge(self, other: NumberSketch) -> None:
        """Take in what another has seen."""
        self._add_moments(other.count, other.mean, other._squares)
        self.minimum, self.maximum = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        if other._kll is not None:
            self._sketch().merge(other._kll)
        if other._lost is None:
            self._give_up()
        else:
            self._count(other._values, other._counts, other._lost)
        if other._kll is None and self._kll is not None:
            for piece in _repeated(other._values, other._counts):
                self._kll.update(piece)

    def counted(self) -> tuple[Singles, Wholes] | None:
        """Values and how often each is there: all when `exact`, else the frequent ones; None when that isn't known."""
        return None if self._lost is None else (self._values, self._counts)

    def distribution(self) -> Distribution | None:
        """What was seen, None without a number."""
        if not self.count:
            return None
        if self._kll is None:
            return Distribution(self._values.astype(np.float64), self._counts.astype(np.float64))
        levels = kll_levels(self._kll.serialize())
        weights = np.concatenate([np.full(len(each), 2.0**height) for height, each in enumerate(levels)])
        error = self._kll.normalized_rank_error(False) if self._kll.is_estimation_mode() else 0.0
        return Distribution.of(np.concatenate(levels).astype(np.float64), weights, float(error))

    def levels(self) -> list[Singles]:
        """The same as compactors: a value at the height h stands for 2^h rows, and all together for all of them."""
        if self._kll is not None:
            return kll_levels(self._kll.serialize())
        heights = int(self._counts.max(initial=0)).bit_length()
        return [self._values[(self._counts >> height) & 1 == 1] for height in range(heights)]

    def _add_moments(self, count: int, mean: float, squares: float) -> None:
        """Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979)."""
        whole = self.count + count
        if not count:
            return
        apart = mean - self.mean
        self._squares += squares + apart * apart * self.count * count / whole
        self.mean += apart * count / whole
        self.count = whole

    def _count(self, values: Singles, counts: Wholes, lost: int = 0) -> None:
        """Count values, whose rows are in `count` already and which the caller adds to the sketch if there is one."""
        if self._lost is None:
            return
        distinct, places = np.unique(np.concatenate([self._values, values]), return_inverse=True)
        merged = np.zeros(len(distinct), np.int64)
        np.add.at(merged, places, np.concatenate([self._counts, counts]))
        if len(distinct) > MOST_EXACT:
            self._sketch()
        self._lost += lost
        if len(distinct) > MOST_COUNTED:
            kept = np.sort(np.argpartition(merged, -MOST_COUNTED // 2)[-MOST_COUNTED // 2 :])
            self._lost += int(merged.sum() - merged[kept].sum())
            distinct, merged = distinct[kept], merged[kept]
        self._values, self._counts = distinct, merged
        if self._lost > MOST_LOST * self.count:
            self._give_up()

    def _give_up(self) -> None:
        """Count no single value any more."""
        self._sketch()
        self._lost = None
        self._values, self._counts = self._values[:0], self._counts[:0]

    def _sketch(self) -> Any:
        """The KLL sketch, from now on there beside the counts."""
        if self._kll is None:
            self._kll = datasketches.kll_floats_sketch(K)
            for piece in _repeated(self._values, self._counts):
                self._kll.update(piece)
        return self._kll

    def to_json(self) -> dict[str, Any]:
        """All of it, for `from_json`."""
        moments = [self.count, self.mean, self._squares, self.minimum, self.maximum]
        found = {"moments": moments, "lost": self._lost, "values": self._values.tolist()}
        found["counts"] = self._counts.tolist()
        if self._kll is not None:
            found["kll"] = base64.b64encode(self._kll.serialize()).decode()
        return found

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> NumberSketch:
        """What `to_json` wrote."""
        found = cls()
        found.count, found.mean, found._squares, found.minimum, found.maximum = said["moments"]
        if "kll" in said:
            found._kll = datasketches.kll_floats_sketch.deserialize(base64.b64decode(said["kll"]))
        found._lost = said["lost"]
        found._values, found._counts = np.array(said["values"], np.float32), np.array(said["counts"], np.int64)
        return found


def kll_levels(serialized: bytes) -> list[Singles]:
    """The compactors of a serialized `kll_floats_sketch`, from the bottom.

    A sketch of one number has it after 8 bytes. Others have the number of levels in byte 18, and from byte 20 where
    each begins among all places, the two extremes, and the numbers from the first level's on.
    """
    if serialized[3] & 1:
        return []
    if serialized[3] & 4:
        return [np.frombuffer(serialized, "<f4", 1, 8).astype(np.float32)]
    heights = serialized[18]
    starts = np.frombuffer(serialized, "<u4", heights, 20).astype(np.int64)
    numbers = np.frombuffer(serialized, "<f4", offset=20 + 4 * heights + 8).astype(np.float32)
    return np.split(numbers, starts[1:] - starts[0])


def _repeated(values: Singles, counts: Wholes) -> Iterator[Singles]:
    """Each value as often as it was counted, in pieces of about a million."""
    left = counts.copy()
    while len(values):
        now = np.minimum(left, max(_PIECE // len(values), 1))
        yield np.repeat(values, now)
        left -= now
        values, left = values[left > 0], left[left > 0]
