"""AWS's cron expressions: minutes, hours, day of month, month, day of week, year.

Syntax and limits are those of "Cron expressions reference" in the user guide of Amazon EventBridge.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

_MONTHS = {
    "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6, "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11,
    "DEC": 12,
}  # fmt: skip
_WEEKDAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_SATURDAY = _WEEKDAYS["SAT"]
_SUNDAY = _WEEKDAYS["SUN"]


@dataclass(frozen=True)
class _Field:
    """The name, smallest and largest value of a field, the names of its values, and whether it has steps."""

    name: str
    first: int
    last: int
    names: dict[str, int]
    steps: bool = True

    def values(self, text: str) -> frozenset[int]:
        """Return the values that a list of numbers, names, ranges and steps means."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def number(self, text: str) -> int:
        value = self.names.get(text.upper())
        if value is None and text.isascii() and text.isdigit():
            value = int(text)
        if value is None or not self.first <= value <= self.last:
            names = f" or {next(iter(self.names))}-{list(self.names)[-1]}" if self.names else ""
            raise ValueError(f"{self.name} must be {self.first}-{self.last}{names}, got {text!r}")
        return value

    def _part(self, part: str) -> Iterator[int]:
        base, slash, step = part.partition("/")
        low, dash, high = base.partition("-")
        if slash and not self.steps:
            raise ValueError(f"{self.name} has no steps, got {part!r}")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"a step of {self.name} must be a positive whole number, got {part!r}")
        if base == "*":
            start, end = self.first, self.last
        else:
            start = self.number(low)
            end = self.number(high) if dash else self.last if slash else start
        if end < start:
            # 20-2 of hours: over midnight
            end += self.last - self.first + 1
        for value in range(start, end + 1, int(step) if slash else 1):
            yield value if value <= self.last else value - self.last + self.first - 1


_MINUTES = _Field("minutes", 0, 59, {})
_HOURS = _Field("hours", 0, 23, {})
_DAYS = _Field("day of month", 1, 31, {})
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day of week", 1, 7, _WEEKDAYS, steps=False)
_YEARS = _Field("year", 1970, 2199, {})


class Cron:
    """A parsed expression; ValueError says which field is wrong, and how."""

    def __init__(self, text: str) -> None:
        fields = text.split()
        if len(fields) != 6:
            raise ValueError(
                "it needs six fields (minutes, hours, day of month, month, day of week, year), "
                f"got {len(fields)}: {text!r}"
            )
        minutes, hours, day, month, weekday, year = fields
        if (day == "?") == (weekday == "?"):
            raise ValueError(f"exactly one of day of month and day of week must be '?', got {day!r} and {weekday!r}")
        self._minutes = sorted(_MINUTES.values(minutes))
        self._hours = sorted(_HOURS.values(hours))
        self._months = _MONTH.values(month)
        self._years = sorted(_YEARS.values(year))
        self._by_weekday = day == "?"
        self._day = weekday.upper() if self._by_weekday else day.upper()
        # a wrong day shows in any month
        self._days_of(2000, 1)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first minute after a moment of the calendar (without a time zone), or None if there is none."""
        for year in self._years:
            for month in range(1, 13):
                if (year, month) < (moment.year, moment.month) or month not in self._months:
                    continue
                for day in sorted(self._days_of(year, month)):
                    found = self._time_of(datetime(year, month, day), moment)
                    if found is not None:
                        return found
        return None

    def _time_of(self, day: datetime, moment: datetime) -> datetime | None:
        if day.date() < moment.date():
            return None
        times = (day.replace(hour=hour, minute=minute) for hour in self._hours for minute in self._minutes)
        return next((time for time in times if time > moment), None)

    def _days_of(self, year: int, month: int) -> set[int]:
        last = calendar.monthrange(year, month)[1]
        if self._by_weekday:
            return self._days_by_weekday(year, month, last)
        days: set[int] = set()
        for part in self._day.split(","):
            nearest = re.fullmatch(r"(\d+)W", part)
            if part == "L":
                days.add(last)
            elif nearest:
                wanted = _DAYS.number(nearest[1])
                days |= {_nearest_working_day(year, month, wanted, last)} if wanted <= last else set()
            else:
                days |= {day for day in _DAYS.values(part) if day <= last}
        return days

    def _days_by_weekday(self, year: int, month: int, last: int) -> set[int]:
        by_weekday: dict[int, list[int]] = {}
        for day in range(1, last + 1):
            by_weekday.setdefault(_weekday(year, month, day), []).append(day)
        if "#" in self._day:
            name, _, text = self._day.partition("#")
            if text not in ("1", "2", "3", "4", "5"):
                raise ValueError(f"day of week with '#' must be one weekday and 1-5, such as 3#2, got {self._day!r}")
            days = by_weekday[_WEEKDAY.number(name)]
            return set(days[int(text) - 1 : int(text)])
        found: set[int] = set()
        for part in self._day.split(","):
            if part == "L":
                found |= set(by_weekday[_SATURDAY])
            elif part.endswith("L"):
                found.add(by_weekday[_WEEKDAY.number(part.removesuffix("L"))][-1])
            else:
                found |= {day for weekday in _WEEKDAY.values(part) for day in by_weekday[weekday]}
        return found


def _weekday(year: int, month: int, day: int) -> int:
    return (calendar.weekday(year, month, day) + 1) % 7 + 1


def _nearest_working_day(year: int, month: int, day: int, last: int) -> int:
    """Return the day from Monday to Friday that is closest to a day, in its month."""
    weekday = _weekday(year, month, day)
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < last else day - 2
    return day
