"""Bias between a group of rows (a facet, d) and all others (a), before and after training.

With n rows, of which the share q has the positive label and the share q' gets the positive prediction (a probability of
at least 0.5):

| name | formula | what it says, and when it is fair |
|---|---|---|
| CI | (n_a - n_d) / (n_a + n_d) | class imbalance, from -1 to 1: how much rarer the group is; 0 |
| DPL | q_a - q_d | difference in proportions of labels; 0 |
| DPPL | q'_a - q'_d | difference in proportions of predicted labels; 0 |
| DI | q'_d / q'_a | disparate impact; 1, and 0.8 to 1.25 by the four-fifths rule |
| AD | ACC_a - ACC_d | difference in accuracy; 0 |
| RD | TPR_a - TPR_d | difference in recall; 0 |

CI and DPL are of the training rows, the others of the test rows. A regression has no positive label: there DPL and DPPL
are differences of the means of labels and of predictions, in the label's unit, and ED is the mean absolute error of
the group less that of the others; it has no DI, AD and RD.

Sources: Amazon SageMaker developer guide, "Measure Pre-training Bias" and "Measure Post-training Data and Model Bias",
whose names, signs and report these are; Hardt et al. (2021), Amazon SageMaker Clarify; for the four-fifths rule, the
Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from model_runtime.errors import JobError
from model_runtime.metrics import NAN, Floats, Labels
from model_runtime.model_code import Encoder
from model_runtime.problems import BINARY_CLASSIFICATION, Problem

PRE_TRAINING = ("CI", "DPL")
DESCRIPTIONS = {
    "CI": "Class imbalance",
    "DPL": "Difference in proportions of labels",
    "DPPL": "Difference in proportions of predicted labels",
    "DI": "Disparate impact",
    "AD": "Accuracy difference",
    "RD": "Recall difference",
    "ED": "Difference in mean absolute error",
}
MEMBERS = ("feature", "values", "above", "limits", "action")


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A group of rows: those whose `feature` is one of `values`, or above a threshold.

    `limits` maps metrics to their (least, most); what lies outside rejects the model, or only warns.
    """

    feature: str
    values: tuple[str | float, ...] = ()
    above: float | None = None
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rejects: bool = True

    @property
    def shown(self) -> str:
        """The group as reports name it."""
        if self.above is not None:
            return f"({self.above:g}, inf)"
        return ", ".join(f"{value:g}" if isinstance(value, int | float) else value for value in self.values)

    def rows(self, column: pl.Series, encoders: Mapping[str, Encoder]) -> Labels:
        """Which rows are in the group; a missing value is in none. Raises JobError for text that has no number."""
        if column.dtype.is_float():
            column = column.fill_nan(None)  # which is larger than any number otherwise
        chosen = column > self.above if self.above is not None else column.is_in(self.numbers(encoders))
        found: Labels = chosen.fill_null(False).to_numpy()
        return found

    def numbers(self, encoders: Mapping[str, Encoder]) -> list[float]:
        """The values as prepared rows have them. Raises JobError for text that has no number."""
        return [self._number(value, encoders) for value in self.values]

    def _number(self, value: str | float, encoders: Mapping[str, Encoder]) -> float:
        if not isinstance(value, str):
            return float(value)
        if self.feature not in encoders:
            raise JobError(
                f"the facet {self.feature} has the value {value!r}, but no encoder of the model's features.py turns "
                f"text into {self.feature}: give the number"
            )
        try:
            return float(encoders[self.feature](value))
        except ValueError as error:
            raise JobError(f"the facet {self.feature}: {error}") from error


def parse_facet(text: str, problem: Problem) -> Facet:
    """Read a facet from JSON; raises JobError for what is none."""
    try:
        given = json.loads(text)
        unknown = sorted(set(given) - set(MEMBERS))
        if unknown:
            raise ValueError(f"no member {unknown[0]!r}")
        facet = Facet(
            feature=given["feature"],
            values=tuple(given.get("values", ())),
            above=given.get("above"),
            limits={
                name: (limit.get("minimum", -math.inf), limit.get("maximum", math.inf))
                for name, limit in given.get("limits", {}).items()
            },
            rejects=given.get("action", "reject") == "reject",
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(f"--facet must describe a group of rows as JSON, got {text}: {error}") from error
    known = metrics_of(problem)
    for name in facet.limits:
        if name not in known:
            raise JobError(f"the facet {facet.feature} limits {name}; a {problem.name} has {', '.join(known)}")
    return facet


def metrics_of(problem: Problem) -> tuple[str, ...]:
    """The names of the metrics that a kind of problem has."""
    if problem is BINARY_CLASSIFICATION:
        return ("CI", "DPL", "DPPL", "DI", "AD", "RD")
    return ("CI", "DPL", "DPPL", "ED")


def pre_training_bias(group: Labels, labels: Floats) -> dict[str, float]:
    """CI and DPL; labels are 0 and 1, or the numbers of a regression. NaN where a side has no row."""
    d, a = int(group.sum()), int((~group).sum())
    return {"CI": (a - d) / (a + d) if a + d else NAN, "DPL": _mean(labels[~group]) - _mean(labels[group])}


def post_training_bias(group: Labels, labels: Floats, predictions: Floats, problem: Problem) -> dict[str, float]:
    """The metrics of predictions; NaN where a side has no row, or none that the metric is about."""
    if problem is not BINARY_CLASSIFICATION:
        errors = np.abs(predictions - labels)
        return {
            "DPPL": _mean(predictions[~group]) - _mean(predictions[group]),
            "ED": _mean(errors[group]) - _mean(errors[~group]),
        }
    predicted, late = predictions >= 0.5, labels == 1
    right = (predicted == late).astype(np.float64)
    share_a, share_d = _mean(predicted[~group]), _mean(predicted[group])
    return {
        "DPPL": share_a - share_d,
        "DI": share_d / share_a if share_a else NAN,
        "AD": _mean(right[~group]) - _mean(right[group]),
        "RD": _mean(predicted[~group & late]) - _mean(predicted[group & late]),
    }


@dataclass(frozen=True, kw_only=True)
class GroupBias:
    """The metrics of one facet, and the sentences on limits that they break."""

    facet: Facet
    rows: int
    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def broken(self) -> list[str]:
        """A sentence for each metric outside of its limits. A metric without a value breaks its limits too."""
        found = []
        for name, (least, most) in self.facet.limits.items():
            value = {**self.before, **self.after}[name]
            if not least <= value <= most:
                limits = [f"at least {least:g}"] * math.isfinite(least) + [f"at most {most:g}"] * math.isfinite(most)
                found.append(
                    f"{DESCRIPTIONS[name].lower()} ({name}) of {self.facet.feature} {self.facet.shown} is "
                    f"{value:.4g}, it must be {' and '.join(limits)}"
                )
        return found


def bias_json(groups: Sequence[GroupBias], label: str, problem: Problem) -> dict[str, Any]:
    """Both kinds of metrics in the shape of Clarify's analysis.json."""
    positive = "1" if problem is BINARY_CLASSIFICATION else ""

    def section(before: bool) -> dict[str, Any]:
        facets: dict[str, list[dict[str, Any]]] = {}
        for group in groups:
            values = group.before if before else group.after
            metrics = [
                {"name": name, "description": DESCRIPTIONS[name], "value": value if math.isfinite(value) else "NaN"}
                for name, value in values.items()
            ]
            entry = {"value_or_threshold": group.facet.shown, "metrics": metrics}
            facets.setdefault(group.facet.feature, []).append(entry)
        return {"label": label, "label_value_or_threshold": positive, "facets": facets}

    return {"pre_training_bias_metrics": section(True), "post_training_bias_metrics": section(False)}


def _mean(values: Any) -> float:
    return float(values.mean()) if len(values) else NAN
