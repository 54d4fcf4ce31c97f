"""What has happened in an execution, as GetExecutionHistory tells it and as the state machine's log group gets it."""

from __future__ import annotations

import json
import threading
from typing import Any

from local_aws.clock import Clock
from local_aws.jobs.log_stream import LogStream

Record = dict[str, Any]

_DETAILS = {
    "StateEntered": "stateEnteredEventDetails",
    "StateExited": "stateExitedEventDetails",
    "ExecutionStarted": "executionStartedEventDetails",
    "ExecutionSucceeded": "executionSucceededEventDetails",
    "ExecutionFailed": "executionFailedEventDetails",
    "ExecutionAborted": "executionAbortedEventDetails",
    "ExecutionTimedOut": "executionTimedOutEventDetails",
    "TaskScheduled": "taskScheduledEventDetails",
    "TaskSucceeded": "taskSucceededEventDetails",
    "TaskFailed": "taskFailedEventDetails",
}
# what CloudWatch Logs gets at each level of LoggingConfiguration
_LEVELS = {
    "ERROR": frozenset({"TaskFailed", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}),
    "FATAL": frozenset({"ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}),
}


class History:
    """The events of one execution, in their order. `log` gets those of the level, with inputs and outputs if wanted."""

    def __init__(self, clock: Clock, execution_arn: str, log: LogStream | None, level: str, *, with_data: bool) -> None:
        self._clock = clock
        self._arn = execution_arn
        self._log = log
        self._level = level
        self._with_data = with_data
        self._lock = threading.Lock()
        self._events: list[Record] = []

    def note(self, kind: str, **details: Any) -> None:
        """Add an event; what is None is left out, what isn't text is written as JSON."""
        told = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in details.items()
            if value is not None
        }
        member = _DETAILS.get(kind) or _DETAILS[kind[kind.index("State") :]]
        with self._lock:
            number = len(self._events) + 1
            moment = self._clock.now()
            event = {"timestamp": moment, "type": kind, "id": number, "previousEventId": number - 1, member: told}
            self._events.append(event)
        if self._log is None or (self._level in _LEVELS and kind not in _LEVELS[self._level]):
            return
        if not self._with_data:
            told = {name: value for name, value in told.items() if name not in ("input", "output", "parameters")}
        line = {
            "id": str(number),
            "type": kind,
            "details": told,
            "previous_event_id": str(number - 1),
            "event_timestamp": str(int(moment.timestamp() * 1000)),
            "execution_arn": self._arn,
        }
        self._log.write(json.dumps(line))

    def events(self) -> list[Record]:
        """Return what has happened so far, oldest first."""
        with self._lock:
            return list(self._events)

    def close(self) -> None:
        """Write what is pending."""
        if self._log is not None:
            self._log.close()
