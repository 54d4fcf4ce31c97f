"""Rates, times of the calendar in a time zone, and single moments."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local_aws.schedules.expressions import parse_expression

BEGIN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def moments(expression: str, after: str, count: int, timezone: str = "UTC", begin: datetime = BEGIN) -> list[str]:
    parsed, found = parse_expression(expression, timezone), []
    moment: datetime | None = datetime.fromisoformat(after).replace(tzinfo=UTC)
    while moment is not None and len(found) < count and (moment := parsed.next_after(moment, begin)) is not None:
        found.append(moment.strftime("%Y-%m-%d %H:%M"))
    return found


def test_rate_runs_when_it_begins_and_then_regularly() -> None:
    assert moments("rate(1 day)", "2026-03-01 12:29", 2) == ["2026-03-01 12:30", "2026-03-02 12:30"]
    assert moments("rate(90 minutes)", "2026-03-01 12:30", 2) == ["2026-03-01 14:00", "2026-03-01 15:30"]
    assert moments("rate(2 hours)", "2026-03-05 01:00", 1) == ["2026-03-05 02:30"]


def test_start_date_is_a_time_to_run_at_if_the_expression_has_it() -> None:
    assert moments("cron(30 12 * * ? *)", "2026-01-01 00:00", 2) == ["2026-03-01 12:30", "2026-03-02 12:30"]


def test_times_of_the_calendar_follow_the_clocks_of_their_zone() -> None:
    assert moments("cron(0 6 * * ? *)", "2026-03-28 00:00", 2, "Europe/Berlin") == [
        "2026-03-28 05:00",
        "2026-03-29 04:00",
    ]


def test_time_that_is_left_out_when_clocks_go_forward_is_skipped() -> None:
    assert moments("cron(30 2 * * ? *)", "2026-03-28 00:00", 2, "Europe/Berlin") == [
        "2026-03-28 01:30",
        "2026-03-30 00:30",
    ]


def test_time_that_comes_twice_when_clocks_go_back_counts_once() -> None:
    assert moments("cron(30 2 * * ? *)", "2026-10-24 12:00", 2, "Europe/Berlin") == [
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ]
    assert moments("cron(30 2 * * ? *)", "2026-10-25 01:10", 1, "Europe/Berlin") == ["2026-10-26 01:30"]


def test_single_moment_is_one_of_its_zone_and_passes() -> None:
    assert moments("at(2026-07-01T08:00:00)", "2026-03-01 00:00", 5, "America/New_York") == ["2026-07-01 12:00"]
    assert parse_expression("at(2026-07-01T08:00:00)").once


@pytest.mark.parametrize(
    ("expression", "timezone", "reason"),
    [
        ("every day", "UTC", "must be rate"),
        ("rate(1 hours)", "UTC", "got '1 hours'"),
        ("rate(5 hour)", "UTC", "got '5 hour'"),
        ("rate(0 minutes)", "UTC", "positive whole number"),
        ("rate(1 week)", "UTC", "minute"),
        ("at(2026-07-01)", "UTC", "yyyy-mm-ddThh:mm:ss"),
        ("at(2026-02-30T08:00:00)", "UTC", "yyyy-mm-ddThh:mm:ss"),
        ("cron(0 6 * * * *)", "UTC", r"cron\(0 6 \* \* \* \*\): exactly one"),
        ("rate(1 day)", "Mars/Olympus", "'Mars/Olympus' is not the name of a time zone"),
        ("rate(1 day)", "../etc/passwd", "is not the name of a time zone"),
    ],
)
def test_wrong_expression_is_refused_with_what_is_right(expression: str, timezone: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_expression(expression, timezone)
