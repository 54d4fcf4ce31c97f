"""The monitor's report as a page: what moved, since when, how sure that is, and what happens next.

It is made of report.json alone and needs nothing else: no network, no script. Whatever the report leaves out, the page
says why, or leaves out too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from model_runtime.monitor import report_charts as charts
from model_runtime.monitor.report_features import bin_names, feature_list
from model_runtime.monitor.report_quality import quality_sections
from model_runtime.page_parts import legend, number, page, section, table, verdict_class

STYLE = Path(__file__).with_name("report.css")
SHOWN_VIOLATIONS = 50
SHOWN_ATTRIBUTIONS = 15
UNJUDGED = {"too_few_rows": "too few rows to judge", "no_baseline": "this version has no baseline to compare with"}
THEN_AND_NOW = (("then", "baseline"), ("now", "this window"))

Report = Mapping[str, Any]


def report_page(report: Report) -> str:
    """Return the page of a report, as report.json holds it."""
    model, window = str(report["model"]), report["window"]
    source = "endpoint" if report["source"] == "endpoint" else "batch predictions"
    return page(
        title=f"{model}: {headline(report)}",
        heading=model,
        purpose=f"{source} {report['name']} · {_package(report)} · {_moment(window['start'])} to "
        f"{_moment(window['end'])} UTC",
        style=STYLE.read_text(encoding="utf-8"),
        figures=_figures(report),
        sections=[_verdict(report), *([] if report["status"] == "no_traffic" else _judged(report)), _captures(report)],
    )


def _judged(report: Report) -> list[str]:
    return [
        _features(report),
        _predictions(report),
        quality_sections(report),
        _bias(report),
        _attributions(report),
        _violations(report),
    ]


def headline(report: Report) -> str:
    """Return the verdict in a few words."""
    status = report["status"]
    if status == "no_traffic":
        return "no traffic in this window"
    found = list(dict.fromkeys(_kind(each) for each in report["findings"]))
    moved = len({each["feature"] for each in report["findings"] if _kind(each) == "feature"})
    told = {
        "feature": f"{moved} feature{'' if moved == 1 else 's'} moved",
        "shift": "predictions are others than in training",
        "quality": "quality fell",
        "bias": "fairness limits are broken",
        "attribution": "predictions rest on other features than in training",
        "data": "the data has faults",
    }
    words = [told.get(kind, kind) for kind in sorted(found, key=lambda kind: [*told, kind].index(kind))]
    if words:
        return ", ".join(words)
    if status in UNJUDGED:
        return UNJUDGED[status]
    return "something is wrong" if status == "drifted" else "calm, nothing is beyond its limits"


def _kind(finding: Mapping[str, Any]) -> str:
    """Its kind; drift is of a feature."""
    kind = str(finding["kind"])
    return "feature" if kind == "drift" else kind


def _verdict(report: Report) -> str:
    kind = {"calm": "good", "drifted": "bad"}.get(report["status"], "warn")
    words = headline(report)
    body = f'<h2 class="{kind}">{escape(words[:1].upper() + words[1:])}</h2>'
    findings = [escape(str(each["text"])) + _since(report, each) for each in report["findings"]]
    if findings:
        body += f"<ul>{''.join(f'<li>{each}</li>' for each in findings)}</ul>"
    body += "".join(f'<p class="quiet">{escape(each)}</p>' for each in _caveats(report))
    if report.get("next"):
        body += f"<p><b>Next:</b> {escape(str(report['next']))}</p>"
    return f'<section class="banner {kind}">{body}</section>'


def _since(report: Report, finding: Mapping[str, Any]) -> str:
    """How long a feature has been beyond its threshold, unless the finding says so itself."""
    of = next((each for each in report["features"] if each["name"] == finding.get("feature")), None)
    since = (of or {}).get("since")
    if not since or str(since) in str(finding["text"]):
        return ""
    return f' <span class="quiet">since {escape(str(since))}</span>'


def _caveats(report: Report) -> Iterable[str]:
    captures = report.get("captures") or {}
    if captures.get("broken"):
        count = captures["broken"]
        yield f"{_count(count, 'captured line')} could not be read, and {'is' if count == 1 else 'are'} left out."
    hours = captures.get("hours_without") or []
    if hours and report["status"] != "no_traffic":
        yield f"{_count(len(hours), 'hour')} of the window {'has' if len(hours) == 1 else 'have'} no capture."
    moved = [str(each["name"]) for each in report["features"] if each["moved"]]
    if moved and report["status"] == "calm":
        yield f"Beyond its limit, but too few to count: {', '.join(moved)}."
    unjudged = [each["name"] for each in report["features"] if not each["judged"]]
    if unjudged and report["status"] not in (*UNJUDGED, "no_traffic"):
        yield f"Not judged, as there is too little of it: {', '.join(unjudged)}."


def _figures(report: Report) -> Iterable[tuple[str, str]]:
    features, quality, attributions = report["features"], report.get("quality"), report.get("attributions")
    yield "Rows", f"{report['rows']:,}"
    judged = [each for each in features if each["judged"]]
    if judged:
        moved, is_calm = sum(bool(each["moved"]) for each in judged), report["status"] == "calm"
        yield (
            "Features moved",
            f'<span class="{verdict_class(not moved or is_calm)}">{moved}</span> <small>of {len(judged)}</small>',
        )
    if report.get("predictions") and report["predictions"].get("psi") is not None:
        yield "Predictions' shift", f"{_brief(report['predictions']['psi'])} <small>PSI</small>"
    if quality and quality["value"] is not None:
        of = f"<small>was {_brief(quality['baseline'])}</small>"
        shown = f'<span class="{"bad" if quality["broken"] else ""}">{_brief(quality["value"])}</span>'
        yield str(quality["metric"]).upper(), f"{shown} {of}"
    if attributions:
        shown = f'<span class="{"bad" if attributions["broken"] else ""}">{_brief(attributions["ndcg"])}</span>'
        yield "Attributions", f"{shown} <small>NDCG</small>"


def _brief(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _features(report: Report) -> str:
    if not report["features"]:
        return ""
    return section("Features", legend([*THEN_AND_NOW, ("limit", "threshold")]) + feature_list(report["features"]))


def _predictions(report: Report) -> str:
    found = report.get("predictions")
    if not found:
        return ""
    names = bin_names(found.get("edges"), None, len(found["now"]))
    chart = charts.histogram(
        found["baseline"],
        found["now"],
        names,
        width=920,
        height=130,
        label=f"Predictions then and now, PSI {number(found['psi'])}",
    )
    ends = ""
    if names:
        ends = f'<p class="quiet">From {escape(names[0])} at the left to {escape(names[-1])} at the right.</p>'
    told = f'<p class="quiet">PSI {number(found["psi"])}, of {found["rows"]:,} predictions.</p>'
    return section("Predictions", f'<div class="scroll wide">{chart}</div>{ends}{legend(THEN_AND_NOW)}{told}')


def _bias(report: Report) -> str:
    rows, broken = [], []
    for each in report.get("bias") or []:
        broken += [escape(str(sentence)) for sentence in each.get("broken") or []]
        baseline, intervals = each.get("baseline") or {}, each.get("intervals") or {}
        for name, value in each["metrics"].items():
            ends = [end for end in intervals.get(name) or () if end is not None]
            between = f"{number(ends[0])} to {number(ends[1])}" if len(ends) == 2 else ""
            facet = escape(str(each["facet"]))
            rows.append((facet, escape(str(name)), number(baseline.get(name)), number(value), between))
    if not rows:
        return ""
    told = "".join(f'<p class="verdict"><b class="bad">Broken:</b>{each}</p>' for each in broken)
    told = told or '<p class="verdict"><b class="good">Held:</b>every limit.</p>'
    heads = ("Group", "Metric", "#In training", "#Now", "#With 95 % confidence")
    return section("Fairness", told + table(heads, rows))


def _attributions(report: Report) -> str:
    found = report.get("attributions")
    if not found:
        return _unjudged("What predictions rest on", report.get("attributions_reason"))
    word = "Changed" if found["broken"] else "As in training"
    told = (
        f'<p class="verdict"><b class="{verdict_class(not found["broken"])}">{word}:</b>the order of the features has '
        f"an NDCG of {number(found['ndcg'])} against training (1 is the same, {number(found['minimum'])} the least "
        f"allowed), by {found['rows']:,} rows.</p>"
    )
    now, before = found["now"], found["baseline"]
    ranks = [
        {name: rank for rank, name in enumerate(sorted(each, key=lambda name: -each[name]), 1)}
        for each in (before, now)
    ]
    names = sorted(now, key=lambda name: -now[name])[:SHOWN_ATTRIBUTIONS]
    rows = [
        (
            escape(name),
            _rank(ranks[0].get(name)),
            _rank(ranks[1].get(name)),
            number(before.get(name)),
            number(now[name]),
        )
        for name in names
    ]
    heads = ("Feature", "#Rank in training", "#Rank now", "#Mean |SHAP| in training", "#Now")
    return section("What predictions rest on", told + table(heads, rows))


def _unjudged(title: str, reason: object) -> str:
    """Why there is nothing to show, where there was something to ask."""
    return section(title, f'<p class="quiet">Not judged: {escape(str(reason))}.</p>') if reason else ""


def _rank(rank: int | None) -> str:
    return "–" if rank is None else f"{rank}"


def _violations(report: Report) -> str:
    found = report.get("violations") or []
    if not found:
        return ""
    rows = [
        tuple(escape(str(each.get(key, ""))) for key in ("feature_name", "constraint_check_type", "description"))
        for each in found[:SHOWN_VIOLATIONS]
    ]
    more = len(found) - len(rows)
    rest = f'<p class="quiet">and {more:,} more, in constraint_violations.json.</p>' if more > 0 else ""
    return section("Violated constraints", table(("Feature", "Check", "What"), rows) + rest)


def _captures(report: Report) -> str:
    found = report.get("captures")
    if not found:
        return ""
    told = f"<p>{_count(found['records'], 'record')} in {_count(found['files'], 'file')}.</p>"
    spans = list(_spans(found.get("hours_without") or []))
    if spans:
        told += f"<p>No capture: {escape('; '.join(spans))} (UTC).</p>"
    if found.get("unanswered"):
        told += f"<p>{_count(found['unanswered'], 'record')} without an answer that could be read.</p>"
    told += _broken("captured line", found)
    labels = found.get("ground_truth")
    if labels:
        told += f"<p>{_count(labels['records'], 'label')} in {_count(labels['files'], 'file')} of ground truth.</p>"
        told += _broken("line of ground truth", labels)
    return section("Captured requests", told)


def _broken(what: str, counted: Mapping[str, Any]) -> str:
    """The lines that can't be read, by file."""
    if not counted.get("broken"):
        return ""
    rows = [
        (escape(str(each.get("file", ""))), escape(str(each.get("line", ""))), escape(str(each.get("reason", ""))))
        for each in counted.get("examples") or []
    ]
    title = f"<h3>{_count(counted['broken'], what)} that can't be read</h3>"
    return title + (table(("File", "#Line", "Reason"), rows) if rows else "")


def _spans(hours: Sequence[str]) -> Iterable[str]:
    """Hours in a row as one span, its end exclusive."""
    moments = sorted(datetime.fromisoformat(str(each).replace("Z", "+00:00")) for each in hours)
    hour = timedelta(hours=1)
    start = None
    for index, moment in enumerate(moments):
        start = start or moment
        if index + 1 == len(moments) or moments[index + 1] - moment > hour:
            yield f"{start:%Y-%m-%d %H:%M} to {moment + hour:%Y-%m-%d %H:%M}"
            start = None


def _package(report: Report) -> str:
    package = report.get("package") or {}
    if not package.get("version"):
        return "no version"
    since = f", serving since {_moment(package['since'])}" if package.get("since") else ""
    return f"version {package['version']}{since}"


def _moment(text: object) -> str:
    return str(text)[:16].replace("T", " ")


def _count(count: int, what: str) -> str:
    first, _, rest = what.partition(" of ")
    many = first if count == 1 else f"{first}s"
    return f"{count:,} {many}" + (f" of {rest}" if rest else "")
