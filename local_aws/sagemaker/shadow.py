"""A shadow variant: it gets copies of requests, and what it answers is measured and captured, but never returned."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local_aws.sagemaker.variant import NoInstance, Reply, Variant

# copies that wait and copies on their way at most: a shadow that hangs costs its own measurements, and nothing else
MOST_WAITING = 256
MOST_AT_ONCE = 8
_random = random.SystemRandom()
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Copy:
    body: bytes
    headers: Mapping[str, str]
    answered: Callable[[Variant, Reply], None]


class Shadow:
    """Sends copies of the requests of a production variant to the shadow of it, from threads of its own.

    Of the requests, the share is copied that the shadow's weight is of the production variant's: all of them when the
    weights are equal. Copies that find 256 others waiting are dropped, and the log of the shadow says how many.
    """

    def __init__(self, production: Variant, variant: Variant) -> None:
        self.variant = variant
        self._production = production
        self._waiting: queue.Queue[_Copy | None] = queue.Queue(MOST_WAITING)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._dropped = 0
        self._told = 0.0
        self._threads: list[threading.Thread] = []

    def copy(self, body: bytes, headers: Mapping[str, str], answered: Callable[[Variant, Reply], None]) -> None:
        """Take a copy of a request, if it is in the share; `answered` is called with what came of it. Never waits."""
        share = self.variant.weight / self._production.weight if self._production.weight > 0 else 1.0
        if self._closed.is_set() or _random.random() >= share:
            return
        try:
            self._waiting.put_nowait(_Copy(body, headers, answered))
        except queue.Full:
            self._drop()
            return
        with self._lock:
            if len(self._threads) >= MOST_AT_ONCE or (self._threads and self._waiting.empty()):
                return
            thread = threading.Thread(target=self._run, name=f"shadow-{self.variant.name}", daemon=True)
            self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Take no more copies, and send none of those that wait."""
        self._closed.set()
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        for _ in self._threads:
            self._waiting.put(None)

    def _run(self) -> None:
        while (copy := self._waiting.get()) is not None:
            try:
                reply = self.variant.invoke(copy.body, copy.headers)
                if not self._closed.is_set():
                    copy.answered(self.variant, reply)
            except NoInstance:
                continue
            except Exception:
                _log.exception("a copy of a request was lost on its way to the shadow variant %s", self.variant.name)

    def _drop(self) -> None:
        self._dropped += 1
        if time.monotonic() - self._told > 1:
            self._told = time.monotonic()
            self.variant.note(f"the shadow variant is too slow: {self._dropped} copies of requests were dropped by now")
