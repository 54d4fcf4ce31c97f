"""The days that a run of batch inference works on, as the job that selects rows hands them to the one that publishes.

plan/plan.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from model_runtime.errors import JobError

PLAN_FILE = "plan.json"
PREDICTIONS_FILE = "predictions.parquet"
LOAD, ROWS, VERSION = "load", "rows", "model-package"
"""What is noted with the predictions of a day: the load of the rows, their number, and the ARN of the version."""


@dataclass(frozen=True)
class PlannedDay:
    """A day: its rows, and the folder of the load that published them, which is another one when they change."""

    rows: int
    load: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`days` are those to predict, by YYYY-MM-DD; `rows` counts all their rows.

    `problems` are due days that can't be predicted, with the reason: they hold the others up no longer than this run.
    `together` says that the days were asked for, and are published all or none.

    `package` is the ARN of the version that is asked about `features` columns. `searched` says that it is a container
    of Autopilot's, which answers in a form of its own.
    """

    model: str
    problem: str
    package: str
    version: int
    features: int
    searched: bool = False
    key: list[str] = field(default_factory=list)
    days: dict[str, PlannedDay] = field(default_factory=dict)
    rows: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    together: bool = False

    def write(self, directory: Path) -> None:
        """Write it as the pipeline's condition and the next job read it."""
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2, sort_keys=True)
        (directory / PLAN_FILE).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Plan:
        """Read it; raises JobError for what is no plan."""
        file = directory / PLAN_FILE
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            days = {day: PlannedDay(**each) for day, each in values.pop("days").items()}
            return cls(**values, days=days)
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise JobError(f"{file} can't be read: {error}") from error


def predictions_uri(table: str, day: str) -> str:
    """Where the predictions of a day lie: one object, so that it can be replaced at once."""
    return f"{table.rstrip('/')}/day={day}/{PREDICTIONS_FILE}"


def notes_of(day: PlannedDay, package: str, **others: str) -> Mapping[str, str]:
    """What is noted with the predictions of a day, all in ASCII as S3 takes it."""
    return {LOAD: day.load, ROWS: str(day.rows), VERSION: package, **others}
