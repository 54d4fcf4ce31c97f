"""`statistics.json` in Model Monitor's schema, written from sketches and read back, AWS's own files too.

Our additions: a number's `distribution` may have `categorical.buckets` beside its `kll`, as texts have in the schema,
for columns that stand for categories; `encoded` says there that the numbers are codes of something else. Among the
parameters of a sketch is its `rank_error`, 0 where each row was counted. A feature's `usual` is what windows of the
rows' own days have reached (see `usual`).
Source of the schema: SageMaker's guide, "Schema for Statistics (statistics.json file)".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from model_runtime.errors import JobError
from model_runtime.monitor.distributions import Distribution
from model_runtime.monitor.drift_limits import MEASURES, Measure
from model_runtime.monitor.number_sketch import K
from model_runtime.monitor.sketches import ColumnSketch, TableSketch

FILE = "statistics.json"
VERSION = 0.0
BUCKETS = 10
MOST_CATEGORIES = 64
"""A column of whole numbers with at most so many distinct ones is one of categories, without being told."""


@dataclass(frozen=True)
class Reached:
    """The largest effect of several windows, the second largest, and the number of the window with the largest."""

    largest: float
    second: float
    window: int


@dataclass(frozen=True)
class Usual:
    """What windows of the training have reached, by days and measure: of a feature's values, and of its gaps.

    `windows` is how many there are.
    """

    values: dict[int, dict[Measure, Reached]]
    gaps: dict[int, dict[Measure, Reached]]
    windows: dict[int, int]

    def to_json(self) -> dict[str, Any]:
        """As `statistics.json` has it."""
        return {
            **{
                name: {
                    str(days): {of: list(astuple(each)) for of, each in found.items()} for days, found in all_.items()
                }
                for name, all_ in (("values", self.values), ("gaps", self.gaps))
            },
            "windows": {str(days): count for days, count in self.windows.items()},
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Usual:
        """What `to_json` wrote."""
        values, gaps = (
            {
                int(days): {measure: _read_reached(found[measure]) for measure in MEASURES}
                for days, found in each.items()
            }
            for each in (said["values"], said["gaps"])
        )
        return cls(values, gaps, {int(days): int(count) for days, count in said.get("windows", {}).items()})


def _read_reached(said: Any) -> Reached:
    if not isinstance(said, list):  # the largest alone
        return Reached(float(said), float(said), 0)
    largest, second, window = said
    return Reached(float(largest), float(second), int(window))


@dataclass(frozen=True, kw_only=True)
class FeatureStatistics:
    """What a baseline knows of a feature.

    `distribution` is that of its numbers, None without any; `categories` are the counts of its values where it has
    categories, and `complete` says that no other value was there. `encoded` says that its numbers are codes. `usual` is
    how far windows of the baseline's own days are from it; None where that isn't told.
    """

    name: str
    type: str
    present: int
    missing: int
    mean: float | None = None
    deviation: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    distribution: Distribution | None = None
    categories: Mapping[str, int] | None = None
    complete: bool = True
    encoded: bool = False
    usual: Usual | None = None

    @property
    def rows(self) -> int:
        """How many rows there were."""
        return self.present + self.missing


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """How many rows there were, and what is known of each feature."""

    rows: int
    features: Mapping[str, FeatureStatistics]


def statistics_json(table: TableSketch, categorical: Collection[str] = ()) -> dict[str, Any]:
    """The content of `statistics.json`.

    The columns named `categorical` have all their categories, however many: as long as each value could be counted.
    """
    features = [_feature_json(name, column, name in categorical) for name, column in table.columns.items()]
    return {"version": VERSION, "dataset": {"item_count": table.rows}, "features": features}


def _feature_json(name: str, column: ColumnSketch, encoded: bool) -> dict[str, Any]:
    common = {"num_present": column.present, "num_missing": column.missing}
    found: dict[str, Any] = {"name": name, "inferred_type": column.type}
    if column.type == "Unknown":
        return found | {"numerical_statistics": {"common": common}}
    counts = column.counts()
    if column.type == "String":
        frequent = column.texts.counts() if counts is None else counts
        distinct = column.texts.distinct if counts is None else len(counts)
        buckets = {"categorical": {"buckets": _buckets_json(frequent)}}
        return found | {"string_statistics": {"common": common, "distinct_count": distinct, "distribution": buckets}}
    numbers, distribution = column.numbers, column.numbers.distribution()
    assert distribution is not None
    kll: dict[str, Any] = {
        "buckets": _ranges_json(distribution, numbers.minimum, numbers.maximum),
        "sketch": {
            "parameters": {"c": 0.64, "k": float(K), "rank_error": distribution.rank_error},
            "data": [[float(each) for each in level] for level in numbers.levels()],
        },
    }
    shown: dict[str, Any] = {"kll": kll}
    if counts is not None and (encoded or (column.type == "Integral" and len(counts) <= MOST_CATEGORIES)):
        shown["categorical"] = {"buckets": _buckets_json(counts), **({"encoded": True} if encoded else {})}
    return found | {
        "numerical_statistics": {
            "common": common,
            "mean": numbers.mean,
            "sum": numbers.mean * numbers.count,
            "std_dev": numbers.deviation,
            "min": numbers.minimum,
            "max": numbers.maximum,
            "distribution": shown,
        }
    }


def _buckets_json(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"value": value, "count": count} for value, count in counts.items()]


def _ranges_json(distribution: Distribution, minimum: float, maximum: float) -> list[dict[str, Any]]:
    """Ten ranges of the same width; the last one has its upper bound too."""
    bounds = np.linspace(minimum, maximum, BUCKETS + 1)
    below = distribution.share_up_to(bounds.astype(np.float32).astype(np.float64), inclusive=False) * distribution.total
    below[0], below[-1] = 0.0, distribution.total
    counts = np.diff(np.rint(below))
    return [
        {"lower_bound": float(low), "upper_bound": float(high), "count": float(count)}
        for low, high, count in zip(bounds[:-1], bounds[1:], counts, strict=True)
    ]


def read_statistics(said: Mapping[str, Any]) -> Statistics:
    """What `statistics.json` says; raises JobError, naming the feature, for what isn't one."""
    try:
        rows = int(said["dataset"]["item_count"])
        features = list(said["features"])
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(f"{FILE} must have dataset.item_count and features: {error!r} isn't there or is none") from error
    found = {}
    for number, each in enumerate(features):
        name = each.get("name", f"number {number}") if isinstance(each, Mapping) else f"number {number}"
        try:
            feature = _read_feature(each)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise JobError(f"{FILE}: the feature {name} can't be read: {error!r}") from error
        found[feature.name] = feature
    return Statistics(rows=rows, features=found)


def _read_feature(said: Mapping[str, Any]) -> FeatureStatistics:
    found = _read_columns(said)
    return replace(found, usual=Usual.from_json(said["usual"])) if "usual" in said else found


def _read_columns(said: Mapping[str, Any]) -> FeatureStatistics:
    name, kind = str(said["name"]), str(said["inferred_type"])
    if "string_statistics" in said:
        texts = said["string_statistics"]
        buckets = texts.get("distribution", {}).get("categorical", {}).get("buckets")
        categories = None if buckets is None else {str(each["value"]): int(each["count"]) for each in buckets}
        present, missing = _common(texts)
        complete = categories is not None and sum(categories.values()) >= present
        return FeatureStatistics(
            name=name, type=kind, present=present, missing=missing, categories=categories, complete=complete
        )
    numbers = said["numerical_statistics"]
    present, missing = _common(numbers)
    shown = numbers.get("distribution", {})
    categorical = shown.get("categorical")
    categories = None
    if categorical is not None:
        categories = {str(each["value"]): int(each["count"]) for each in categorical["buckets"]}
    return FeatureStatistics(
        name=name,
        type=kind,
        present=present,
        missing=missing,
        mean=_number(numbers, "mean"),
        deviation=_number(numbers, "std_dev"),
        minimum=_number(numbers, "min"),
        maximum=_number(numbers, "max"),
        distribution=_read_kll(shown.get("kll", {}).get("sketch")),
        categories=categories,
        encoded=bool(categorical and categorical.get("encoded", False)),
    )


def _common(said: Mapping[str, Any]) -> tuple[int, int]:
    return int(said["common"]["num_present"]), int(said["common"]["num_missing"])


def _number(said: Mapping[str, Any], name: str) -> float | None:
    value = said.get(name)
    return None if value is None else float(value)


def _read_kll(said: Mapping[str, Any] | None) -> Distribution | None:
    """The compactors of a sketch: a value at the height h stands for 2^h rows."""
    levels = [np.asarray(level, dtype=np.float64) for level in (said or {}).get("data", [])]
    values = np.concatenate(levels) if levels else np.empty(0)
    if said is None or not len(values):
        return None
    weights = np.concatenate([np.full(len(level), 2.0**height) for height, level in enumerate(levels)])
    # as numbers of 32 bits, which is how rows are compared with it
    largest = np.finfo(np.float32).max
    singles = np.clip(values, -largest, largest).astype(np.float32).astype(np.float64)
    parameters = said.get("parameters", {})
    error = float(parameters["rank_error"]) if "rank_error" in parameters else kll_error(float(parameters.get("k", K)))
    return Distribution.of(singles, weights, error)


def kll_error(size: float) -> float:
    """By which share of all rows the rank of a value may be wrong in a KLL sketch of a size, with 99 % confidence.

    Source: `get_normalized_rank_error` in Apache DataSketches' kll_sketch_impl.hpp, fitted to measurements.
    """
    return 2.296 / math.pow(size, 0.9723)
