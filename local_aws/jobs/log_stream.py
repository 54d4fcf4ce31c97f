"""A stream of CloudWatch Logs fed by a job, in batches and with a bound on its size."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

FLUSH_SECONDS = 0.5
BATCH_EVENTS = 1000
BATCH_BYTES = 1024 * 1024
TAIL_LINES = 200
TAIL_LINE_LENGTH = 4096
STREAM_LIMIT_BYTES = 8 * 1024 * 1024


class LogStream:
    """Lines of one job. Past the limit lines are dropped, and the stream's last event says so.

    `tail` keeps the newest lines whatever the limit, for failure reasons.
    """

    def __init__(self, client: Any, group: str, stream: str, *, limit_bytes: int = STREAM_LIMIT_BYTES) -> None:
        self.group = group
        self.stream = stream
        self._client = client
        self._limit = limit_bytes
        self._size = 0
        self._dropped = 0
        self._pending: list[dict[str, Any]] = []
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._newest = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        with contextlib.suppress(ClientError, BotoCoreError):
            client.create_log_group(logGroupName=group)
        with contextlib.suppress(ClientError, BotoCoreError):
            client.create_log_stream(logGroupName=group, logStreamName=stream)
        self._flusher = threading.Thread(target=self._flush_regularly, daemon=True, name=f"logs-of-{stream}")
        self._flusher.start()

    def write(self, line: str) -> None:
        """Take one line; it reaches CloudWatch Logs within about half a second."""
        size = len(line.encode(errors="replace")) + 26
        with self._lock:
            self._tail.append(line[:TAIL_LINE_LENGTH])
            if self._size + size > self._limit:
                self._dropped += 1
                return
            self._size += size
            self._append(line)

    def tail(self, lines: int) -> str:
        """Return the newest lines that aren't blank."""
        with self._lock:
            return "\n".join([line for line in self._tail if line.strip()][-lines:])

    def close(self) -> None:
        """Write what is pending, and how many lines were dropped."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._flusher.join(timeout=30)
        if self._dropped:
            notice = f"log is full: {self._dropped} more lines were dropped after {self._limit:,} bytes"
            with self._lock:
                self._append(notice)
        self._flush()

    def _append(self, line: str) -> None:
        # events have to be in order of time, even when the clock is set back, and mustn't be empty
        self._newest = max(int(time.time() * 1000), self._newest)
        self._pending.append({"timestamp": self._newest, "message": line or " "})

    def _flush_regularly(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        while True:
            with self._lock:
                batch = self._next_batch()
            if not batch:
                return
            # a job doesn't fail because its log can't be written
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.put_log_events(logGroupName=self.group, logStreamName=self.stream, logEvents=batch)

    def _next_batch(self) -> list[dict[str, Any]]:
        size, count = 0, 0
        for event in self._pending[:BATCH_EVENTS]:
            size += len(event["message"].encode(errors="replace")) + 26
            if count and size > BATCH_BYTES:
                break
            count += 1
        batch = self._pending[:count]
        del self._pending[:count]
        return batch
