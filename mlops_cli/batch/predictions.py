"""The days of a model's table of predictions, beside the days that are published."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from mlops_cli.data.dataset import Dataset
from mlops_cli.data.days import Record, partitions
from mlops_cli.deployment import Deployment, dashed

LOOK_UPS = 16
_OBJECT = re.compile(r"/day=(\d{4}-\d\d-\d\d)/predictions\.parquet$")


class State(StrEnum):
    """Where a day stands."""

    PREDICTED = "predicted"
    CHANGED = "changed"
    MISSING = "missing"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class PredictedDay:
    """A day: its published rows, and what is known of its predictions; `is_due` says that the next run takes it."""

    day: date
    state: State
    is_due: bool = False
    rows: int = 0
    predicted: int = 0
    package: str = ""
    predicted_at: str = ""

    @property
    def version(self) -> str:
        """The number of the version that predicted it."""
        return self.package.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A model's days at one moment: `released` is the ARN of the version that predicts, `run` the newest execution."""

    model: str
    environment: str
    released: str
    days: Sequence[PredictedDay]
    run: Mapping[str, Any] | None = None

    def in_state(self, state: State) -> list[PredictedDay]:
        """The days in a state."""
        return [day for day in self.days if day.state is state]

    @property
    def due(self) -> list[PredictedDay]:
        """The days that the next run takes."""
        return [day for day in self.days if day.is_due]


def predictions(
    deployment: Deployment, model: str, dataset: Dataset, catch_up_days: int, first: date | None, last: date | None
) -> Predictions:
    """Read the days from the first to the last, both included; all days when they are left out.

    Raises DeploymentError when batch inference of the model isn't deployed.
    """
    pipeline = deployment.outputs(f"{dashed(model)}-batch")["PipelineName"]
    published = partitions(deployment.client("glue"), dataset.database, dataset.name)
    due = set(sorted(published)[-catch_up_days:])
    notes = _notes(deployment.client("s3"), dataset.curated_bucket, f"predictions/{model}/", first, last)
    days = [day for day in {*published, *notes} if (first or day) <= day <= (last or day)]
    return Predictions(
        model=model,
        environment=deployment.environment,
        released=_released(deployment, model),
        days=[_day(dataset, day, published.get(day), notes.get(day), day in due) for day in sorted(days)],
        run=_newest_run(deployment.client("sagemaker"), pipeline),
    )


def _day(
    dataset: Dataset, day: date, published: Record | None, notes: Mapping[str, str] | None, may_be_due: bool
) -> PredictedDay:
    prefix = f"s3://{dataset.curated_bucket}/{dataset.name}/"
    if notes is None:
        state = State.MISSING
    elif published is None:
        state = State.WITHDRAWN
    else:
        same = notes.get("load") == published.location.removeprefix(prefix)
        state = State.PREDICTED if same else State.CHANGED
    known = notes or {}
    return PredictedDay(
        day=day,
        state=state,
        is_due=may_be_due and state in (State.MISSING, State.CHANGED),
        rows=published.rows if published else 0,
        predicted=int(known.get("rows", 0)),
        package=known.get("model-package", ""),
        predicted_at=known.get("predicted-at", ""),
    )


def _notes(s3: Any, bucket: str, prefix: str, first: date | None, last: date | None) -> dict[date, Mapping[str, str]]:
    keys = dict(_objects(s3, bucket, prefix))
    chosen = [day for day in keys if (first or day) <= day <= (last or day)]
    with ThreadPoolExecutor(LOOK_UPS) as pool:
        found = pool.map(lambda day: s3.head_object(Bucket=bucket, Key=keys[day])["Metadata"], chosen)
        return dict(zip(chosen, found, strict=True))


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[date, str]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", []):
            if found := _OBJECT.search(each["Key"]):
                yield date.fromisoformat(found[1]), each["Key"]


def _released(deployment: Deployment, model: str) -> str:
    name = deployment.stack_name(f"{dashed(model)}-batch")
    stack = deployment.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    values = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}
    return str(values.get("ModelPackageArn", ""))


def _newest_run(sagemaker: Any, pipeline: str) -> Mapping[str, Any] | None:
    found: list[Mapping[str, Any]] = sagemaker.list_pipeline_executions(
        PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending", MaxResults=1
    )["PipelineExecutionSummaries"]
    return found[0] if found else None
