"""When monitoring schedules run, and which hours of captured requests an execution looks at.

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-schedule-expression.html,
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ScheduleConfig.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from local_aws.schedules.expressions import Expression, parse_expression

NOW = "NOW"
HOUR = timedelta(hours=1)
_CRON = re.compile(r"cron\(0 (\*|\[?0-23\]?|\d{1,2}|\d{1,2}/(\d{1,2})) \? \* \* \*\)")
_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


@dataclass(frozen=True)
class Timing:
    """The times of a schedule; `times` is None for NOW. `period` is what an execution looks back by itself."""

    times: Expression | None
    period: timedelta

    @staticmethod
    def parse(text: str) -> Timing:
        """Understand a ScheduleExpression: NOW, hourly, daily, or every so many hours; ValueError for all else."""
        if text == NOW:
            return Timing(None, HOUR)
        form = _CRON.fullmatch(text)
        if form is None:
            raise ValueError(
                f"the ScheduleExpression {text!r} must be NOW, cron(0 * ? * * *) for hourly, cron(0 6 ? * * *) for "
                "daily at an hour, or cron(0 6/8 ? * * *) for every so many hours from an hour on"
            )
        hourly = form[1] == "*" or "0-23" in form[1]
        period = HOUR if hourly else timedelta(hours=int(form[2] or 24))
        return Timing(parse_expression(text.replace("[0-23]", "*")), period)


@dataclass(frozen=True)
class Window:
    """The hours from `start` until before `end`, in UTC."""

    start: datetime
    end: datetime

    def hours(self) -> Iterator[datetime]:
        """Yield the beginning of each hour."""
        hour = self.start
        while hour < self.end:
            yield hour
            hour += HOUR


def window(scheduled: datetime, period: timedelta, start_offset: str | None, end_offset: str | None) -> Window:
    """Return what an execution looks at: full hours, from offsets to the time that it is scheduled for.

    Without offsets it is the period before it. ValueError for an offset that is no duration, and for a window without
    an hour.
    """
    start = scheduled + (duration(start_offset) if start_offset else -period)
    end = scheduled + (duration(end_offset) if end_offset else timedelta(0))
    found = Window(_hour(start), _hour(end))
    if found.start >= found.end:
        raise ValueError(f"from {start_offset or -period} to {end_offset or 'PT0H'} there is no full hour")
    return found


def duration(text: str) -> timedelta:
    """Return an offset such as -PT1H, P0D or -P7DT12H; ValueError for what isn't one."""
    form = _DURATION.fullmatch(text)
    if form is None or text.endswith(("P", "T")):
        raise ValueError(f"{text!r} is not an offset such as -PT1H or -P7D")
    days, hours, minutes, seconds = (int(part or 0) for part in form.groups()[1:])
    found = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -found if form[1] else found


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
