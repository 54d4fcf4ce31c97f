"""The features in the monitor's report, those that moved first: distribution, score by day, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from model_runtime.monitor.report_charts import histogram, spark
from model_runtime.page_parts import number, table

OPEN_FEATURES = 12
"""So many are shown at once, and more where more have moved."""
METER_ROOM = 2.0
"""A full meter is so many times the threshold."""

EASILY, SURE, RARE = 0.5, 0.01, 0.0001
"""Probabilities by which it is said in words what chance does."""
MEASURES = {"psi": "PSI", "robust_distance": "distance", "jensen_shannon": "Jensen-Shannon"}

Feature = Mapping[str, Any]


def feature_list(features: Sequence[Feature]) -> str:
    """Return all features, the calm ones folded away where there are many."""
    ordered = sorted(features, key=lambda each: (not each["moved"], not each["judged"], -ratio(each), each["name"]))
    shown = max(OPEN_FEATURES, sum(bool(each["moved"]) for each in ordered))
    heads = "".join(f"<div>{each}</div>" for each in ("Feature", "Distribution", "Score by day", "Score"))
    items = [_item(each, len(features)) for each in ordered]
    body = f'<div class="feature heads">{heads}</div><ol class="features">{"".join(items[:shown])}</ol>'
    if len(items) > shown:
        body += (
            f"<details><summary>{len(items) - shown} more, nearer to their baseline</summary>"
            f'<ol class="features">{"".join(items[shown:])}</ol></details>'
        )
    return body


def ratio(feature: Feature) -> float:
    """Return the score in thresholds; 0 for what has none."""
    score, threshold = feature.get("score"), feature.get("threshold")
    return float(score / threshold) if score is not None and threshold else 0.0


def bin_names(edges: Sequence[float | None] | None, categories: Sequence[object] | None, bins: int) -> list[str]:
    """Return what each bin holds: a category, or all between two edges.

    Where there is an edge less than bins, the first and the last bin are open; so is an edge that is none.
    """
    if categories is not None:
        return [str(each) for each in categories]
    bounds = list(edges or [])
    if len(bounds) == bins - 1:
        bounds = [None, *bounds, None]
    return [f"{_edge(low, '-∞')} to {_edge(high, '∞')}" for low, high in pairwise(bounds)]


def _edge(value: float | None, unknown: str) -> str:
    return unknown if value is None else f"{value:,.4g}"


def _item(feature: Feature, tested: int) -> str:
    name, shares = str(feature["name"]), feature["histogram"] or {}
    names = bin_names(shares.get("edges"), shares.get("categories"), len(shares.get("now") or []))
    chart = histogram(
        shares.get("baseline") or [], shares.get("now") or [], names, label=f"{name}: distribution then and now"
    )
    daily = feature.get("daily") or []
    line = spark(
        [str(each["day"]) for each in daily],
        [each["score"] for each in daily],
        daily[-1].get("threshold") if daily else None,
        label=f"{name}: score by day",
    )
    facts = "".join(f"<p>{each}</p>" for each in _facts(feature))
    kind = "moved" if feature["moved"] else "calm"
    return (
        f'<li class="feature {kind}"><div><h3>{escape(name)}</h3>{facts}</div><div>{chart}</div><div>{line}</div>'
        f"<div>{_score(feature, tested)}</div>{_details(feature)}</li>"
    )


def _facts(feature: Feature) -> list[str]:
    found = []
    if feature.get("since"):
        found.append(f"beyond its threshold since {escape(str(feature['since']))}")
    mean = feature.get("mean")
    if mean and mean["baseline"] is not None and mean["now"] is not None:
        found.append(f"mean {number(mean['baseline'])} → {number(mean['now'])}")
    missing = feature.get("missing")
    if missing and (missing["baseline"] or missing["now"]):
        found.append(f"missing {_share(missing['baseline'])} → {_share(missing['now'])}")
    if feature.get("new_values"):
        found.append(f"new: {escape(', '.join(str(each) for each in feature['new_values']))}")
    return found


def _score(feature: Feature, tested: int) -> str:
    if not feature["judged"]:
        return "<small>not judged, too few rows</small>"
    filled, mark = (min(each / METER_ROOM, 1) * 100 for each in (ratio(feature), 1))
    meter = f'<div class="meter"><i style="width: {filled:.0f}%"></i><b style="left: {mark:.0f}%"></b></div>'
    measure = MEASURES.get(str(feature.get("measure")), "")
    limit = "usual" if _is_usual(feature) else "allowed"
    of = f"<small>{measure}, {_brief(feature['threshold'])} is {limit}</small>"
    score = f'<span class="score">{_brief(feature["score"])}</span> {of}'
    return f"{score}{meter}<small>{_sureness(feature, tested)}</small>"


def _is_usual(feature: Feature) -> bool:
    """Whether the threshold is what windows of the training have reached."""
    return bool(feature.get("usual") == feature["threshold"])


def _sureness(feature: Feature, tested: int) -> str:
    p = feature.get("adjusted_p")
    if p is None:
        return ""
    if p >= EASILY:
        told = "as chance does"
    elif not feature["moved"] and p < SURE:
        told = f"hardly chance, and {'usual' if _is_usual(feature) else 'small'}"
    else:
        told = "chance: less than once in 10,000" if p < RARE else f"chance: once in {round(1 / p):,}"
    return f"{told} <span title='adjusted for all {tested} features'>(p {_p(p)})</span>"


def _brief(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _p(value: float) -> str:
    return f"&lt; {RARE:g}" if value < RARE else f"{value:.2g}"


def _details(feature: Feature) -> str:
    """The tests by name, and the quantiles."""
    parts = []
    tests = {name: value for name, value in (feature.get("tests") or {}).items() if value is not None}
    if tests or feature.get("p_value") is not None:
        rows = [(escape(name.replace("_", " ")), number(value)) for name, value in tests.items()]
        if feature.get("p_value") is not None:
            rows.append(("p, before it is adjusted", f"{feature['p_value']:.3g}"))
        parts.append(table(("Distance", "#Value"), rows))
    quantiles = feature.get("quantiles")
    if quantiles:
        heads = ["Quantile", *(f"#{share:.0%}" for share in quantiles["probabilities"])]
        rows_of = [
            [word, *(number(each) for each in quantiles[key])]
            for word, key in (("baseline", "baseline"), ("now", "now"))
        ]
        parts.append(table(heads, rows_of))
    return f"<details><summary>in numbers</summary>{''.join(parts)}</details>" if parts else ""


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
