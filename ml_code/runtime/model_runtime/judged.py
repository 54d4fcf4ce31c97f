"""A judged model: everything that reports tell about it, put together once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from model_runtime.artifact import Description
from model_runtime.bias import GroupBias
from model_runtime.datasets import DAY
from model_runtime.explanations import Explanations
from model_runtime.metrics import Floats, Labels
from model_runtime.model_code import ModelCode
from model_runtime.problems import BINARY_CLASSIFICATION, PROBLEMS, Problem

CALIBRATION_BINS = 10
FEWEST_SEGMENT_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of the test rows: its name, its rows, the means of label and prediction, and the headline metric there."""

    name: str
    rows: int
    label_mean: float
    prediction_mean: float
    metric: float


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """The rows that candidate and champion were compared on, with both models' predictions."""

    labels: Any
    candidate: Floats
    champion: Floats


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The model and its test rows, the evaluation report, and what is only in the other reports.

    `description` and `code` are the model's, `algorithm` what made it, in words. `diagnostics` is the report of the
    training, None when it left none; `lineage` maps names to URIs and the like.
    """

    description: Description
    code: ModelCode
    algorithm: str
    statistics: Mapping[str, Any]
    test: pl.DataFrame
    labels: Any
    predictions: Floats
    rivals: Rivals | None = None
    explanations: Explanations | None = None
    groups: Sequence[GroupBias] = ()
    diagnostics: Mapping[str, Any] | None = None
    lineage: Mapping[str, str] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        """The kind of question."""
        return PROBLEMS[self.description.problem]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the evaluation report."""
        found: Mapping[str, Any] = self.statistics[f"{self.problem.name}_metrics"]
        return found

    def segments(self) -> list[Segment]:
        """The facets with what they leave, and the weeks of the test days; parts of fewer than 20 rows are left out."""
        found = []
        for group in self.groups:
            chosen = group.facet.rows(self.test[group.facet.feature], self.code.encoders)
            found.append(self._segment(f"{group.facet.feature} {group.facet.shown}", chosen))
            found.append(self._segment(f"{group.facet.feature} other than {group.facet.shown}", ~chosen))
        if DAY in self.test.columns and self.test.schema[DAY] == pl.Date:
            weeks = self.test[DAY].dt.truncate("1w")
            found += [self._segment(f"week from {week}", (weeks == week).to_numpy()) for week in weeks.unique().sort()]
        return [each for each in found if each.rows >= FEWEST_SEGMENT_ROWS]

    def calibration(self) -> list[tuple[float, float, int]]:
        """Mean prediction, mean label and number of tenths of the test rows, from the lowest predictions on."""
        order = np.argsort(self.predictions, kind="stable")
        labels = np.asarray(self.labels, dtype=np.float64)
        parts = [part for part in np.array_split(order, CALIBRATION_BINS) if len(part)]
        return [(float(self.predictions[p].mean()), float(labels[p].mean()), len(p)) for p in parts]

    def _segment(self, name: str, chosen: Labels) -> Segment:
        labels, predictions = self.labels[chosen], self.predictions[chosen]
        enough = len(labels) > 0 and (self.problem is not BINARY_CLASSIFICATION or len(np.unique(labels)) == 2)
        value = self.problem.metrics(labels, predictions)[self.problem.headline]["value"] if enough else "NaN"
        return Segment(
            name=name,
            rows=len(labels),
            label_mean=float(labels.mean()) if len(labels) else float("nan"),
            prediction_mean=float(predictions.mean()) if len(labels) else float("nan"),
            metric=float(value),
        )
