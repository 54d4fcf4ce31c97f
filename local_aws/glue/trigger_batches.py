"""Events on their way to a trigger: gathered until there are enough of them or the first has waited long enough."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from local_aws.glue.operations import Owner, Record

# of a trigger without an EventBatchingCondition, or with one that leaves BatchWindow out
DEFAULT_SIZE = 1
DEFAULT_WINDOW_SECONDS = 900

Key = tuple[Owner, str]


@dataclass
class _Batch:
    events: list[str] = field(default_factory=list)
    timer: threading.Timer | None = None


class EventBatches:
    """Batches of event ids by trigger.

    `fire(key, ids, condition)` is called with each full batch; the condition says what made it full, as the API's
    StartingEventBatchCondition does: {"BatchSize": events} or {"BatchWindow": seconds}.
    """

    def __init__(self, fire: Callable[[Key, list[str], Record], None]) -> None:
        self._fire = fire
        self._lock = threading.Lock()
        self._batches: dict[Key, _Batch] = {}

    def add(self, key: Key, event: str, condition: Record) -> None:
        """Take an event; fires before it returns when the event is the last of its batch."""
        size = condition.get("BatchSize", DEFAULT_SIZE)
        with self._lock:
            batch = self._batches.setdefault(key, _Batch())
            batch.events.append(event)
            full = len(batch.events) >= size
            if full:
                self._forget(key)
            elif batch.timer is None:
                window = condition.get("BatchWindow", DEFAULT_WINDOW_SECONDS)
                batch.timer = threading.Timer(window, self._window_over, (key, batch, window))
                batch.timer.daemon = True
                batch.timer.start()
        if full:
            self._fire(key, batch.events, {"BatchSize": len(batch.events)})

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
        batch = self._batches.pop(key, None)
        if batch is not None and batch.timer is not None:
            batch.timer.cancel()

    def _window_over(self, key: Key, batch: _Batch, window: int) -> None:
        with self._lock:
            if self._batches.get(key) is not batch:
                return
            self._forget(key)
        self._fire(key, batch.events, {"BatchWindow": window})
