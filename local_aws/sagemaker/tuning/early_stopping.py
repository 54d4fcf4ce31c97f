"""When a training job of a tuning job is stopped before its end, as SageMaker documents it for Auto."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

FEWEST_JOBS = 2


class MedianRule:
    """Compares a training job with those before it at the same epoch: the n-th value of the objective that it prints.

    A job is stopped when its value is worse than the median of the earlier jobs' running averages up to that epoch.
    Earlier jobs are those that completed; with fewer than two of them nothing is stopped.
    """

    def __init__(self, *, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0
        self._completed: list[list[float]] = []

    def complete(self, values: Sequence[float]) -> None:
        """Take in what a job that completed printed."""
        if values:
            self._completed.append(list(values))

    def stops(self, values: Sequence[float]) -> bool:
        """Say whether a job that has printed these values so far goes no further."""
        epoch = len(values)
        if not epoch:
            return False
        averages = [fmean(each[:epoch]) for each in self._completed if len(each) >= epoch]
        return len(averages) >= FEWEST_JOBS and self._sign * values[-1] < self._sign * median(averages)
