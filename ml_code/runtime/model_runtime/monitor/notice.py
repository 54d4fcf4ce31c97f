"""The notice for people: what, where, how bad, what happens next; when a model turns bad, and when it is good again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from model_runtime.monitor.findings import CALM, DRIFTED, JUDGED

SUBJECT_CHARACTERS = 99
"""SNS takes fewer than 100, all of them ASCII, without line breaks. Source: Publish in the SNS API reference."""
SHOWN_FINDINGS = 20
LINE_CHARACTERS = 1000
"""What a line of the text shows of what clients have sent: SNS takes 256 KiB in all."""
NAMES = {"shift": "a shift of predictions", "attribution": "attributions"}
"""What a kind of findings is called where it isn't by its own name."""


def is_due(status: str, last: str | None) -> bool:
    """Whether people are told: the status turned bad, or good after it was bad.

    `last` is the status of the last run that could judge, None when there was none.
    """
    return status in JUDGED and status != last and not (status == CALM and last is None)


def subject_of(report: Mapping[str, Any]) -> str:
    """The subject: one line of ASCII."""
    model, name = report["model"], report["name"]
    if report["status"] == DRIFTED:
        kinds = list(dict.fromkeys(NAMES.get(each["kind"], each["kind"]) for each in report["findings"]))
        text = f"{model} ({name}): {' and '.join(kinds)} beyond the limits"
    else:
        text = f"{model} ({name}): back within its limits"
    return re.sub(r"[^\x20-\x7e]", "?", " ".join(text.split()))[:SUBJECT_CHARACTERS].rstrip()


def text_of(report: Mapping[str, Any], page: str | None) -> str:
    """The text; `page` is where the report lies."""
    package, window = report["package"], report["window"]
    version = f"version {package['version']}" if package else "no version"
    source = "the endpoint" if report["source"] == "endpoint" else "the batch predictions"
    lines = [
        f"What: {len(report['findings'])} findings" if report["findings"] else "What: nothing is beyond its limits",
        *(f"- {each['text']}" for each in report["findings"][:SHOWN_FINDINGS]),
        *([f"- and {len(report['findings']) - SHOWN_FINDINGS} more"] * (len(report["findings"]) > SHOWN_FINDINGS)),
        "",
        f"Where: {report['model']}, {version}, {source} {report['name']}",
        f"When: {report['rows']:,} rows from {window['start']} to {window['end']}",
        f"Next: {report['next']}",
    ]
    if page:
        lines.append(f"Report: {page}")
    return "\n".join(map(_line, lines)) + "\n"


def _line(text: str) -> str:
    """One line, whatever clients have sent: no line breaks, no control characters, and not endless."""
    shown = "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
    return shown if len(shown) <= LINE_CHARACTERS else f"{shown[: LINE_CHARACTERS - 1]}…"


def send(topic: str, report: Mapping[str, Any], page: str | None) -> bool:
    """Tell the topic, and say whether that worked.

    What can't be told is printed and doesn't end the job: the report is written already.
    """
    try:
        boto3.client("sns").publish(TopicArn=topic, Subject=subject_of(report), Message=text_of(report, page))
    except (ClientError, BotoCoreError) as error:
        print(f"warning: {topic} can't be told: {' '.join(str(error).split())}", flush=True)
        return False
    return True
