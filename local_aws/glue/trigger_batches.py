"""Events on their way to a trigger: gathered until there are enough of them or the first has waited long enough."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from local_aws.clock import Clock, Worker
from local_aws.glue.operations import Owner, Record

# of a trigger without an EventBatchingCondition, or with one that leaves BatchWindow out
DEFAULT_SIZE = 1
DEFAULT_WINDOW_SECONDS = 900

Key = tuple[Owner, str]


class EventBatches:
    """Batches of event ids by trigger. Windows go by the clock of the local AWS, so that moving it on ends them.

    `fire(key, ids, condition)` is called with each full batch; the condition says what made it full, as the API's
    StartingEventBatchCondition does: {"BatchSize": events} or {"BatchWindow": seconds}.
    """

    def __init__(self, clock: Clock, fire: Callable[[Key, list[str], Record], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._lock = threading.Lock()
        self._batches: dict[Key, list[str]] = {}

    def add(self, key: Key, event: str, condition: Record) -> None:
        """Take an event; fires before it returns when the event is the last of its batch."""
        size = condition.get("BatchSize", DEFAULT_SIZE)
        with self._lock:
            batch = self._batches.setdefault(key, [])
            batch.append(event)
            full = len(batch) >= size
            if full:
                self._forget(key)
            elif len(batch) == 1:
                window = condition.get("BatchWindow", DEFAULT_WINDOW_SECONDS)
                over = self._clock.now() + timedelta(seconds=window)
                worker = self._clock.worker(f"the window of the trigger {key[1]}")
                arguments = (worker, key, batch, window, over)
                threading.Thread(target=self._wait, args=arguments, daemon=True).start()
        if full:
            self._fire(key, batch, {"BatchSize": len(batch)})

    def drop(self, key: Key) -> None:
        """Forget the events that a trigger has gathered."""
        with self._lock:
            self._forget(key)

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            for key in list(self._batches):
                self._forget(key)

    def _forget(self, key: Key) -> None:
        self._batches.pop(key, None)
        self._clock.wake()

    def _wait(self, worker: Worker, key: Key, batch: list[str], window: int, over: datetime) -> None:
        try:
            worker.wait_until(over, lambda: self._batches.get(key) is not batch)
            with self._lock:
                if self._batches.get(key) is not batch:
                    return
                self._forget(key)
            self._fire(key, batch, {"BatchWindow": window})
        finally:
            worker.end()
