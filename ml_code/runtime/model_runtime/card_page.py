"""The model card as a page: one HTML file that needs nothing else, to look at, to send, or to keep beside the model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from model_runtime.bias import DESCRIPTIONS
from model_runtime.card import purpose
from model_runtime.card_charts import bars, lines
from model_runtime.judged import Judged
from model_runtime.metrics import binary_classification_metrics
from model_runtime.page_parts import legend, number, page, section, table, verdict_class
from model_runtime.problems import BINARY_CLASSIFICATION

STYLE = Path(__file__).with_name("card.css")
SHOWN_FEATURES = 20
SHOWN_METRICS = {
    "binary_classification": ("auc", "log_loss", "brier_score", "accuracy", "precision", "recall", "f1"),
    "regression": ("mae", "rmse", "mse", "r2"),
}


def card_page(judged: Judged) -> str:
    """The page; sections about what wasn't measured are left out."""
    description = judged.description
    sections = [
        _gate(judged),
        f'<div class="pair">{_curves(judged)}{_calibration(judged)}</div>',
        _attributions(judged),
        _fairness(judged),
        _segments(judged),
        _training(judged),
        _metrics(judged),
        _lineage(judged),
    ]
    return page(
        title=f"{description.model}: model card",
        heading=description.model,
        purpose=purpose(judged),
        style=STYLE.read_text(encoding="utf-8"),
        figures=_figures(judged),
        sections=sections,
    )


def _figures(judged: Judged) -> Iterable[tuple[str, str]]:
    gate, champion = judged.statistics.get("gate"), judged.statistics.get("champion")
    if gate:
        yield (
            "Gate",
            f'<span class="{verdict_class(gate["passed"])}">{"passed" if gate["passed"] else "rejected"}</span>',
        )
    headline = judged.problem.headline
    shown = judged.metrics[headline]
    spread = shown["standard_deviation"]
    plus_minus = "" if isinstance(spread, str) else f" <small>± {spread:.2g}</small>"
    yield headline.upper(), f"{number(shown['value'])}{plus_minus}"
    if champion and champion["compared"]:
        difference = champion["difference"]
        of = f"<small>version {champion['version']}</small>"
        yield f"Champion's {difference['metric'].upper()}", f"{number(difference['champion'])} {of}"
    dataset = judged.statistics["dataset"]
    yield "Test rows", f"{dataset['item_count']:,}"
    yield judged.problem.mean_label.replace("_", " ").capitalize(), number(dataset[judged.problem.mean_label])
    if judged.description.trees:
        yield "Trees", f"{judged.description.trees:,}"


def _gate(judged: Judged) -> str:
    gate, champion = judged.statistics.get("gate"), judged.statistics.get("champion")
    if not gate:
        return ""
    word = "Passed" if gate["passed"] else "Rejected"
    told = f'<p class="verdict"><b class="{verdict_class(gate["passed"])}">{word}:</b>{escape(gate["reason"])}.</p>'
    if champion and champion["compared"]:
        found = champion["difference"]
        sure = f"{number(found['low'])} to {number(found['high'])}"
        told += (
            f'<p class="quiet">Better by {number(found["better_by"])}, and between {sure} with 95 % confidence '
            f"({escape(found['method'])}, {champion['rows']:,} rows that neither model has learned from). The measured "
            f"difference decides; the interval says how much of it may be chance.</p>"
        )
    return section("Gate", told)


def _curves(judged: Judged) -> str:
    if judged.problem is not BINARY_CLASSIFICATION:
        return _errors(judged)
    series = {"candidate": _roc(judged.metrics)}
    names = [("candidate", f"this model, AUC {number(judged.metrics['auc']['value'])}")]
    if judged.rivals:
        of_both = {
            name: binary_classification_metrics(judged.rivals.labels, scores)
            for name, scores in (("candidate", judged.rivals.candidate), ("champion", judged.rivals.champion))
        }
        series = {name: _roc(metrics) for name, metrics in of_both.items()}
        names = [
            (name, f"{'this model' if name == 'candidate' else 'the champion'}, AUC {number(each['auc']['value'])}")
            for name, each in of_both.items()
        ]
    chart = lines(
        series,
        x="false positive rate",
        y="true positive rate",
        diagonal=True,
        label="ROC curve: " + "; ".join(text for _, text in names),
    )
    return section("ROC", chart + legend(names))


def _errors(judged: Judged) -> str:
    errors = sorted(abs(float(each)) for each in judged.predictions - judged.labels)
    count = len(errors)
    points = [(errors[min(int(share / 100 * count), count - 1)], share / 100) for share in range(96)]
    chart = lines({"candidate": points}, x="absolute error", y="share of rows with at most this error", label="Errors")
    return section("Errors", chart)


def _roc(metrics: Mapping[str, Any]) -> list[tuple[float, float]]:
    curve = metrics["receiver_operating_characteristic_curve"]
    return list(zip(curve["false_positive_rates"], curve["true_positive_rates"], strict=True))


def _calibration(judged: Judged) -> str:
    points = [(predicted, observed) for predicted, observed, _ in judged.calibration()]
    chart = lines(
        {"candidate": points},
        x="mean prediction of a tenth of the rows",
        y="mean label",
        diagonal=True,
        dots="candidate",
        label="Calibration: mean prediction against mean label",
    )
    return section("Calibration", chart + '<p class="quiet">On the dotted line predictions are what happens.</p>')


def _attributions(judged: Judged) -> str:
    found = judged.explanations
    if found is None:
        return ""
    ranked = dict(sorted(found.global_values.items(), key=lambda each: -each[1])[:SHOWN_FEATURES])
    unit = "log odds" if judged.problem is BINARY_CLASSIFICATION else "the label's unit"
    chart = bars(ranked, found.signed, label="Mean absolute SHAP value of each feature")
    names = [("raises", "more of it raises the prediction"), ("lowers", "more of it lowers the prediction")]
    note = f'<p class="quiet">Mean absolute SHAP value in {unit}, of {found.rows:,} test rows (TreeSHAP).</p>'
    return section("What predictions rest on", chart + legend(names) + note)


def _fairness(judged: Judged) -> str:
    rows = []
    for group in judged.groups:
        for name, value in {**group.before, **group.after}.items():
            least, most = group.facet.limits.get(name, (-math.inf, math.inf))
            limits = " to ".join(f"{each:g}" for each in (least, most) if math.isfinite(each))
            fits = least <= value <= most
            shown = f'<span class="{verdict_class(fits) if limits else ""}">{number(value)}</span>'
            group_name = f"{group.facet.feature} {group.facet.shown}"
            rows.append((escape(group_name), f"{escape(DESCRIPTIONS[name])} ({name})", shown, limits))
    if not rows:
        return ""
    return section("Fairness", table(("Group", "Metric", "#Value", "#Limit"), rows))


def _segments(judged: Judged) -> str:
    rows = [
        (
            escape(each.name),
            f"{each.rows:,}",
            number(each.label_mean),
            number(each.prediction_mean),
            number(each.metric),
        )
        for each in judged.segments()
    ]
    if not rows:
        return ""
    heads = ("Segment", "#Rows", "#Mean label", "#Mean prediction", f"#{judged.problem.headline.upper()}")
    return section("Segments", table(heads, rows))


def _training(judged: Judged) -> str:
    report = judged.diagnostics
    if report is None:
        return ""
    body = ""
    for stage, series in report["history"].items():
        for name, values in list(series.items())[-1:]:
            finite = [(float(index), float(value)) for index, value in enumerate(values) if math.isfinite(value)]
            if len(finite) > 1:
                chart = lines({"candidate": finite}, x="round", y=name, label=f"{name} by round of {stage}")
                body += f'<div style="max-width: 560px">{chart}</div>'
    rows = []
    messages = {each["rule"]: each["message"] for each in report["findings"]}
    for name, rule in report["rules"].items():
        kind = {"held": "good", "broken": "bad"}.get(rule["status"], "quiet")
        limits = ", ".join(f"{key} {value:g}" for key, value in rule.items() if key not in ("action", "status"))
        status = f'<span class="{kind}">{escape(rule["status"])}</span>'
        rows.append((escape(name.replace("_", " ")), status, escape(limits), escape(messages.get(name, ""))))
    body += table(("Rule", "State", "Threshold", "Finding"), rows)
    if report["unused_features"]:
        body += f'<p class="quiet">No tree splits on {escape(", ".join(report["unused_features"]))}.</p>'
    return section("Training", body)


def _metrics(judged: Judged) -> str:
    names = SHOWN_METRICS[judged.problem.name]
    standard = set(judged.problem.metrics(judged.labels, judged.predictions))
    own = [name for name in judged.metrics if name not in standard]
    rows = []
    for name in [*names, *own]:
        value = judged.metrics[name]
        rows.append((escape(name), number(value["value"]), number(value["standard_deviation"])))
    return section("Metrics", table(("Metric", "#Value", "#Standard deviation"), rows))


def _lineage(judged: Judged) -> str:
    description = judged.description
    dataset = judged.statistics["dataset"]
    rows = [
        (f"{part} days", f"{span['first']} to {span['last']}, {description.rows[part]:,} rows")
        for part, span in description.days.items()
        if span
    ]
    if "first_day" in dataset:
        rows.append(("test days", f"{dataset['first_day']} to {dataset['last_day']}, {dataset['item_count']:,} rows"))
    rows += [(name, f"<code>{escape(value)}</code>") for name, value in judged.lineage.items()]
    rows.append(("algorithm", escape(judged.algorithm)))
    for name, pairs in (("hyperparameters", description.hyperparameters), ("made with", description.versions)):
        if pairs:
            rows.append((name, f"<code>{escape(_pairs(pairs))}</code>"))
    return section("Lineage", table(("What", "Value"), rows))


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
