"""Quality in the monitor's report: the metric with its interval against the training, by day, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from model_runtime.card_charts import lines
from model_runtime.monitor.report_charts import by_day, interval
from model_runtime.page_parts import number, section, table, verdict_class

METRICS = (
    "auc", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1", "mae", "rmse", "mse", "r2",
)  # fmt: skip

Quality = Mapping[str, Any]


def quality_sections(report: Mapping[str, Any]) -> str:
    """Return the sections; one that says why where nothing could be measured."""
    found, reason = report.get("quality"), report.get("quality_reason")
    if not found:
        return section("Quality", f'<p class="quiet">Not judged: {escape(str(reason))}.</p>') if reason else ""
    rest = []
    if found.get("calibration"):
        rest.append(_calibration(found["calibration"]))
    metrics = found.get("metrics") or {}
    rows = [
        (escape(each), number(metrics[each]["value"]), number(metrics[each].get("standard_deviation")))
        for each in METRICS
        if isinstance(metrics.get(each), Mapping) and "value" in metrics[each]
    ]
    if rows:
        rest.append(section("Metrics", table(("Metric", "#Value", "#Standard deviation"), rows)))
    pair = f'<div class="pair">{"".join(rest)}</div>' if rest else ""
    return section("Quality", _verdict(found, reason) + _charts(found) + _counts(found)) + pair


def _verdict(found: Quality, reason: object) -> str:
    name, value = str(found["metric"]).upper(), found.get("value")
    low, high = found.get("low"), found.get("high")
    between = f", between {number(low)} and {number(high)} with 95 % confidence" if None not in (low, high) else ""
    then = f"; it was {number(found['baseline'])} in training" if found.get("baseline") is not None else ""
    said = f"{escape(name)} is {number(value)}{between}{then}." if value is not None else ""
    if reason:
        return f'<p class="verdict"><b class="warn">Not judged:</b>{escape(str(reason))}. {said}</p>'
    word = "Beyond its limit" if found["broken"] else "Within its limit"
    return f'<p class="verdict"><b class="{verdict_class(not found["broken"])}">{word}:</b>{said}</p>'


def _charts(found: Quality) -> str:
    name, bound, baseline = str(found["metric"]).upper(), limit_of(found), found.get("baseline")
    marks = [("baseline", "in training", float(baseline))] if baseline is not None else []
    marks += [("limit", "limit", bound)] if bound is not None else []
    body = ""
    if found.get("value") is not None:
        ends = (found.get("low"), found.get("high"))
        chart = interval(found["value"], *ends, marks, label=f"{name} with its interval")
        body += f'<div class="scroll wide">{chart}</div>'
    daily = found.get("daily") or []
    if sum(each["value"] is not None for each in daily) > 1:
        days = [str(each["day"]) for each in daily]
        chart = by_day(days, [each["value"] for each in daily], marks, label=f"{name} by day")
        body += f'<h3>{escape(name)} by day</h3><div class="scroll wide">{chart}</div>'
    return body


def _counts(found: Quality) -> str:
    counts = (
        ("labelled", "predictions with their label"),
        ("unlabelled", "without one"),
        ("unusable", "labels that are none"),
        ("unknown_ids", "labels of no captured request"),
        ("twice", "labelled more than once, where the newest counts"),
    )
    told = [f"{found[name]:,} {text}" for name, text in counts if found.get(name)]
    return f'<p class="quiet">{"; ".join(told)}.</p>' if told else ""


def limit_of(quality: Quality) -> float | None:
    """Return where the limit of a loss lies: below the baseline of a score, above that of an error; None for none."""
    limit, baseline, loss, value = (quality.get(name) for name in ("limit", "baseline", "loss", "value"))
    if limit is None or baseline is None or loss is None or value is None:
        return None
    fell = baseline - value
    is_score = abs(fell - loss) <= abs(fell + loss)
    return float(baseline - limit if is_score else baseline + limit)


def _calibration(points: Sequence[Sequence[float]]) -> str:
    chart = lines(
        {"candidate": [(each[0], each[1]) for each in points]},
        x="mean prediction",
        y="mean label",
        diagonal=True,
        dots="candidate",
        label="Calibration: mean prediction against mean label",
    )
    note = '<p class="quiet">On the dotted line predictions are what happens.</p>'
    return section("Calibration", f'<div class="small">{chart}</div>{note}')
