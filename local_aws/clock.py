"""The time of the local AWS, which can be moved forward, and who works by it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# a machine that slept has waited for less than its clock says
LONGEST_WAIT_SECONDS = 30.0


class Clock:
    """The machine's time plus what it was moved forward by, or with `standing_at` a time that only moves by hand.

    Whatever works by it is one of its workers, so that it is known when nothing is left to do before a moment comes.
    """

    def __init__(self, standing_at: datetime | None = None) -> None:
        self._standing_at = standing_at
        self._moved = timedelta(0)
        self._changed = threading.Condition()
        self._workers: dict[Worker, _Wait | None] = {}
        self._before_looks: list[Callable[[], None]] = []

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

    def advance_to(self, moment: datetime) -> None:
        """Move time forward to a moment, or to the next one that somebody waits for if that comes first."""
        with self._changed:
            upcoming = self.upcoming()
            reached = moment if upcoming is None else min(moment, upcoming)
            self.advance(max(reached - self.now(), timedelta(0)))

    def upcoming(self) -> datetime | None:
        """Return the next moment that a worker waits for; None when nobody waits for one."""
        with self._changed:
            waits = [wait for wait in self._workers.values() if wait is not None]
            return min((wait.moment for wait in waits if wait.moment is not None), default=None)

    def busy(self) -> list[str]:
        """Return the names of the workers that have something to do now: those that don't wait, or not any longer."""
        for prepare in list(self._before_looks):
            prepare()
        with self._changed:
            now = self.now()
            return sorted(worker.name for worker, wait in self._workers.items() if wait is None or wait.is_over(now))

    def before_look(self, prepare: Callable[[], None], *, last: bool = False) -> Callable[[], None]:
        """Have a function called before it is told who is busy; after all others, if it is the last.

        It is for what collects and hands on every now and then, and for who has to see that before time moves on. What
        is returned ends it.
        """
        self._before_looks.insert(len(self._before_looks) if last else 0, prepare)

        def end() -> None:
            if prepare in self._before_looks:
                self._before_looks.remove(prepare)

        return end

    def worker(self, name: str) -> Worker:
        """Return a new worker, which is busy until it waits or ends."""
        worker = Worker(self, name)
        with self._changed:
            self._workers[worker] = None
        return worker

    @contextmanager
    def working(self, name: str) -> Iterator[Worker]:
        """Have a worker for the length of a `with` block."""
        worker = self.worker(name)
        try:
            yield worker
        finally:
            worker.end()

    def wake(self) -> None:
        """Have everyone who waits ask again whether to go on."""
        with self._changed:
            self._changed.notify_all()

    def _wait(self, worker: Worker, moment: datetime | None, interrupted: Callable[[], bool]) -> None:
        with self._changed:
            self._workers[worker] = _Wait(moment, interrupted)
            try:
                while not interrupted() and (moment is None or self.now() < moment):
                    left = None if moment is None else (moment - self.now()).total_seconds()
                    runs = left is not None and self._standing_at is None
                    self._changed.wait(min(left, LONGEST_WAIT_SECONDS) if runs and left is not None else None)
            finally:
                self._workers[worker] = None

    def _end(self, worker: Worker) -> None:
        with self._changed:
            self._workers.pop(worker, None)


class Worker:
    """Somebody who works by a clock: a thread, or a job from its request to its end."""

    def __init__(self, clock: Clock, name: str) -> None:
        self.name = name
        self._clock = clock

    def wait_until(self, moment: datetime | None, interrupted: Callable[[], bool]) -> None:
        """Return when the moment has come (None: never) or `interrupted()` is true, which is asked after `wake()`."""
        self._clock._wait(self, moment, interrupted)

    def end(self) -> None:
        """Have nothing to do any more."""
        self._clock._end(self)


@dataclass(frozen=True)
class _Wait:
    moment: datetime | None
    interrupted: Callable[[], bool]

    def is_over(self, now: datetime) -> bool:
        return self.interrupted() or (self.moment is not None and self.moment <= now)
