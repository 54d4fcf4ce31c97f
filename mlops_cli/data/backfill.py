"""Backfill: many days in runs of some days each, a few at the same time.

It keeps no state of its own. Which days are left is what the catalog and the raw files say, so that a backfill that was
interrupted, or whose runs failed, goes on exactly where it stopped when it is started again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from mlops_cli.data import runs
from mlops_cli.data.dataset import Dataset
from mlops_cli.data.days import Day, Snapshot


@dataclass(frozen=True)
class Chunk:
    """Days that one run works on; days between them that need nothing are skipped by the run itself."""

    days: tuple[date, ...]

    @property
    def first(self) -> date:
        """The first day."""
        return self.days[0]

    @property
    def last(self) -> date:
        """The last day."""
        return self.days[-1]


@dataclass
class Tally:
    """What has become of the days so far; `failures` names the runs that failed, with the reason."""

    days: int
    published: int = 0
    rows: int = 0
    held: dict[date, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    ended: int = 0
    """Days of the runs that have ended."""

    @property
    def left(self) -> int:
        """Days that are neither published nor held."""
        return self.days - self.published - len(self.held)


Watch = Callable[[Tally], None]


def days_due(found: Snapshot, redo: str) -> list[Day]:
    """Return the days that need a run: landed whole, and neither published nor held as they are."""
    return [day for day in found.days if day.is_due(redo, found.dataset.version)]


def chunks(days: Sequence[date], size: int) -> list[Chunk]:
    """Cut days into runs of at most `size` days, oldest first. The ranges of two runs never overlap."""
    ordered = sorted(days)
    return [Chunk(tuple(ordered[start : start + size])) for start in range(0, len(ordered), size)]


class _Stopped(Exception):
    """No more runs are wanted."""


class Backfill:
    """Runs chunks of days, `concurrency` at the same time."""

    def __init__(self, glue: Any, dataset: Dataset, redo: str, *, concurrency: int, poll: float) -> None:
        self._glue = glue
        self._dataset = dataset
        self._redo = redo
        self._concurrency = concurrency
        self._poll = poll
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def run(self, todo: Sequence[Chunk], watch: Watch) -> Tally:
        """Run the chunks and return what has become of their days. `watch` hears of each change.

        A run that fails doesn't stop the others. KeyboardInterrupt is raised at once; the runs that have started go on.
        """
        tally = Tally(sum(len(chunk.days) for chunk in todo))
        progress: dict[Chunk, runs.Progress] = {}
        pool = ThreadPoolExecutor(self._concurrency)
        try:
            pending: set[Future[None]] = {pool.submit(self._one, chunk, progress) for chunk in todo}
            while pending:
                done, pending = wait(pending, timeout=self._poll, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()
                self._count(tally, progress)
                watch(tally)
        except BaseException:
            self._stopped.set()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return tally

    def _one(self, chunk: Chunk, progress: dict[Chunk, runs.Progress]) -> None:
        with suppress(_Stopped):
            self._pause(0)
            run = runs.start(
                self._glue, self._dataset, chunk.first, chunk.last, self._redo, poll=self._poll, sleep=self._pause
            )
            for each in runs.follow(self._glue, self._dataset, run, poll=self._poll, sleep=self._pause):
                with self._lock:
                    progress[chunk] = each

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _Stopped

    def _count(self, tally: Tally, progress: dict[Chunk, runs.Progress]) -> None:
        with self._lock:
            known = dict(progress)
        published = {day: record for each in known.values() for day, record in each.published.items()}
        tally.published = len(published)
        tally.rows = sum(record.rows for record in published.values())
        tally.held = {day: record["reason"] for each in known.values() for day, record in each.held.items()}
        ended = {chunk: each for chunk, each in known.items() if not each.run.is_live}
        tally.ended = sum(len(chunk.days) for chunk in ended)
        tally.failures = list(_failures(ended.values()))


def _failures(ended: Iterable[runs.Progress]) -> Iterator[str]:
    for each in ended:
        # a run that held days back counts as failed too, but it did all that it had to
        if not each.run.succeeded and (each.claimed or each.staged or not each.held):
            reasons = "; ".join(each.failures) or each.run.error or each.run.status
            yield f"{each.run.id}: {reasons}"
