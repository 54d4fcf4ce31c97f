"""What a season leaves: predictions of two models for every flight, and what became of each retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops_cli.scoring import auc
from mlops_cli.season.monitored import Monitored

Floats = npt.NDArray[np.float64]


class Outcome(StrEnum):
    """What became of a retraining."""

    RELEASED = "released"
    REJECTED = "rejected"
    FAILED = "failed"


class RetrainedBy(StrEnum):
    """What starts trainings."""

    SCHEDULE = "schedule"
    DRIFT = "drift"


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """One execution of the training pipeline: the last day that had landed, what came out, and why.

    `alarms` are those that were on when it was started by them; none for one that the schedule started.
    """

    after: date
    execution: str
    outcome: Outcome
    reason: str
    version: int | None = None
    alarms: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The labelled flights of some days, and what both models had said: late (0 or 1) and two probabilities."""

    first_day: date
    last_day: date
    days: Sequence[date]
    labels: npt.NDArray[np.int8]
    frozen: Floats
    current: Floats
    version: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both models on the flights of a month, or of the whole season: areas under the ROC curve."""

    name: str
    flights: int
    frozen: float
    current: float

    @property
    def gain(self) -> float:
        """How much the model that was kept up to date is ahead."""
        return self.current - self.frozen


@dataclass
class Season:
    """A model's season so far: predictions, retrainings, and what the monitor saw."""

    model: str
    scored: list[Scored] = field(default_factory=list)
    retrainings: list[Retraining] = field(default_factory=list)
    monitored: list[Monitored] = field(default_factory=list)

    def months(self) -> list[Comparison]:
        """The months, in order."""
        days = np.array([day for part in self.scored for day in part.days], dtype="datetime64[M]")
        return [self._compared(f"{month.astype(date):%B}", days == month) for month in np.unique(days)]

    def whole(self) -> Comparison:
        """All flights of the season."""
        return self._compared("all", np.ones(sum(len(part.labels) for part in self.scored), dtype=bool))

    def count(self, outcome: Outcome) -> int:
        """The number of retrainings that ended like that."""
        return sum(each.outcome is outcome for each in self.retrainings)

    def to_json(self) -> Mapping[str, Any]:
        """The figures as plain records."""
        records = [
            {"month": each.name, "flights": each.flights, "auc_frozen": each.frozen, "auc_retrained": each.current}
            for each in (*self.months(), self.whole())
        ]
        runs = [
            {
                "after": each.after.isoformat(),
                "execution": each.execution,
                "outcome": each.outcome.value,
                "version": each.version,
                "reason": each.reason,
                "alarms": list(each.alarms),
            }
            for each in self.retrainings
        ]
        return {
            "model": self.model,
            "months": records,
            "retrainings": runs,
            "monitored": [each.to_json() for each in self.monitored],
        }

    def _compared(self, name: str, chosen: npt.NDArray[np.bool_]) -> Comparison:
        labels, frozen, current = (
            np.concatenate([getattr(part, column) for part in self.scored])[chosen]
            for column in ("labels", "frozen", "current")
        )
        return Comparison(name=name, flights=len(labels), frozen=auc(labels, frozen), current=auc(labels, current))
