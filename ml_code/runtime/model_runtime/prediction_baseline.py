"""What a model predicted on its validation rows, and how far from it the predictions of an endpoint have shifted.

The population stability index sums `(p - q) * ln(p / q)` over ten ranges of predictions, where p and q are the shares
of a range then and now. Source: B. Yurdakul, J. Naranjo, "Statistical properties of the population stability index",
Journal of Risk Model Validation 14 (2020). Every range counts half a prediction more than it has, so that an empty one
has a logarithm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_runtime.errors import JobError

FILE = "prediction_baseline.json"
RANGES = 10
TOLERANCE = 1e-5
"""Values closer than this are the same, relative to the largest: two engines differ by a millionth (see onnx_trees)."""
LEAST_ROWS = 200
"""Fewer predictions say nothing: by chance alone the index of n of them is about 9 / n."""

Floats = npt.NDArray[np.floating[Any]]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PredictionBaseline:
    """The bounds between ranges, and counts: about a tenth of the predictions each where no value is frequent."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, predictions: Floats) -> PredictionBaseline:
        """Of finite predictions, one for each row.

        A bound lies between two predictions that differ, never on one: where many rows have the same prediction, the
        last digit would decide about all of them.
        """
        values = np.unique(predictions.astype(np.float64))
        apart = np.diff(values) > TOLERANCE * max(1.0, float(np.abs(values).max(initial=0.0)))
        places = (values[:-1][apart] + values[1:][apart]) / 2
        wanted = np.quantile(predictions, np.arange(1, RANGES) / RANGES)
        after = np.searchsorted(places, wanted)
        edges = tuple(float(edge) for edge in np.unique(places[after[after < len(places)]]))
        return cls(edges, tuple(count_in(edges, predictions).tolist()))

    def shift(self, counts: Counts) -> float:
        """The index of predictions by range."""
        return stability_index(np.asarray(self.counts), counts)

    def write(self, directory: Path) -> None:
        """Write it beside the model."""
        said = {"edges": self.edges, "counts": self.counts}
        (directory / FILE).write_text(json.dumps(said) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> PredictionBaseline | None:
        """That of a model, or None for one that has none; raises JobError for a broken file."""
        file = directory / FILE
        if not file.is_file():
            return None
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            found = cls(tuple(map(float, said["edges"])), tuple(map(int, said["counts"])))
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise JobError(f"{file} can't be read: {error}") from error
        if len(found.counts) != len(found.edges) + 1 or list(found.edges) != sorted(set(found.edges)):
            raise JobError(f"{file} can't be used: it needs rising edges and one count more than these")
        return found


def count_in(edges: tuple[float, ...], predictions: Floats) -> Counts:
    """How many predictions are in each range; one on a bound belongs to the range above it."""
    places = np.searchsorted(np.asarray(edges), predictions, side="right")
    return np.bincount(places, minlength=len(edges) + 1).astype(np.int64)


def stability_index(then: Counts | Floats, now: Counts | Floats) -> float:
    """The population stability index of the counts of ranges, then and now."""
    shares_then, shares_now = _shares(then), _shares(now)
    return float(((shares_now - shares_then) * np.log(shares_now / shares_then)).sum())


def _shares(counts: Counts | Floats) -> Floats:
    shares: Floats = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares
