"""Waiting until days that have landed are published, by whatever run makes them so."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import date
from typing import Any

from mlops_cli.data import runs
from mlops_cli.data.dataset import Dataset
from mlops_cli.data.days import Record, partitions
from mlops_cli.deployment import DeploymentError

QUIET_SECONDS = 60.0
"""How long nothing may be under way before it is clear that no event has started a run."""


def wait_until_published(
    glue: Any,
    dataset: Dataset,
    days: Collection[date],
    report: Callable[[str], None],
    *,
    poll: float,
    seconds: float,
    quiet_seconds: float = QUIET_SECONDS,
) -> dict[date, Record]:
    """Return the records of the days once all of them are published.

    Nothing is started here. Raises DeploymentError as soon as a day is held back, when the runs have ended without
    publishing all days, when no run starts, and when it takes longer than `seconds`.
    """
    first, last = min(days), max(days)
    deadline = time.monotonic() + seconds
    busy = time.monotonic()
    while True:
        live = [run for run in runs.recent(glue, dataset) if run.is_live]
        published = partitions(glue, dataset.database, dataset.name, first, last)
        staged = partitions(glue, dataset.database, dataset.staged_table, first, last)
        done = {day: record for day, record in published.items() if day in days}
        held = {day: record["reason"] for day, record in staged.items() if record["state"] == "held" and day in days}
        if held:
            told = "; ".join(f"{day}: {reason}" for day, reason in sorted(held.items()))
            raise DeploymentError(f"held back, {len(held)} of {len(days)} days: {told}")
        if len(done) == len(days):
            return done
        claimed = sum(record["state"] == "claimed" for record in staged.values())
        checked = sum(record["state"] == "staged" for record in staged.values())
        report(
            f"{len(done)} of {len(days)} days published, {claimed} being prepared, {checked} being checked, "
            f"{len(live)} run{'' if len(live) == 1 else 's'}"
        )
        now = time.monotonic()
        busy = now if live else busy
        if now - busy > quiet_seconds:
            raise DeploymentError(
                f"{len(days) - len(done)} of {len(days)} days aren't published: {_why(glue, dataset)}"
            )
        if now > deadline:
            raise DeploymentError(f"after {seconds:.0f} s, {len(done)} of {len(days)} days are published")
        time.sleep(poll)


def _why(glue: Any, dataset: Dataset) -> str:
    latest = runs.recent(glue, dataset)
    if not latest:
        return f"no event has started the workflow {dataset.workflow}"
    if latest[0].succeeded:
        return f"the run {latest[0].id} has ended well, and no other has started"
    failures = runs.progress_of(glue, dataset, latest[0].id).failures
    return f"the run {latest[0].id} failed: {'; '.join(failures) or latest[0].error or latest[0].status}"
