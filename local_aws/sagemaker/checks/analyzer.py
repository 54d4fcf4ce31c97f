"""The container that stands for Model Monitor's analyzer: statistics and constraints of a dataset's columns.

Of captured requests it also says what they break of a baseline, and tells CloudWatch about each column.

It runs as a script in a process of its own. Sources of the files' form:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-constraints.html; of their figures: Deequ, which AWS
names as the analyzer's engine. How many values still are a domain isn't published; here it is `MOST_VALUES`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl

# a container starts it as a script, far from where its package is found
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from local_aws.sagemaker.checks.captured import read_captured, typed
from local_aws.sagemaker.checks.tables import Problem, read_rows
from local_aws.sagemaker.checks.violations import drift, violations

SKETCH_ITEMS = 2048
MOST_VALUES = 100
BUCKETS = 10


def main() -> int:
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    variables = dict(os.environ)
    try:
        if variables.get("analysis_type"):
            raise Problem("only the quality of data is described here, not that of a model's predictions")
        kind = next(iter(json.loads(variables["dataset_format"])))
        output, source = (_place(base, variables[name]) for name in ("output_path", "dataset_source"))
        constraints, statistics = (_baseline(base, variables, name) for name in ("constraints", "statistics"))
        if kind == "sagemakerCaptureJson":
            text = read_captured(source, [each["name"] for each in (constraints or {}).get("features", [])])
            rows = text.select(typed(column) for column in text.get_columns())
        else:
            rows = read_rows(source, kind)
        output.mkdir(parents=True, exist_ok=True)
        (output / "statistics.json").write_text(json.dumps(statistics_of(rows), indent=1))
        (output / "constraints.json").write_text(json.dumps(constraints_of(rows), indent=1))
        message = f"Completed: {rows.height} rows, {rows.width} columns"
        if kind == "sagemakerCaptureJson" and constraints:
            found = violations(constraints, statistics, text)
            (output / "constraint_violations.json").write_text(json.dumps({"violations": found}, indent=1))
            if found:
                message = f"CompletedWithViolations: {len(found)} violations in {rows.height} rows"
            if variables.get("publish_cloudwatch_metrics") == "Enabled":
                _tell_metrics(base, variables, constraints, statistics or {}, text)
    except Exception as error:
        traceback.print_exc()
        message = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
        _tell(base, message)
        return 1
    print(message, flush=True)
    _tell(base, message)
    return 0


def statistics_of(rows: pl.DataFrame) -> dict[str, Any]:
    """Return statistics.json."""
    features = [_statistics(column) for column in rows.get_columns()]
    return {"version": 0.0, "dataset": {"item_count": rows.height}, "features": features}


def constraints_of(rows: pl.DataFrame) -> dict[str, Any]:
    """Return constraints.json: what these rows keep, as the baseline of later ones."""
    compared = {
        "perform_comparison": "Enabled",
        "comparison_threshold": 0.1,
        "comparison_method": "Robust",
        "categorical_comparison_threshold": 0.1,
        "categorical_drift_method": "LInfinity",
    }
    config = {
        "evaluate_constraints": "Enabled",
        "emit_metrics": "Enabled",
        "datatype_check_threshold": 1.0,
        "domain_content_threshold": 1.0,
        "distribution_constraints": compared,
    }
    features = [_constraints(column) for column in rows.get_columns()]
    return {"version": 0.0, "features": features, "monitoring_config": config}


def sketch_of(values: np.ndarray) -> list[list[float]]:
    """Return compactor buffers as a KLL sketch's: an item of level h stands for 2^h values, all of them together for
    every value. The items are those in the middle of equal runs of the sorted values, which no sketch beats."""
    ordered = np.sort(values)
    level, buffers = 0, []
    while len(ordered) >> level > SKETCH_ITEMS:
        level += 1
    whole = len(ordered) >> level << level
    rest, start = len(ordered) - whole, whole
    for below in range(level):
        takes = rest >> below & 1
        buffers.append([float(ordered[start + (1 << below) // 2])] if takes else [])
        start += takes << below
    buffers.append([float(value) for value in ordered[(1 << level) // 2 : whole : 1 << level]])
    return buffers


def _statistics(column: pl.Series) -> dict[str, Any]:
    kind, known = _kind(column), _known(column)
    common = {"num_present": len(known), "num_missing": len(column) - len(known)}
    if kind not in ("Integral", "Fractional"):
        counts = known.cast(pl.String).value_counts(sort=True)
        named = counts.head(MOST_VALUES).iter_rows()
        buckets = [{"value": value, "count": count} for value, count in named]
        strings: dict[str, Any] = {"common": common, "distinct_count": float(counts.height)}
        if counts.height <= MOST_VALUES:
            strings["distribution"] = {"categorical": {"buckets": buckets}}
        return {"name": column.name, "inferred_type": kind, "string_statistics": strings}
    values = known.cast(pl.Float64).to_numpy()
    numbers: dict[str, Any] = {"common": common}
    if len(values):
        low, high = float(values.min()), float(values.max())
        counts_, edges = np.histogram(values, bins=BUCKETS, range=(low, high if high > low else low + 1))
        bounds = zip(edges[:-1], edges[1:], counts_, strict=True)
        numbers |= {
            "mean": float(values.mean()),
            "sum": float(values.sum()),
            "std_dev": float(values.std()),
            "min": low,
            "max": high,
            "distribution": {
                "kll": {
                    "buckets": [
                        {"lower_bound": float(lower), "upper_bound": float(upper), "count": float(count)}
                        for lower, upper, count in bounds
                    ],
                    "sketch": {
                        "parameters": {"c": 0.64, "k": float(SKETCH_ITEMS)},
                        "data": sketch_of(values),
                    },
                }
            },
        }
    return {"name": column.name, "inferred_type": kind, "numerical_statistics": numbers}


def _constraints(column: pl.Series) -> dict[str, Any]:
    kind, known = _kind(column), _known(column)
    completeness = len(known) / len(column) if len(column) else 0.0
    found: dict[str, Any] = {"name": column.name, "inferred_type": kind, "completeness": completeness}
    if kind in ("Integral", "Fractional"):
        negative = bool(len(known)) and float(known.cast(pl.Float64).min()) < 0  # type: ignore[arg-type]
        found["num_constraints"] = {"is_non_negative": not negative}
    elif known.n_unique() <= MOST_VALUES:
        found["string_constraints"] = {"domains": sorted(known.cast(pl.String).unique().to_list())}
    return found


def _known(column: pl.Series) -> pl.Series:
    known = column.drop_nulls()
    return known.drop_nans() if known.dtype.is_float() else known


def _kind(column: pl.Series) -> str:
    if column.null_count() == len(column):
        return "Unknown"
    if column.dtype.is_integer():
        return "Integral"
    return "Fractional" if column.dtype.is_numeric() else "String"


def _baseline(base: Path, variables: Mapping[str, str], name: str) -> dict[str, Any] | None:
    path = variables.get(f"baseline_{name}")
    return dict(json.loads(_place(base, path).read_text())) if path else None


def _tell_metrics(
    base: Path,
    variables: Mapping[str, str],
    constraints: Mapping[str, Any],
    statistics: Mapping[str, Any],
    text: pl.DataFrame,
) -> None:
    """Leave a line for each metric of each column: its values, how complete it is, and how far from the baseline."""
    if constraints.get("monitoring_config", {}).get("emit_metrics", "Enabled") != "Enabled":
        return
    names = {"Endpoint": "sagemaker_endpoint_name", "MonitoringSchedule": "sagemaker_monitoring_schedule_name"}
    dimensions = [{"Name": name, "Value": variables[variable]} for name, variable in names.items()]
    common = {"Timestamp": variables["metric_time"], "Dimensions": dimensions}
    known = {each["name"]: each for each in statistics.get("features", [])}
    lines: list[dict[str, Any]] = []
    for column in text.get_columns():
        values = column.drop_nulls().cast(pl.Float64, strict=False).drop_nulls()
        if len(values):
            summary = {
                "SampleCount": len(values), "Sum": values.sum(), "Minimum": values.min(), "Maximum": values.max(),
            }  # fmt: skip
            lines.append({"MetricName": f"feature_data_{column.name}", "StatisticValues": summary})
        present = (len(column) - column.null_count()) / len(column)
        lines.append({"MetricName": f"feature_non_null_{column.name}", "Value": present})
        distance = drift(known[column.name], column, "Robust") if column.name in known else None
        if distance is not None:
            lines.append({"MetricName": f"feature_baseline_drift_{column.name}", "Value": distance})
    folder = base / "output/metrics/cloudwatch"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cloudwatch_metrics.jsonl").write_text("".join(json.dumps(common | line) + "\n" for line in lines))


def _place(base: Path, path: str) -> Path:
    return base / PurePosixPath(path).relative_to("/opt/ml")


def _tell(base: Path, message: str) -> None:
    (base / "output").mkdir(parents=True, exist_ok=True)
    (base / "output/message").write_text(message)


if __name__ == "__main__":
    raise SystemExit(main())
