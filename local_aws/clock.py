"""The time of the local AWS, which can be moved forward."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

# a machine that slept has waited for less than its clock says
LONGEST_WAIT_SECONDS = 30.0


class Clock:
    """The machine's time plus what it was moved forward by, or with `standing_at` a time that only moves by hand."""

    def __init__(self, standing_at: datetime | None = None) -> None:
        self._standing_at = standing_at
        self._moved = timedelta(0)
        self._changed = threading.Condition()

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        return (self._standing_at or datetime.now(UTC)) + self._moved

    def advance(self, by: timedelta) -> None:
        """Move time forward; ValueError for a step back. Whoever waits for a moment that has come goes on."""
        if by < timedelta(0):
            raise ValueError(f"time can't be moved back, got {by}")
        with self._changed:
            self._moved += by
            self._changed.notify_all()

    def wait_until(self, moment: datetime | None, interrupted: Callable[[], bool]) -> None:
        """Return when the moment has come (None: never) or `interrupted()` is true, which is asked after `wake()`."""
        with self._changed:
            while not interrupted() and (moment is None or self.now() < moment):
                left = None if moment is None else (moment - self.now()).total_seconds()
                runs = left is not None and self._standing_at is None
                self._changed.wait(min(left, LONGEST_WAIT_SECONDS) if runs and left is not None else None)

    def wake(self) -> None:
        """Have everyone who waits ask again whether to go on."""
        with self._changed:
            self._changed.notify_all()
