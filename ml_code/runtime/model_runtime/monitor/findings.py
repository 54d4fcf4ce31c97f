"""What a run found, in sentences, and what that means: the status, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from model_runtime.monitor.concerned_rows import EXTRA, MISSING, TYPE, ConcernedRows
from model_runtime.monitor.lake import HOUR
from model_runtime.monitor.settings import MonitorSettings
from model_runtime.monitor.window import shown

CALM, DRIFTED, TOO_FEW, NO_TRAFFIC, NO_BASELINE = "calm", "drifted", "too_few_rows", "no_traffic", "no_baseline"
JUDGED = (CALM, DRIFTED)
SHIFT_LIMIT = 0.25
"""A population stability index of predictions above this is a large shift, by the usual reading of the index."""
SCHEMA_CHECKS = (MISSING, EXTRA, TYPE)
BROKEN_SHARE = 0.01
"""More broken lines than this share are a finding, and more rows with a column too many, or a text for a number."""
LONG_GAP = timedelta(hours=24)
"""Hours without a capture that are a finding; at the end of the window they are more than a remark."""
CAUSES = {"drift": "drift", "quality": "quality", "bias": "bias", "attributions": "attribution"}
"""What retrains, and the kind of findings that it is for; a shift of predictions has no alarm."""
PEOPLE_DECIDE = "People decide: none of this starts a training by itself."
LOOKED_BACK = "Nothing: this was a look at another time or version, and counts for no alarm."

Finding = dict[str, Any]
Gap = tuple[datetime, datetime]


def finding(kind: str, text: str, feature: str | None = None) -> Finding:
    """An entry of `findings`."""
    return {"kind": kind, "text": text, "feature": feature}


def drift_findings(features: Sequence[Mapping[str, Any]], settings: MonitorSettings) -> list[Finding]:
    """A sentence for each feature that has moved, the most first; none of fewer than `moved_features`."""
    moved = [each for each in features if each["moved"]]
    if settings.drift is None or len(moved) < settings.moved_features:
        return []
    moved.sort(key=lambda each: -each["score"] / each["threshold"])
    return [finding("drift", _moved(each), each["name"]) for each in moved]


def _moved(feature: Mapping[str, Any]) -> str:
    allowed = f"{feature['threshold']:.3g} is allowed"
    if feature.get("usual") == feature["threshold"]:
        allowed = f"up to {feature['usual']:.2f} is usual, by windows of the training days"
    said = f"{feature['name']} has moved: {_measure(feature)} {feature['score']:.2f}, {allowed}"
    if feature.get("since"):
        said += f", since {feature['since']}"
    means, gaps = feature.get("mean"), feature["missing"]
    if means and means["baseline"] is not None and means["now"] is not None:
        said += f"; mean {means['now']:.4g} instead of {means['baseline']:.4g}"
    if abs(gaps["now"] - gaps["baseline"]) > 0.01:
        said += f"; {gaps['now']:.1%} missing instead of {gaps['baseline']:.1%}"
    if feature.get("new_values"):
        said += f"; new values {', '.join(map(str, feature['new_values'][:5]))}"
    return said


def _measure(feature: Mapping[str, Any]) -> str:
    names = {"psi": "stability index", "robust_distance": "distance", "jensen_shannon": "Jensen-Shannon distance"}
    return names.get(feature.get("measure", "psi"), "score")


def shift_findings(predictions: Mapping[str, Any] | None) -> list[Finding]:
    """A sentence when predictions are others than at the training."""
    if predictions is None or not predictions["judged"] or not predictions["psi"] > SHIFT_LIMIT:
        return []
    text = f"predictions are others than at the training: stability index {predictions['psi']:.2f} of "
    return [finding("shift", f"{text}{predictions['rows']:,} predictions, {SHIFT_LIMIT:g} is a large shift")]


def quality_findings(quality: Mapping[str, Any] | None) -> list[Finding]:
    """A sentence when the quality is worse than allowed."""
    if quality is None or not quality["broken"]:
        return []
    return [
        finding(
            "quality",
            f"{quality['metric']} is {quality['value']:.4g} ({quality['low']:.4g} to {quality['high']:.4g} with 95 % "
            f"confidence) on {quality['labelled']:,} labels, it was {quality['baseline']:.4g} at the training: worse "
            f"by {quality['loss']:.4g}, {quality['limit']:g} is allowed",
        )
    ]


def attribution_findings(attributions: Mapping[str, Any] | None) -> list[Finding]:
    """A sentence when predictions rest on other features."""
    if attributions is None or not attributions["broken"]:
        return []
    then, now = attributions["baseline"], attributions["now"]
    gone = max(then, key=lambda name: then[name] - now.get(name, 0.0))
    come = max(now, key=lambda name: now[name] - then.get(name, 0.0))
    return [
        finding(
            "attribution",
            f"predictions rest on other features than at the training: likeness of the order "
            f"{attributions['ndcg']:.3f}, at least {attributions['minimum']:g} is wanted; {come} counts more, "
            f"{gone} less",
        )
    ]


def data_findings(
    violations: Sequence[Mapping[str, Any]],
    concerned: ConcernedRows | None,
    captures: Mapping[str, Any],
    gap: Gap | None,
    silence: Gap | None = None,
) -> tuple[list[Finding], bool]:
    """Sentences on data that isn't what the model takes, and whether any is more than a remark.

    `gap` is the longest time without any capture, `silence` that at the end of the window, which may go on.
    """
    found = [
        finding("data", f"{each['feature_name']}: {each['description']}", each["feature_name"])
        for each in violations
        if each["constraint_check_type"] in SCHEMA_CHECKS
        and (concerned is None or concerned.share(each) > BROKEN_SHARE)
    ]
    serious = bool(found)
    broken, records = captures["broken"], captures["records"]
    if broken > BROKEN_SHARE * (broken + records):
        first = captures["examples"][0] if captures["examples"] else None
        example = f", as {first['file'].rpartition('/')[2]} line {first['line']}: {first['reason']}" if first else ""
        found.append(finding("data", f"{broken:,} captured lines or rows can't be used{example}"))
    if silence and silence[1] - silence[0] >= LONG_GAP:
        found.append(finding("data", f"nothing has been captured since {shown(silence[0])}"))
        serious = True
    if gap and gap != silence and gap[1] - gap[0] >= LONG_GAP:
        found.append(finding("data", f"nothing was captured from {shown(gap[0])} to {shown(gap[1])}"))
    return found, serious


def last_gap(window: Sequence[datetime], without: Sequence[str]) -> Gap | None:
    """From the last hour with a capture to the end; None where there is no such time, or no capture at all."""
    missing = {datetime.fromisoformat(text) for text in without}
    seen = [hour for hour in window if hour not in missing]
    return (seen[-1] + HOUR, window[-1] + HOUR) if seen and seen[-1] != window[-1] else None


def longest_gap(window: Sequence[datetime], without: Sequence[str]) -> Gap | None:
    """From when to when most hours in a row were without any capture.

    Hours before the first capture aren't counted: nothing may have served then.
    """
    missing = {datetime.fromisoformat(text) for text in without}
    best: Gap | None = None
    last: datetime | None = None
    for hour in [each for each in window if each not in missing] + [window[-1] + HOUR]:
        if last is not None and (best is None or hour - last > best[1] - best[0]):
            best = (last, hour)
        last = hour + HOUR
    return best if best and best[1] > best[0] else None


def next_step(status: str, found: Sequence[Finding], settings: MonitorSettings, reasons: Sequence[str]) -> str:
    """What happens next, in a sentence or two."""
    if status == NO_TRAFFIC:
        return f"Nothing: {'; '.join(reasons) or 'nobody asked the model in this window'}. The next run looks again."
    if status == TOO_FEW:
        return f"Nothing until there are at least {settings.least_rows:,} rows. The next run looks again."
    if status == NO_BASELINE:
        return "Train the model again: versions that are trained from now on are registered with their baseline."
    if status == CALM:
        return "Nothing: the next run looks again."
    kinds = {each["kind"] for each in found}
    if kinds.isdisjoint(CAUSES.values()):
        return PEOPLE_DECIDE
    retrain = settings.retrain
    if not retrain:
        return "The alarms on these metrics tell people, and start a training where the model's settings say so."
    causes = [cause for cause in retrain.get("on") or ("drift", "quality") if CAUSES.get(cause) in kinds]
    if not causes:
        return PEOPLE_DECIDE
    points, of = retrain.get("datapoints", 1), retrain.get("of", 1)
    when = "Now" if of == 1 else f"If {points} of {of} runs find this"
    return f"{when}, the alarm on {' and '.join(causes)} starts a training, whose gate decides whether it is released."
