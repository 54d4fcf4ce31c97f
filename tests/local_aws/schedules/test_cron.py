"""AWS's cron expressions, by the examples of the user guide of EventBridge and what follows from its rules."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from local_aws.schedules.cron import Cron

# a Wednesday
START = datetime(2026, 4, 1)


def times(expression: str, count: int, after: datetime = START) -> list[str]:
    """Return the next times of an expression, from a moment on, as `<weekday> <date> <time>`."""
    cron, found = Cron(expression), []
    moment: datetime | None = after - timedelta(microseconds=1)
    while moment is not None and len(found) < count and (moment := cron.next_after(moment)) is not None:
        found.append(moment.strftime("%a %Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 10 * * ? *", ["Wed 2026-04-01 10:00", "Thu 2026-04-02 10:00", "Fri 2026-04-03 10:00"]),
        ("15 12 * * ? *", ["Wed 2026-04-01 12:15", "Thu 2026-04-02 12:15"]),
        ("0 18 ? * MON-FRI *", ["Wed 2026-04-01 18:00", "Thu 2026-04-02 18:00", "Fri 2026-04-03 18:00",
                                "Mon 2026-04-06 18:00"]),
        ("0 8 1 * ? *", ["Wed 2026-04-01 08:00", "Fri 2026-05-01 08:00", "Mon 2026-06-01 08:00"]),
        ("0/15 * * * ? *", ["Wed 2026-04-01 00:00", "Wed 2026-04-01 00:15", "Wed 2026-04-01 00:30",
                            "Wed 2026-04-01 00:45", "Wed 2026-04-01 01:00"]),
        ("5,35 14 * * ? *", ["Wed 2026-04-01 14:05", "Wed 2026-04-01 14:35", "Thu 2026-04-02 14:05"]),
        ("15 10 ? * 6L 2026-2027", ["Fri 2026-04-24 10:15", "Fri 2026-05-29 10:15", "Fri 2026-06-26 10:15"]),
        ("1/10 0 * * ? *", ["Wed 2026-04-01 00:01", "Wed 2026-04-01 00:11", "Wed 2026-04-01 00:21"]),
        ("0 0 ? * 3#2 *", ["Tue 2026-04-14 00:00", "Tue 2026-05-12 00:00", "Tue 2026-06-09 00:00"]),
        ("0 0 3W * ? *", ["Fri 2026-04-03 00:00", "Mon 2026-05-04 00:00", "Wed 2026-06-03 00:00"]),
        ("0 0 1-15 JAN,FEB,MAR ? 2027", ["Fri 2027-01-01 00:00", "Sat 2027-01-02 00:00"]),
    ],
)  # fmt: skip
def test_documented_expressions_mean_what_the_guide_says(expression: str, expected: list[str]) -> None:
    assert times(expression, len(expected)) == expected


def test_steps_within_working_hours_end_with_the_last_hour() -> None:
    found = times("0/5 8-17 ? * MON-FRI *", 121)
    assert (found[0], found[119], found[120]) == (
        "Wed 2026-04-01 08:00", "Wed 2026-04-01 17:55", "Thu 2026-04-02 08:00",
    )  # fmt: skip


def test_hours_over_midnight_belong_to_both_days() -> None:
    found = times("0/30 20-2 ? * MON-FRI *", 14)
    assert [time[15:] for time in found] == [
        "00:00", "00:30", "01:00", "01:30", "02:00", "02:30",
        "20:00", "20:30", "21:00", "21:30", "22:00", "22:30", "23:00", "23:30",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 L * ? *", ["Thu 2026-04-30 00:00", "Sun 2026-05-31 00:00", "Tue 2026-06-30 00:00"]),
        ("0 0 L FEB ? *", ["Sun 2027-02-28 00:00", "Tue 2028-02-29 00:00"]),
        ("0 0 1,L * ? *", ["Wed 2026-04-01 00:00", "Thu 2026-04-30 00:00", "Fri 2026-05-01 00:00"]),
        ("0 0 ? * L *", ["Sat 2026-04-04 00:00", "Sat 2026-04-11 00:00"]),
        ("0 0 ? * FRIL *", ["Fri 2026-04-24 00:00"]),
        ("0 0 1W AUG ? *", ["Mon 2026-08-03 00:00"]),
        ("0 0 31W MAY ? *", ["Fri 2026-05-29 00:00"]),
        ("0 0 31 * ? *", ["Sun 2026-05-31 00:00", "Fri 2026-07-31 00:00"]),
        ("0 0 31W APR ? *", []),
        ("0 0 ? * MON#5 *", ["Mon 2026-06-29 00:00", "Mon 2026-08-31 00:00"]),
        ("0 0 ? * FRI-SUN *", ["Fri 2026-04-03 00:00", "Sat 2026-04-04 00:00", "Sun 2026-04-05 00:00"]),
        ("0 0 ? * 1 *", ["Sun 2026-04-05 00:00"]),
        ("0 0 29 2 ? *", ["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00"]),
        ("0 0 */10 dec ? *", ["Tue 2026-12-01 00:00", "Fri 2026-12-11 00:00", "Mon 2026-12-21 00:00",
                              "Thu 2026-12-31 00:00"]),
        ("0 6-18/6 * * ? 2030", ["Tue 2030-01-01 06:00", "Tue 2030-01-01 12:00", "Tue 2030-01-01 18:00"]),
    ],
)  # fmt: skip
def test_days_are_found_by_the_rules_of_their_wildcards(expression: str, expected: list[str]) -> None:
    assert times(expression, len(expected) or 1) == expected


def test_expression_ends_with_its_last_year() -> None:
    assert times("0 12 31 12 ? 2026", 5) == ["Thu 2026-12-31 12:00"]
    assert times("0 12 * * ? 2025", 5) == []


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 10 * * ?", "six fields"),
        ("0 10 * * * *", "exactly one of day of month and day of week"),
        ("0 10 ? * ? *", "exactly one of day of month and day of week"),
        ("0 10 1 * MON *", "exactly one of day of month and day of week"),
        ("60 10 * * ? *", "minutes must be 0-59, got '60'"),
        ("0 24 * * ? *", "hours must be 0-23"),
        ("0 10 0 * ? *", "day of month must be 1-31"),
        ("0 10 32W * ? *", "day of month must be 1-31"),
        ("0 10 * FOO ? *", "month must be 1-12 or JAN-DEC, got 'FOO'"),
        ("0 10 ? * 0 *", "day of week must be 1-7 or SUN-SAT"),
        ("0 10 ? * 3#6 *", "such as 3#2"),
        ("0 10 ? * 3#1,6#3 *", "must be one weekday"),
        ("0 10 ? * MON/2 *", "day of week has no steps"),
        ("0/0 10 * * ? *", "must be a positive whole number"),
        ("0 10 * * ? 1969", "year must be 1970-2199"),
        ("? 10 * * ? *", "minutes must be 0-59"),
        ("1, 10 * * ? *", "minutes must be 0-59, got ''"),
    ],
)
def test_wrong_expression_is_refused_by_its_field(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Cron(expression)
