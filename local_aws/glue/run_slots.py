"""How many job runs may have a process on this machine at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.1


class RunSlots:
    """A bound that all Glue jobs share, beside each job's MaxConcurrentRuns: one run for each core, at least two.

    A Spark process takes cores and some 2 GB of memory, so a backfill's ten runs must not start at once here. A run
    without a slot stays in STARTING, as on AWS while its workers are prepared. A job that starts another and waits for
    it holds its slot meanwhile.
    """

    def __init__(self, count: int | None = None) -> None:
        self._free = threading.Semaphore(count or max(2, os.cpu_count() or 1))

    @contextmanager
    def slot(self, cancelled: threading.Event) -> Iterator[bool]:
        """Hold a slot for the length of a `with` block: True once there is one, False when cancelled before."""
        granted = False
        while not granted and not cancelled.is_set():
            granted = self._free.acquire(timeout=LOOK_SECONDS)
        try:
            yield granted
        finally:
            if granted:
                self._free.release()
