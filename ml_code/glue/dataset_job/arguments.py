"""What a job of the workflow is told: its arguments, and the properties of the workflow run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from dataset_job.errors import DatasetError

CHANGED, OUTDATED, ALL = REDO = ("changed", "outdated", "all")


@dataclass(frozen=True)
class WorkflowRun:
    """The run of a Glue workflow that a job belongs to."""

    workflow: str
    run: str


@dataclass(frozen=True)
class Request:
    """Which days a run is about: open ends are None. `redo` says when a published day is prepared again.

    `changed`: when its raw files changed; `outdated`: also when another version of code, declaration or rules made it;
    `all`: always.
    """

    first_day: date | None = None
    last_day: date | None = None
    redo: str = CHANGED

    def wants(self, day: date) -> bool:
        """Whether the day lies in the range."""
        return (self.first_day or day) <= day <= (self.last_day or day)


def parse(argv: Sequence[str], *names: str, optional: Sequence[str] = ()) -> dict[str, str]:
    """Read arguments `--name value`; Glue's own ones are ignored. Raises DatasetError when one is missing.

    Of `optional` ones the value is "" when they are left out.

    WORKFLOW_NAME and WORKFLOW_RUN_ID are among the required ones: Glue hands them to the jobs of a workflow.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    wanted = (*names, "WORKFLOW_NAME", "WORKFLOW_RUN_ID")
    for name in (*wanted, *optional):
        parser.add_argument(f"--{name}", default="")
    known, _ = parser.parse_known_args(list(argv))
    values = vars(known)
    if not values["WORKFLOW_NAME"] or not values["WORKFLOW_RUN_ID"]:
        raise DatasetError(
            "this job is a part of a workflow: start the workflow (`mlops data run`, `aws glue start-workflow-run`)"
        )
    missing = [f"--{name}" for name in wanted if not values[name]]
    if missing:
        raise DatasetError(f"the job's arguments miss {', '.join(missing)}")
    return values


def request_of(glue: Any, run: WorkflowRun) -> Request:
    """What the workflow run was asked for. Raises DatasetError for a property that can't be understood."""
    answer = glue.get_workflow_run_properties(Name=run.workflow, RunId=run.run)
    properties: Mapping[str, str] = answer.get("RunProperties", {})
    first_day, last_day = (_day(name, properties.get(name, "")) for name in ("FirstDay", "LastDay"))
    redo = properties.get("Redo") or CHANGED
    if redo not in REDO:
        raise DatasetError(f"the run property Redo must be one of {', '.join(REDO)}, got {redo!r}")
    if first_day and last_day and first_day > last_day:
        raise DatasetError(f"the run property FirstDay {first_day} is after LastDay {last_day}")
    return Request(first_day, last_day, redo)


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise DatasetError(f"the run property {name} must be YYYY-MM-DD, got {text!r}") from None
