"""The story of a season: days land, the clock moves on, the schedule retrains, the gate judges, releases follow.

Two endpoints answer for each day before the models have seen it: the one that is released to, and one that keeps the
model of the beginning. Nothing but the AWS APIs is used, so that what is told here is what the platform does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import boto3
import numpy as np
import polars as pl

from mlops_cli import flights, jobs, local, scoring
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.data.waiting import wait_until_published
from mlops_cli.deployment import Deployment, dashed
from mlops_cli.releases import Releases
from mlops_cli.repository import declaration, models
from mlops_cli.season.outcomes import Outcome, Retraining, Scored, Season
from mlops_cli.story import Story

ENVIRONMENT = "dev"
DATASET = "flights"
MODEL = "flight_delay"
PUBLISHED_SECONDS = 900
PUBLISHED_POLL_SECONDS = 1
POLL_SECONDS = 0.5
BATCH_ROWS = 2000

Report = Callable[[str], None]


@dataclass
class SeasonStory(Story):
    """From `first_day` to `last_day`, in steps of some days. What has landed before the first day trains the model that
    is kept as it is.
    """

    first_day: date = date(2013, 7, 1)
    last_day: date = date(2013, 12, 31)
    step_days: int = 7
    history_from: date = flights.FIRST_DAY
    season: Season = field(default_factory=lambda: Season(MODEL))

    def run(self) -> Season:
        """Tell it. Raises DeploymentError at the first chapter that doesn't succeed."""
        self.deploy(ENVIRONMENT)
        deployment = Deployment(ENVIRONMENT, boto3.session.Session())
        self._sagemaker = deployment.client("sagemaker")
        self._deployment, self._dataset = deployment, deployed_dataset(deployment, DATASET)
        stack = dashed(MODEL)
        self._pipeline = deployment.outputs(f"{stack}-training")["PipelineName"]
        before = self.first_day - timedelta(days=1)
        with self.chapter(f"land {self.history_from} to {before}, and have them published") as report:
            self._land(self.history_from, before, report)
        with self.chapter("train the first model, approve and release it") as report:
            execution = jobs.run_pipeline(self._sagemaker, self._pipeline, {}, report, POLL_SECONDS)
            self._version = self._release(execution)
        current = deployment.outputs(f"{stack}-serving")["EndpointName"]
        with self.chapter("keep it on an endpoint of its own, as if nobody ever trained again") as report:
            frozen = self._freeze(current)
            report(frozen)
        self._schedule_trainings()
        for first, last in self._steps():
            with self.chapter(f"{first} to {last}") as report:
                rows = self._land(first, last, report)
                self.season.scored.append(self._score(rows, first, last, frozen, current))
                for retraining in self._advance(last, report):
                    self.season.retrainings.append(retraining)
                report(self._told())
        return self.season

    def _steps(self) -> Iterator[tuple[date, date]]:
        first = self.first_day
        while first <= self.last_day:
            last = min(first + timedelta(days=self.step_days - 1), self.last_day)
            yield first, last
            first = last + timedelta(days=1)

    def _land(self, first: date, last: date, report: Report) -> pl.DataFrame:
        """Land days, wait until they are published, and return their rows."""
        flights.land(
            self._deployment.client("s3"),
            self._dataset.raw_bucket,
            first,
            last,
            lambda landed: report(f"{landed.key} landed"),
        )
        days = list(flights.days_between(first, last))
        records = wait_until_published(
            self._deployment.client("glue"),
            self._dataset,
            days,
            report,
            poll=PUBLISHED_POLL_SECONDS,
            seconds=PUBLISHED_SECONDS,
        )
        report(f"{len(days)} days published")
        s3 = self._deployment.client("s3")
        parts = ((day, scoring.read_parquet(s3, f"{records[day].location}/")) for day in days)
        return pl.concat([rows.with_columns(pl.lit(day).alias("day")) for day, rows in parts])

    def _freeze(self, endpoint: str) -> str:
        """Have another endpoint serve what this one serves now, whatever is released later; returns its name."""
        sagemaker = self._sagemaker
        name = f"{endpoint}-frozen"
        config = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        model = sagemaker.describe_model(ModelName=variant["ModelName"])
        containers = model.get("Containers") or [model["PrimaryContainer"]]
        sagemaker.create_model(ModelName=name, Containers=containers, ExecutionRoleArn=model["ExecutionRoleArn"])
        kept = {key: variant[key] for key in ("VariantName", "InstanceType", "InitialInstanceCount")}
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[kept | {"ModelName": name}])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        waiter = sagemaker.get_waiter("endpoint_in_service")
        waiter.wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        return name

    def _score(self, rows: pl.DataFrame, first: date, last: date, frozen: str, current: str) -> Scored:
        """Ask both endpoints for every flight that has a label."""
        declared = declaration(MODEL)["data"]
        labelled = rows.drop_nulls(declared["label"])
        features = labelled.select(declared["features"])
        runtime = self._deployment.client("sagemaker-runtime")

        def ask(endpoint: str) -> Any:
            parts = features.iter_slices(BATCH_ROWS)
            return np.array([value for part in parts for value in scoring.invoke_csv(runtime, endpoint, part)])

        return Scored(
            first_day=first,
            last_day=last,
            days=labelled["day"].to_list(),
            labels=labelled[declared["label"]].cast(pl.Int8).to_numpy(),
            frozen=ask(frozen),
            current=ask(current),
            version=self._version,
        )

    def _schedule_trainings(self) -> None:
        """Have the model's schedule start training once a step from now on, and all others rest, as an operator may."""
        days = self.step_days
        self._reschedule(f"{dashed(MODEL)}-training", ScheduleExpression=f"rate({days} day{'' if days == 1 else 's'})")
        for model in models():
            if model != MODEL:
                self._reschedule(f"{dashed(model)}-training", State="DISABLED")
            if declaration(model).get("batch"):
                self._reschedule(f"{dashed(model)}-batch", State="DISABLED")

    def _reschedule(self, stack: str, **changed: str) -> None:
        scheduler = self._deployment.client("scheduler")
        name = self._deployment.outputs(stack).get("ScheduleName")
        if name is None:
            return
        schedule = scheduler.get_schedule(Name=name)
        known = (
            "Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "State", "KmsKeyArn", "Description",
        )  # fmt: skip
        scheduler.update_schedule(**{key: schedule[key] for key in known if key in schedule} | changed)

    def _advance(self, after: date, report: Report) -> Iterator[Retraining]:
        """Move the clock on; yield what became of the executions that this started, their releases included."""
        before = {each["PipelineExecutionArn"] for each in self._executions()}
        local.advance(self.port, timedelta(days=self.step_days), report)
        for each in reversed(self._executions()):
            if each["PipelineExecutionArn"] not in before:
                yield self._judged(after, each["PipelineExecutionArn"])

    def _executions(self) -> list[dict[str, Any]]:
        pages = self._sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=self._pipeline)
        return [each for page in pages for each in page["PipelineExecutionSummaries"]]

    def _judged(self, after: date, execution: str) -> Retraining:
        described = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
        steps = self._sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        state = {step["StepName"]: step for step in steps}
        name = execution.rpartition("/")[2]
        if described["PipelineExecutionStatus"] == "Succeeded":
            reason = self._verdict(execution)
            self._version = self._release(execution)
            return Retraining(
                after=after, execution=name, outcome=Outcome.RELEASED, reason=reason, version=self._version
            )
        rejected = state.get("Rejected")
        reasons = [step["FailureReason"] for step in steps if step.get("FailureReason")]
        reason = "; ".join(reasons) or described.get("FailureReason", "no reason given")
        outcome = Outcome.REJECTED if rejected else Outcome.FAILED
        return Retraining(after=after, execution=name, outcome=outcome, reason=reason)

    def _verdict(self, execution: str) -> str:
        uri = jobs.step_output(self._sagemaker, execution, "Evaluate", "evaluation")
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        found = self._deployment.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/evaluation.json")
        return str(json.loads(found["Body"].read())["gate"]["reason"])

    def _release(self, execution: str) -> int:
        """Approve what an execution registered, as a person does after a look at it, and release it."""
        package = jobs.registered_package(self._sagemaker, execution)
        releases = Releases(self._deployment, MODEL, POLL_SECONDS)
        releases.decide(package, "Approved", "approved by the season")
        releases.follow(package, lambda _: None)
        return int(package.rpartition("/")[2])

    def _told(self) -> str:
        newest = self.season.scored[-1]
        frozen, current = (scoring.auc(newest.labels, each) for each in (newest.frozen, newest.current))
        told = f"{len(newest.labels):,} flights, AUC {current:.3f} by version {newest.version}, frozen {frozen:.3f}"
        for each in self.season.retrainings:
            if each.after == newest.last_day:
                told += f"; retrained: {each.outcome}"
        return told
