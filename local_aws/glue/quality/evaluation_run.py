"""A run that evaluates rulesets on a data source: its record in the API, and its one end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local_aws.glue.operations import Owner
from local_aws.glue.quality.rules import AnyRule

ENDED_STATES = frozenset({"STOPPED", "SUCCEEDED", "FAILED", "TIMEOUT"})


@dataclass(frozen=True)
class Ruleset:
    """A ruleset as it was when the run started."""

    name: str
    rules: tuple[AnyRule, ...]


@dataclass
class EvaluationRun:
    """`record` is the run of the Glue API; `owner` the account and the region that it belongs to."""

    owner: Owner
    role: str
    rulesets: Sequence[Ruleset]
    record: dict[str, Any]
    limit_seconds: float
    _started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def id(self) -> str:
        return str(self.record["RunId"])

    @property
    def ended(self) -> bool:
        return self.record["Status"] in ENDED_STATES

    def begin(self) -> bool:
        """Note that the run is being worked on; False if it has ended before."""
        with self._lock:
            if not self.ended:
                self._note("RUNNING")
            return not self.ended

    def end(self, status: str, error: str | None = None, result_ids: Sequence[str] = ()) -> bool:
        """End the run; False if it has ended already, and stays as it was."""
        with self._lock:
            if self.ended:
                return False
            if error is not None:
                self.record["ErrorString"] = error
            self.record |= {
                "ResultIds": list(result_ids),
                "CompletedOn": datetime.now(UTC),
                "ExecutionTime": round(time.monotonic() - self._started),
            }
            self._note(status)
            return True

    def expire(self) -> None:
        """End the run if it has taken longer than its timeout."""
        if time.monotonic() - self._started > self.limit_seconds:
            self.end("TIMEOUT", f"The run exceeded its timeout of {self.record['Timeout']} minutes.")

    def _note(self, status: str) -> None:
        self.record["LastModifiedOn"] = datetime.now(UTC)
        self.record["Status"] = status
