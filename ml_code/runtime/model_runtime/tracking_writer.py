"""The thread that writes to a tracking server, in the order in which things are said."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

FLUSH_SECONDS = 2.0
END_SECONDS = 60.0
BATCH = 1000
"""The most metrics that one request may hold, https://mlflow.org/docs/latest/rest-api.html, Log Batch."""
# by its own settings a client tries for minutes
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
QUIET = {
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

Opening = Callable[[Any], str]
"""Makes or finds a run with MLflow's client, and gives its id."""
Writing = Callable[[Any, str], None]
"""Writes something to a run with MLflow's client."""


class Round(NamedTuple):
    """A metric after a round, counted from 0; `moment` is in milliseconds since 1970."""

    name: str
    value: float
    step: int
    moment: int


class TrackingWriter:
    """Writes to one run. Whatever fails is told once, as a warning in the job's log; nothing is written after that.

    MLflow takes seconds of a core to import: the thread does that too, while the job reads its data.
    """

    def __init__(self, opening: Opening, environment: Mapping[str, str] = os.environ) -> None:
        for name, value in {**PATIENCE, **QUIET}.items():
            os.environ.setdefault(name, value)
        self._uri = environment["MLFLOW_TRACKING_URI"]
        self._items: queue.SimpleQueue[Round | Writing | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(opening,), name="tracking", daemon=True)
        self._thread.start()

    def add(self, item: Round | Writing) -> None:
        """Have something written soon."""
        self._items.put(item)

    def close(self) -> None:
        """Wait until all is written, for a minute at most."""
        self._items.put(None)
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            print(f"warning: {self._uri} took longer than {END_SECONDS:.0f} s: the run isn't complete", flush=True)

    def _run(self, opening: Opening) -> None:
        try:
            from mlflow import MlflowClient

            client = MlflowClient(self._uri)
            self._write(client, opening(client))
        except Exception as error:  # a job never fails for its records
            reason = str(error).splitlines()[0] if str(error) else ""
            print(f"warning: nothing more is tracked at {self._uri}: {type(error).__name__}: {reason}", flush=True)

    def _write(self, client: Any, run: str) -> None:
        rounds: list[Round] = []
        while True:
            item = self._next(rounds)
            if rounds:
                _write_rounds(client, run, rounds)
                rounds.clear()
            if item is None:
                return
            item(client, run)

    def _next(self, rounds: list[Round]) -> Writing | None:
        """The next item that is no metric; adds those before it to `rounds`, which are due after a while."""
        due = time.monotonic() + FLUSH_SECONDS
        while len(rounds) < BATCH:
            try:
                item = self._items.get(timeout=max(due - time.monotonic(), 0))
            except queue.Empty:
                break
            if not isinstance(item, Round):
                return item
            rounds.append(item)
        return lambda *_: None


def _write_rounds(client: Any, run: str, rounds: list[Round]) -> None:
    from mlflow.entities import Metric

    client.log_batch(run, metrics=[Metric(each.name, each.value, each.moment, each.step) for each in rounds])
