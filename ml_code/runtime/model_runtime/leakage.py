"""Features that are not known when a prediction is asked for, found by what gives them away.

A feature that is written down only after the outcome shows it in one of two ways. It predicts the label implausibly
well by itself: sorted into bins of equal size, missing values in one of their own, the means of the label in the bins
reach an area under the ROC curve of `AREA_LIMIT`, or explain the share `EXPLAINED_LIMIT` of the variance of a
regression's label. Or it is missing exactly when the label is, as the arrival of a flight that never came: of the rows
that miss one of the two, the share `MISSING_LIMIT` misses both. Neither is proof: a model may allow a feature by name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from model_runtime.datasets import is_known
from model_runtime.errors import JobError
from model_runtime.metrics import Floats, area_under_curve
from model_runtime.problems import BINARY_CLASSIFICATION, Problem

AREA_LIMIT = 0.95
EXPLAINED_LIMIT = 0.995
MISSING_LIMIT = 0.98
FEWEST_MISSING_LABELS = 20
BINS = 50
FEWEST_ROWS_IN_A_BIN = 20
SETTING = "data.allow_leakage"


@dataclass(frozen=True)
class Suspicion:
    """A feature, and what gives it away as the end of a sentence."""

    feature: str
    reason: str


def check_leakage(
    train: pl.DataFrame,
    everything: pl.LazyFrame,
    features: Sequence[str],
    label: str,
    problem: Problem,
    allowed: Collection[str] = (),
) -> None:
    """Raise JobError when features look like ones that aren't known at prediction time; allowed ones are printed.

    `train` are the labelled training rows; `everything` has the rows without a label too.
    """
    unknown = sorted(set(allowed) - set(features))
    if unknown:
        raise JobError(f"{SETTING} names {', '.join(unknown)}, which the model hasn't as a feature: remove it")
    found = [*_too_good(train, features, label, problem), *_missing_together(everything, features, label)]
    for each in found:
        if each.feature in allowed:
            print(f"allowed by {SETTING}: the feature {each.feature} {each.reason}", flush=True)
    found = [each for each in found if each.feature not in allowed]
    if found:
        told = "; ".join(f"the feature {each.feature} {each.reason}" for each in found)
        names = ", ".join(dict.fromkeys(each.feature for each in found))
        raise JobError(
            f"{told}. Is it known when a prediction is asked for? If not, remove it from the features; if it is, allow "
            f"it in model.yaml: {SETTING}: [{names}]"
        )


def _too_good(train: pl.DataFrame, features: Sequence[str], label: str, problem: Problem) -> list[Suspicion]:
    labels: Floats = train[label].cast(pl.Float64).to_numpy()
    if np.ptp(labels) == 0:
        return []
    found = []
    for feature in features:
        guesses = _means_of_bins(train[feature].cast(pl.Float64).to_numpy(), labels)
        if problem is BINARY_CLASSIFICATION:
            area = area_under_curve(labels == 1, guesses)
            if area > AREA_LIMIT:
                reason = f"tells the label {label} by itself with an AUC of {area:.3f} (more than {AREA_LIMIT:g})"
                found.append(Suspicion(feature, reason))
        else:
            explained = 1 - float(np.mean((labels - guesses) ** 2)) / float(labels.var())
            if explained > EXPLAINED_LIMIT:
                reason = (
                    f"tells the label {label} by itself with an R2 of {explained:.3f} (more than {EXPLAINED_LIMIT:g})"
                )
                found.append(Suspicion(feature, reason))
    return found


def _means_of_bins(values: Floats, labels: Floats) -> Floats:
    """For each row the mean label of the rows whose values are much like its own."""
    bins = max(min(BINS, len(labels) // FEWEST_ROWS_IN_A_BIN), 2)
    missing = np.isnan(values)
    shares = np.linspace(0, 1, bins + 1)[1:-1] if not missing.all() else np.empty(0)
    edges: Floats = np.unique(np.quantile(values[~missing], shares)) if len(shares) else shares
    # a value with many rows has a bin of its own
    index = np.searchsorted(edges, values, "left") + np.searchsorted(edges, values, "right")
    index[missing] = 2 * len(edges) + 1
    rows = np.bincount(index, minlength=2 * len(edges) + 2)
    sums = np.bincount(index, weights=labels, minlength=2 * len(edges) + 2)
    means: Floats = (sums / np.maximum(rows, 1))[index]
    return means


def _missing_together(everything: pl.LazyFrame, features: Sequence[str], label: str) -> list[Suspicion]:
    def missing(name: str) -> pl.Expr:
        return ~is_known(everything, name)

    no_label = missing(label)
    (counts,) = (
        everything.select(
            no_label.sum().alias(label),
            *((no_label & missing(name)).sum().alias(f"both {name}") for name in features),
            *((no_label | missing(name)).sum().alias(f"either {name}") for name in features),
        )
        .collect()
        .iter_rows(named=True)
    )
    if counts[label] < FEWEST_MISSING_LABELS:
        return []
    found = []
    for name in features:
        share = counts[f"both {name}"] / counts[f"either {name}"]
        if share > MISSING_LIMIT:
            reason = (
                f"is missing when the label {label} is: {counts[f'both {name}']} of the {counts[f'either {name}']} "
                "rows that miss one of them miss both"
            )
            found.append(Suspicion(name, reason))
    return found
