"""The time that a run looks at: whole hours of captures, and the older ones whose labels have had time to come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from model_runtime.errors import JobError
from model_runtime.monitor.lake import HOUR, hour_floor

AUTO, NOW = "auto", "now"
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Rows of [start, end) are compared with the baseline; predictions are judged `labels_within` after they were made.

    `now` is when the run was started.
    """

    start: datetime
    end: datetime
    now: datetime
    labels_within: timedelta

    @classmethod
    def parse(cls, start: str, end: str, now: str, days: int, labels_within_hours: float) -> Window:
        """Read a command line's values.

        An end of `auto` is the last whole hour before `now`, one of `now` is the end of that second, as captures tell
        the time in seconds; a start of `auto` is `days` before the end. Raises JobError for what is no time, or for an
        end that isn't after the start.
        """
        moment = instant("--now", now)
        until = {AUTO: hour_floor(moment), NOW: moment + SECOND}.get(end) or instant("--end", end)
        since = until - timedelta(days=days) if start == AUTO else instant("--start", start)
        if since >= until:
            raise JobError(f"--start {shown(since)} must be before --end {shown(until)}")
        return cls(start=since, end=until, now=moment, labels_within=timedelta(hours=labels_within_hours))

    @property
    def judged_from(self) -> datetime:
        """From when on predictions are judged by their labels."""
        return self.start - self.labels_within

    @property
    def judged_until(self) -> datetime:
        """Until when predictions are judged: the labels of later ones may still come, and early ones are alike."""
        return self.end - self.labels_within

    def since(self, moment: datetime) -> Window:
        """The part of the window from a moment on; empty, at its end, when that is later."""
        return replace(self, start=min(max(self.start, moment), self.end))

    def hours(self) -> list[datetime]:
        """The hours that have a part in the window."""
        first = hour_floor(self.start)
        count = -(-(self.end - first) // HOUR)
        return [first + index * HOUR for index in range(count)]


def instant(name: str, text: str) -> datetime:
    """A time in UTC; one without a zone is UTC. Raises JobError, with the argument's name, for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise JobError(f"{name} must be a time as 2013-07-04T10:00:00Z, got {text!r}") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def shown(moment: datetime) -> str:
    """A time as reports and arguments write it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
