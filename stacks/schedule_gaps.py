"""How long a schedule goes without a run: what alarms and cool-downs have to wait through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

HOUR, DAY = 1, 24
_FIRST = datetime(2012, 1, 1, tzinfo=UTC)
_DAYS = 366 * 2
_NAMES = {
    name: number
    for names, first in (("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1), ("SUN MON TUE WED THU FRI SAT", 1))
    for number, name in enumerate(names.split(), first)
}
_PART = re.compile(r"(\*|\?|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def longest_gap_hours(schedule: str) -> int:
    """The longest time between two runs of an EventBridge schedule, in whole hours, rounded up, at least 1.

    A month, or the longest time between two of its months, where days are told as `L`, `W` or `#`.
    """
    kind, _, content = schedule.removesuffix(")").partition("(")
    if kind == "rate":
        number, unit = content.split()
        minutes = int(number) * {"minute": 1, "hour": 60, "day": 24 * 60}[unit.removesuffix("s")]
        return max(-(-minutes // 60), HOUR)
    runs = list(_runs(content.split()))
    gaps = [after - before for before, after in pairwise(runs)]
    longest = max(gaps, default=timedelta(days=_DAYS))
    return max(-(-int(longest.total_seconds()) // 3600), HOUR)


def _runs(fields: list[str]) -> Iterator[datetime]:
    minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
    months = _values(fields[3], 1, 12)
    special = any(re.search(r"[LW#]", re.sub(r"[A-Z]{3}", "", each.upper())) for each in (fields[2], fields[4]))
    days = {1} if special else _values(fields[2], 1, 31)
    weekdays = set(range(1, 8)) if special else _values(fields[4], 1, 7)
    for number in range(_DAYS):
        day = _FIRST + timedelta(days=number)
        if day.month in months and day.day in days and day.isoweekday() % 7 + 1 in weekdays:
            for hour in sorted(hours):
                for minute in (min(minutes), max(minutes)):
                    yield day.replace(hour=hour, minute=minute)


def _values(field: str, least: int, most: int) -> set[int]:
    """The numbers that a field of a cron means; a range may go round, as FRI-MON."""
    found: set[int] = set()
    for part in field.upper().split(","):
        matched = _PART.fullmatch(part)
        assert matched, f"{part!r} is checked where settings are read"
        step = int(matched[4] or 1)
        if matched[1] in "*?":
            found |= set(range(least, most + 1, step))
            continue
        first, last = (None if end is None else int(_NAMES.get(end, end)) for end in (matched[2], matched[3]))
        assert first is not None
        if last is None:
            last = most if matched[4] else first
        span = range(first, (last if last >= first else last + most - least + 1) + 1, step)
        found |= {(each - least) % (most - least + 1) + least for each in span}
    return found
