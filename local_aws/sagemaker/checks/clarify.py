"""The container that stands for SageMaker Clarify's: bias in data, before any training.

It runs as a script in a process of its own, and follows analysis_config.json. What needs a model, as the bias of
answers and attributions, is refused. Sources of the formulas, one page for each:
https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-measure-data-bias.html; a facet's rows are those of the
disadvantaged group d, all others are group a.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

# a container starts it as a script, far from where its package is found
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from local_aws.sagemaker.checks.tables import Problem, read_rows

KINDS = {"text/csv": "csv", "application/jsonlines": "json", "application/x-parquet": "parquet"}
# whole numbers of which fewer differ are categories
UNIQUE_SHARE = 0.05
DESCRIPTIONS = {
    "CI": "Class Imbalance (CI)",
    "DPL": "Difference in Positive Proportions in Labels (DPL)",
    "KL": "Kullback-Liebler Divergence (KL)",
    "JS": "Jensen-Shannon Divergence (JS)",
    "LP": "L-p Norm (LP)",
    "TVD": "Total Variation Distance (TVD)",
    "KS": "Kolmogorov-Smirnov Distance (KS)",
    "CDDL": "Conditional Demographic Disparity in Labels (CDDL)",
}

Flags = np.ndarray


def main() -> int:
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    processing = base / "processing"
    try:
        if "sagemaker_monitoring_schedule_name" in os.environ:
            raise Problem("the bias of data sets is measured here, not that of what an endpoint has captured")
        config = json.loads((processing / "input/config/analysis_config.json").read_text())
        _check(config)
        rows = read_rows(processing / "input/data", KINDS[config["dataset_type"]])
        report = analysis_of(config, rows)
        output = processing / "output"
        output.mkdir(parents=True, exist_ok=True)
        (output / "analysis.json").write_text(json.dumps(report, indent=1))
    except Exception as error:
        traceback.print_exc()
        message = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
        (base / "output").mkdir(parents=True, exist_ok=True)
        (base / "output/message").write_text(message)
        return 1
    print(f"{rows.height} rows, {len(config['facet'])} facets", flush=True)
    return 0


def analysis_of(config: Mapping[str, Any], rows: pl.DataFrame) -> dict[str, Any]:
    """Return analysis.json. Raises Problem for columns that aren't there, and for groups without rows."""
    label = _column(rows, config["label"])
    positive = _chosen(label, config["label_values_or_threshold"], "the label")
    groups = _column(rows, config["group_variable"]) if config.get("group_variable") is not None else None
    asked = config["methods"]["pre_training_bias"]["methods"]
    names = [name for name in DESCRIPTIONS if name != "CDDL" or groups is not None] if asked == "all" else list(asked)
    facets: dict[str, list[dict[str, Any]]] = {}
    for facet in config["facet"]:
        name, values = facet["name_or_index"], facet["value_or_threshold"]
        column = _column(rows, name)
        inside = _chosen(column, values, f"the facet {name}")
        if inside.all() or not inside.any():
            raise Problem(
                f"the facet {name} {values}: {int(inside.sum())} of {len(inside)} rows are in it; it needs both"
            )
        metrics = [
            {
                "name": each,
                "description": DESCRIPTIONS[each],
                "value": _finite(_measure(each, inside, positive, label, groups)),
            }
            for each in names
        ]
        facets.setdefault(str(name), []).append({"value_or_threshold": _shown(column, values), "metrics": metrics})
    shown = _shown(label, config["label_values_or_threshold"])
    told = {"label": config["label"], "label_value_or_threshold": shown, "facets": facets}
    return {"version": "1.0", "pre_training_bias_metrics": told}


def _finite(value: float) -> float | None:
    # JSON has no infinity, which a divergence has where a group lacks a label
    return value if math.isfinite(value) else None


def _check(config: Mapping[str, Any]) -> None:
    methods = set(config["methods"]) - {"report"}
    if methods != {"pre_training_bias"}:
        raise Problem(f"only pre_training_bias is measured here, not {', '.join(sorted(methods)) or 'nothing'}")
    if config["dataset_type"] not in KINDS:
        raise Problem(f"rows of {config['dataset_type']} can't be read; there are {', '.join(KINDS)}")
    asked = config["methods"]["pre_training_bias"]["methods"]
    unknown = [] if asked == "all" else [name for name in asked if name not in DESCRIPTIONS]
    if unknown:
        raise Problem(f"there is no metric {unknown[0]}; there are {', '.join(DESCRIPTIONS)}")
    if asked != "all" and "CDDL" in asked and config.get("group_variable") is None:
        raise Problem("CDDL needs a group_variable")


def _measure(name: str, inside: Flags, positive: Flags, label: pl.Series, groups: pl.Series | None) -> float:
    if name == "CI":
        return float((~inside).sum() - inside.sum()) / len(inside)
    if name == "DPL":
        return float(positive[~inside].mean() - positive[inside].mean())
    if name == "CDDL":
        assert groups is not None
        return _conditional_disparity(inside, positive, groups)
    values = label.unique().sort().to_list()
    p_a = np.array([float((label.filter(pl.Series(~inside)) == each).mean() or 0) for each in values])
    p_d = np.array([float((label.filter(pl.Series(inside)) == each).mean() or 0) for each in values])
    return _DISTANCES[name](p_a, p_d)


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    held = p > 0
    with np.errstate(divide="ignore"):
        return float(np.sum(p[held] * np.log(p[held] / q[held])))


_DISTANCES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "KL": _divergence,
    "JS": lambda p, q: 0.5 * (_divergence(p, (p + q) / 2) + _divergence(q, (p + q) / 2)),
    "LP": lambda p, q: float(np.sqrt(np.sum((p - q) ** 2))),
    "TVD": lambda p, q: float(0.5 * np.sum(np.abs(p - q))),
    "KS": lambda p, q: float(np.max(np.abs(p - q))),
}


def _conditional_disparity(inside: Flags, positive: Flags, groups: pl.Series) -> float:
    total = 0.0
    for group in groups.unique().to_list():
        here = (groups == group).fill_null(False).to_numpy()
        accepted, rejected = here & positive, here & ~positive
        share = [float((inside & part).sum()) / part.sum() if part.any() else 0.0 for part in (rejected, accepted)]
        total += here.sum() * (share[0] - share[1])
    return total / len(inside)


def _is_amount(column: pl.Series, values: Sequence[Any]) -> bool:
    if len(values) > 1 or not column.dtype.is_numeric():
        return False
    known = column.drop_nulls()
    return column.dtype.is_float() or known.n_unique() >= UNIQUE_SHARE * len(known)


def _chosen(column: pl.Series, values: Sequence[Any], what: str) -> Flags:
    try:
        if _is_amount(column, values):
            found = column > float(values[0])
        elif column.dtype.is_numeric():
            found = column.cast(pl.Float64).is_in([float(each) for each in values])
        else:
            found = column.cast(pl.String).is_in([str(each) for each in values])
    except (TypeError, ValueError) as error:
        raise Problem(f"{what} has the values {values}, which its column can't have: {error}") from error
    return np.asarray(found.fill_null(False).to_numpy())


def _shown(column: pl.Series, values: Sequence[Any]) -> str:
    shown = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
    return f"({shown[0]}, inf)" if _is_amount(column, values) else ",".join(shown)


def _column(rows: pl.DataFrame, name: str | int) -> pl.Series:
    if isinstance(name, int) and 0 <= name < rows.width:
        return rows.to_series(name)
    if name not in rows.columns:
        raise Problem(f"there is no column {name!r}; there are {', '.join(rows.columns)}")
    return rows[str(name)]


if __name__ == "__main__":
    raise SystemExit(main())
