"""The story of a season: days land, the clock moves on, a schedule or an alarm retrains, the gate judges.

Two endpoints answer for each day before the models have seen it: the one that is released to, and one that keeps the
model of the beginning. Nothing but the AWS APIs is used, so that what is told here is what the platform does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import boto3
import polars as pl

from mlops_cli import flights, jobs, local, scoring
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.data.waiting import wait_until_published
from mlops_cli.deployment import Deployment, camel, dashed
from mlops_cli.monitoring.reports import Reports
from mlops_cli.monitoring.watched import alarms
from mlops_cli.releases import Releases
from mlops_cli.repository import declaration, models
from mlops_cli.season.monitored import Monitored
from mlops_cli.season.outcomes import Outcome, RetrainedBy, Retraining, Scored, Season
from mlops_cli.season.traffic import Traffic
from mlops_cli.story import Story

ENVIRONMENT = "dev"
DATASET = "flights"
MODEL = "flight_delay"
PUBLISHED_SECONDS = 900
PUBLISHED_POLL_SECONDS = 1
POLL_SECONDS = 0.5

Report = Callable[[str], None]


@dataclass
class SeasonStory(Story):
    """From `first_day` to `last_day`, in steps of some days. What has landed before the first day trains the model that
    is kept as it is.

    `retrained_by` says what starts trainings, `singly` what share of the flights is asked for one by one.
    """

    first_day: date = date(2013, 7, 1)
    last_day: date = date(2013, 12, 31)
    step_days: int = 7
    history_from: date = flights.FIRST_DAY
    retrained_by: RetrainedBy = RetrainedBy.SCHEDULE
    singly: float = 0.25
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
        self._reports = Reports(deployment, MODEL)
        self._traffic = self._clients()
        self._schedule_trainings()
        for first, last in self._steps():
            with self.chapter(f"{first} to {last}") as report:
                rows = self._land(first, last, report)
                self.season.scored.append(self._score(rows, first, last, frozen, current))
                self._live_on(last, report)
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
        label = declaration(MODEL)["data"]["label"]
        labelled = rows.drop_nulls(label)
        return Scored(
            first_day=first,
            last_day=last,
            days=labelled["day"].to_list(),
            labels=labelled[label].cast(pl.Int8).to_numpy(),
            frozen=self._traffic.ask_in_batches(frozen, labelled),
            current=self._traffic.ask(current, labelled),
            version=self._version,
        )

    def _clients(self) -> Traffic:
        columns = self._deployment.outputs("data")[f"{camel(DATASET)}InferenceIdColumns"]
        return Traffic(
            runtime=self._deployment.client("sagemaker-runtime"),
            features=declaration(MODEL)["data"]["features"],
            key=columns.split(","),
            singly=self.singly,
        )

    def _schedule_trainings(self) -> None:
        """Have either the model's schedule or its alarms start training from now on, and all others rest.

        An operator may do so. Where the schedule trains, the monitor looks once a step too, just before it would.
        """
        every = f"rate({self.step_days} day{'' if self.step_days == 1 else 's'})"
        if self.retrained_by is RetrainedBy.SCHEDULE:
            self._reschedule(f"{dashed(MODEL)}-monitoring", ScheduleExpression=every)
            self._reschedule(f"{dashed(MODEL)}-training", ScheduleExpression=every)
            self._rest_loop()
        else:
            self._reschedule(f"{dashed(MODEL)}-training", State="DISABLED")
        for model in models():
            if model != MODEL:
                self._reschedule(f"{dashed(model)}-training", State="DISABLED")
                if declaration(model).get("monitoring"):
                    self._reschedule(f"{dashed(model)}-monitoring", State="DISABLED")
            if declaration(model).get("batch"):
                self._reschedule(f"{dashed(model)}-batch", State="DISABLED")

    def _rest_loop(self) -> None:
        """Have no alarm start a training: the rules that start the retraining loop rest."""
        machine = self._reports.outputs.get("RetrainingArn")
        if machine:
            events = self._deployment.client("events")
            for name in events.list_rule_names_by_target(TargetArn=machine)["RuleNames"]:
                events.disable_rule(Name=name)

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

    def _live_on(self, after: date, report: Report) -> None:
        """Move the clock on, a day at a time; note what became of the trainings that were started, and what was seen.

        What a training leaves is approved on the same day: an alarm's training is to end it.
        """
        seen = self._reports.executions()
        trained = {each["PipelineExecutionArn"] for each in self._executions()}
        for _ in range(self.step_days):
            local.advance(self.port, timedelta(days=1), report)
            on = self._alarms() if self.retrained_by is RetrainedBy.DRIFT else []
            for each in reversed(self._executions()):
                if each["PipelineExecutionArn"] not in trained:
                    trained.add(each["PipelineExecutionArn"])
                    self.season.retrainings.append(self._judged(after, each["PipelineExecutionArn"], on))
        runs = self._reports.without(seen)
        self.season.monitored.append(Monitored(after=after, runs=runs, alarms=self._alarms()))

    def _alarms(self) -> list[str]:
        """What the alarms that are on are about: drift, quality.

        Silence isn't told: the flights of a step are asked for in one go, and nothing until the next one.
        """
        names = self._reports.outputs["AlarmNames"].split(",")
        return [
            each.cause
            for each in alarms(self._deployment.client("cloudwatch"), names)
            if each.state == "ALARM" and each.cause != "silence"
        ]

    def _executions(self) -> list[dict[str, Any]]:
        pages = self._sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=self._pipeline)
        return [each for page in pages for each in page["PipelineExecutionSummaries"]]

    def _judged(self, after: date, execution: str, on: Sequence[str]) -> Retraining:
        described = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
        steps = self._sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        state = {step["StepName"]: step for step in steps}
        name = execution.rpartition("/")[2]
        if described["PipelineExecutionStatus"] == "Succeeded":
            reason = self._verdict(execution)
            self._version = self._release(execution)
            return Retraining(
                after=after, execution=name, outcome=Outcome.RELEASED, reason=reason, version=self._version, alarms=on
            )
        rejected = state.get("Rejected")
        reasons = [step["FailureReason"] for step in steps if step.get("FailureReason")]
        reason = "; ".join(reasons) or described.get("FailureReason", "no reason given")
        outcome = Outcome.REJECTED if rejected else Outcome.FAILED
        return Retraining(after=after, execution=name, outcome=outcome, reason=reason, alarms=on)

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
        monitored = self.season.monitored[-1].newest
        if monitored:
            moved = f"{', '.join(monitored.moved) or 'nothing'} moved"
            judged = monitored.status in ("calm", "drifted")
            told += f"; monitor: {moved if judged else monitored.status.replace('_', ' ')}"
        return told
