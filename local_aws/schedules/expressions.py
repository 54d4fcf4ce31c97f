"""Schedule expressions: `rate(...)`, `cron(...)` and `at(...)`, and the moments that they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from local_aws.schedules.cron import Cron

_EXPRESSION = re.compile(r"(rate|cron|at)\((.*)\)")
_RATE = re.compile(r"([1-9]\d*) (minute|hour|day)(s?)")


class Expression(Protocol):
    """When a schedule runs. All moments are in UTC."""

    @property
    def once(self) -> bool:
        """Whether there is a single moment, whatever the schedule's start and end say."""

    def next_after(self, moment: datetime, begin: datetime) -> datetime | None:
        """Return the first moment after another one, for a schedule that begins at `begin`."""


@dataclass(frozen=True)
class Rate:
    """Every so many minutes, hours or days of 24 hours, the first time when the schedule begins."""

    every: timedelta
    once = False

    def next_after(self, moment: datetime, begin: datetime) -> datetime | None:
        if moment < begin:
            return begin
        return begin + ((moment - begin) // self.every + 1) * self.every


@dataclass(frozen=True)
class CalendarTimes:
    """The times of a cron expression in a time zone.

    A time that is left out when clocks go forward is skipped; one that comes twice when they go back counts once.
    """

    cron: Cron
    zone: ZoneInfo
    once = False

    def next_after(self, moment: datetime, begin: datetime) -> datetime | None:
        # a start date is a time to run at, if the expression has it
        after = max(moment, begin - timedelta(microseconds=1))
        local: datetime | None = after.astimezone(self.zone).replace(tzinfo=None)
        while local is not None and (local := self.cron.next_after(local)) is not None:
            found = local.replace(tzinfo=self.zone).astimezone(UTC)
            exists = found.astimezone(self.zone).replace(tzinfo=None) == local
            if exists and found > after:
                return found
        return None


@dataclass(frozen=True)
class Moment:
    """One moment."""

    at: datetime
    once = True

    def next_after(self, moment: datetime, begin: datetime) -> datetime | None:
        del begin
        return self.at if self.at > moment else None


@lru_cache(maxsize=1024)
def parse_expression(text: str, timezone: str = "UTC") -> Expression:
    """Parse an expression; ValueError says what is wrong with it or its time zone."""
    form = _EXPRESSION.fullmatch(text)
    if form is None:
        raise ValueError(f"{text!r} must be rate(<value> <unit>), cron(<six fields>) or at(yyyy-mm-ddThh:mm:ss)")
    kind, content = form.groups()
    zone = _zone(timezone)
    try:
        if kind == "cron":
            return CalendarTimes(Cron(content), zone)
        return _rate(content) if kind == "rate" else _moment(content, zone)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{name!r} is not the name of a time zone, such as UTC or Europe/Berlin") from error


def _rate(content: str) -> Rate:
    form = _RATE.fullmatch(content)
    if form is None or (form[1] == "1") != (form[3] == ""):
        raise ValueError(f"a rate is a positive whole number and minute(s), hour(s) or day(s), got {content!r}")
    return Rate(timedelta(**{f"{form[2]}s": int(form[1])}))


def _moment(content: str, zone: ZoneInfo) -> Moment:
    try:
        local = datetime.strptime(content, "%Y-%m-%dT%H:%M:%S")
    except ValueError as error:
        raise ValueError(f"a moment is written yyyy-mm-ddThh:mm:ss, got {content!r}") from error
    return Moment(local.replace(tzinfo=zone).astimezone(UTC))
