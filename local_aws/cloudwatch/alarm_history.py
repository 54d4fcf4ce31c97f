"""DescribeAlarmHistory, which moto doesn't have: the states that alarms have come to, and from which."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

MOST = 10_000
"""So many changes are kept of all alarms of an account and region."""


def answer_history() -> None:
    """Have moto's CloudWatch answer DescribeAlarmHistory from here."""
    CloudWatchResponse.describe_alarm_history = _describe


def note_state(backend: Any, alarm: Any, before: Mapping[str, Any], moment: datetime) -> None:
    """Keep a change of an alarm's state."""
    told = {
        "version": "1.0",
        "oldState": {"stateValue": before["value"], "stateReason": before["reason"]},
        "newState": {"stateValue": alarm.state_value, "stateReason": alarm.state_reason},
    }
    kept: list[dict[str, Any]] = backend.__dict__.setdefault("alarm_history", [])
    kept.append(
        {
            "AlarmName": alarm.name,
            "AlarmType": "MetricAlarm",
            "Timestamp": moment,
            "HistoryItemType": "StateUpdate",
            "HistorySummary": f"Alarm updated from {before['value']} to {alarm.state_value}",
            "HistoryData": json.dumps(told),
        }
    )
    del kept[:-MOST]


def _describe(response: Any) -> ActionResult:
    name, kind = response._get_param("AlarmName"), response._get_param("HistoryItemType")
    start, end = (_moment(response._get_param(each)) for each in ("StartDate", "EndDate"))
    found = [
        each
        for each in response.cloudwatch_backend.__dict__.get("alarm_history", [])
        if name in (None, each["AlarmName"])
        and kind in (None, each["HistoryItemType"])
        and (start is None or each["Timestamp"] >= start)
        and (end is None or each["Timestamp"] <= end)
    ]
    if response._get_param("ScanBy") != "TimestampAscending":
        found.reverse()
    first = int(response._get_param("NextToken") or 0)
    last = first + int(response._get_param("MaxRecords") or 100)
    more = {"NextToken": str(last)} if last < len(found) else {}
    return ActionResult({"AlarmHistoryItems": found[first:last], **more})


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
