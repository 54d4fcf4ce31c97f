"""`mlops demo`: the platform's main job from an empty machine to answered predictions, on the local AWS.

Each chapter either succeeds or raises with its reason; nothing is skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import boto3
import numpy as np
import polars as pl
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table

from mlops_cli import flights, jobs, scoring
from mlops_cli.data import strip
from mlops_cli.data.announcements import announcements
from mlops_cli.data.dataset import Dataset, deployed_dataset
from mlops_cli.data.days import partitions, snapshot
from mlops_cli.data.waiting import wait_until_published
from mlops_cli.deployment import Deployment, DeploymentError, camel, dashed
from mlops_cli.local import DEFAULT_PORT
from mlops_cli.monitoring.reports import Reports, texts
from mlops_cli.monitoring.watched import watched
from mlops_cli.releases import Releases
from mlops_cli.repository import declaration
from mlops_cli.story import Story
from mlops_cli.training import ENDED

ENVIRONMENT = "dev"
DATASET = "flights"
MODEL = "flight_delay"
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 7, 31)
HELD_OUT_DAYS = 31
PUBLISHED_SECONDS = 600
PUBLISHED_POLL_SECONDS = 2
ANNOUNCED_SECONDS = 30
MINIMUM_AUC = 0.72
POLL_SECONDS = 0.5
SAMPLED_DAYS = 7
SINGLE_REQUESTS = 800
SEED = 7
RETRAINING_SECONDS = 300
CAPTURED_SECONDS = 60


@dataclass
class Demo(Story):
    """The story of the platform's main job. `results` collects what the summary shows."""

    keeps_running: bool = True
    results: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Run every chapter. Raises DeploymentError (or the error of what failed) at the first that doesn't succeed."""
        began = time.monotonic()
        self.deploy(ENVIRONMENT)
        deployment = Deployment(ENVIRONMENT, boto3.session.Session())
        training, dataset = deployment.outputs(f"{dashed(MODEL)}-training"), deployed_dataset(deployment, DATASET)
        self.results["deployed"] = self._resources(deployment)
        days = list(flights.days_between(FIRST_DAY, LAST_DAY - timedelta(days=1)))
        with self.chapter("land flights and weather, day by day") as report:
            self.results["landed"] = self._land(deployment, dataset, days, report)
            report(self.results["landed"])
        with self.chapter("the events have each day prepared, checked, published (Glue workflow)") as report:
            self._publish(deployment, dataset, days, report)
        with self.chapter("one more day lands, and goes the same way by itself") as report:
            self._one_more_day(deployment, dataset, report)
        self._show_days(deployment, dataset)
        with self.chapter("train, evaluate, gate, register (SageMaker pipeline)") as report:
            parameters = {"LastDay": LAST_DAY.isoformat(), "TestDays": str(HELD_OUT_DAYS)}
            execution = jobs.run_pipeline(
                deployment.client("sagemaker"), training["PipelineName"], parameters, report, POLL_SECONDS
            )
            report(f"execution {execution.rpartition('/')[2]}")
        with self.chapter("approve the version, which alone releases it to the endpoint") as report:
            package = jobs.registered_package(deployment.client("sagemaker"), execution)
            releases = Releases(deployment, MODEL, POLL_SECONDS)
            releases.decide(package, "Approved", "approved by the demo")
            seconds = releases.follow(package, report)
            self.results["released"] = f"{seconds:.0f} s from the approval to the endpoint that serves it"
            report(f"{package}, {seconds:.0f} s after its approval")
            endpoint = deployment.outputs(f"{dashed(MODEL)}-serving")["EndpointName"]
        with self.chapter(f"score held-out flights of {LAST_DAY:%B} through the endpoint") as report:
            self._score(deployment, execution, endpoint, report)
        with self.chapter("ask about single flights as clients do, under the ids that labels come by") as report:
            self._ask_singly(deployment, dataset, endpoint, report)
        with self.chapter("monitor what was asked: is it what the model was trained on?") as report:
            reports = Reports(deployment, MODEL)
            self._monitor(reports, report)
        with self.chapter("the alarm on it has the model trained again, and the gate decides") as report:
            self._retrain(reports, execution, report)
        self.results["time"] = f"{time.monotonic() - began:.0f} s"
        self._summary(endpoint, execution)

    def _resources(self, deployment: Deployment) -> str:
        stacks = deployment.stacks()
        paginator = deployment.client("cloudformation").get_paginator("list_stack_resources")
        pages = (page for stack in stacks for page in paginator.paginate(StackName=stack))
        count = sum(len(page["StackResourceSummaries"]) for page in pages)
        return f"{count} resources in {len(stacks)} stacks: {', '.join(stacks)}"

    def _land(
        self, deployment: Deployment, dataset: Dataset, days: Sequence[date], report: Callable[[str], None]
    ) -> str:
        objects = 0

        def progress(landed: flights.Landed) -> None:
            nonlocal objects
            objects += 1
            report(f"{landed.key}, {landed.rows:,} rows")

        rows = flights.land(deployment.client("s3"), dataset.raw_bucket, days[0], days[-1], progress)
        return f"{rows:,} flights of {len(days)} days, {objects} objects"

    def _publish(
        self, deployment: Deployment, dataset: Dataset, days: Sequence[date], report: Callable[[str], None]
    ) -> None:
        glue = deployment.client("glue")
        records = wait_until_published(
            glue, dataset, days, report, poll=PUBLISHED_POLL_SECONDS, seconds=PUBLISHED_SECONDS
        )
        rows, runs = sum(each.rows for each in records.values()), {each["run"] for each in records.values()}
        report(f"{len(records)} days, {rows:,} rows, by {len(runs)} run{'' if len(runs) == 1 else 's'}")

    def _one_more_day(self, deployment: Deployment, dataset: Dataset, report: Callable[[str], None]) -> None:
        with announcements(deployment, dataset) as heard:
            began = time.monotonic()
            flights.land(deployment.client("s3"), dataset.raw_bucket, LAST_DAY, LAST_DAY)
            glue = deployment.client("glue")
            wait_until_published(glue, dataset, [LAST_DAY], report, poll=POLL_SECONDS, seconds=PUBLISHED_SECONDS)
            took = time.monotonic() - began
            detail = heard.wait_for(LAST_DAY, ANNOUNCED_SECONDS)
        report(f"{LAST_DAY}: {detail['rows']:,} rows {took:.0f} s after it landed, and the event that tells of it")

    def _show_days(self, deployment: Deployment, dataset: Dataset) -> None:
        found = snapshot(deployment, dataset)
        self.console.print(Padding(strip.strip(found), (0, 0, 0, 6)))
        rules = max(int(record["rules"].partition("/")[2]) for day in found.published if (record := day.published))
        self.results["published"] = f"{found.rows:,} rows of {len(found.published)} days; all {rules} rules hold"
        self.results["quarantine"] = f"{found.quarantined:,} rows"

    def _score(self, deployment: Deployment, execution: str, endpoint: str, report: Callable[[str], None]) -> None:
        declared = declaration(MODEL)
        uri = jobs.step_output(deployment.client("sagemaker"), execution, "Prepare", "test")
        frame = scoring.read_parquet(deployment.client("s3"), uri)
        scores = scoring.score(
            deployment.client("sagemaker-runtime"),
            endpoint,
            frame,
            declared["data"]["features"],
            declared["data"]["label"],
            progress=lambda rows: report(f"{rows:,} of {frame.height:,} flights"),
        )
        self.results["held-out flights"] = f"{scores.rows:,} of {LAST_DAY:%B %Y}, predicted by the endpoint"
        self.results["AUC"] = f"{scores.auc:.3f}"
        if scores.auc < MINIMUM_AUC:
            raise DeploymentError(f"the endpoint's AUC on held-out flights is {scores.auc:.3f}, under {MINIMUM_AUC}")

    def _ask_singly(
        self, deployment: Deployment, dataset: Dataset, endpoint: str, report: Callable[[str], None]
    ) -> None:
        days = list(flights.days_between(LAST_DAY - timedelta(days=HELD_OUT_DAYS - 1), LAST_DAY))
        glue, s3 = deployment.client("glue"), deployment.client("s3")
        records = partitions(glue, dataset.database, dataset.name, days[0], days[-1])
        asked = [(day, f"{records[day].location}/") for day in days[::SAMPLED_DAYS]]
        parts = [scoring.read_parquet(s3, uri).with_columns(pl.lit(day).alias("day")) for day, uri in asked]
        data = declaration(MODEL)["data"]
        rows = pl.concat(parts).drop_nulls(data["label"]).sample(SINGLE_REQUESTS, seed=SEED)
        taken = scoring.ask_singly(
            deployment.client("sagemaker-runtime"),
            endpoint,
            rows,
            data["features"],
            deployment.outputs("data")[f"{camel(DATASET)}InferenceIdColumns"].split(","),
            progress=lambda done: report(f"{done:,} of {rows.height:,} flights"),
        )
        self._wait_for_captures(deployment, endpoint, report)
        p50, p99 = (float(np.percentile(taken, each)) * 1000 for each in (50, 99))
        self.results["latency"] = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, one row a request through the API"

    def _wait_for_captures(self, deployment: Deployment, endpoint: str, report: Callable[[str], None]) -> None:
        """Wait until the single requests have been captured: the endpoint delivers them a little later."""
        s3, bucket = deployment.client("s3"), deployment.outputs("data")["CaptureBucketName"]
        found: dict[str, int] = {}
        deadline = time.monotonic() + CAPTURED_SECONDS
        while sum(found.values()) < SINGLE_REQUESTS:
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"{sum(found.values())} of {SINGLE_REQUESTS} requests are captured in s3://{bucket}"
                )
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{endpoint}/")
            for key in [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"] not in found]:
                found[key] = s3.get_object(Bucket=bucket, Key=key)["Body"].read().count(b'"inferenceId"')
            report(f"{sum(found.values()):,} of {SINGLE_REQUESTS:,} requests captured")
            time.sleep(POLL_SECONDS / 2)

    def _monitor(self, reports: Reports, report: Callable[[str], None]) -> None:
        sagemaker = reports.deployment.client("sagemaker")
        found = reports.of(jobs.run_pipeline(sagemaker, reports.pipeline, {"End": "now"}, report, POLL_SECONDS))
        if found.status not in ("calm", "drifted"):
            raise DeploymentError(f"the monitor could judge nothing: {'; '.join(texts(found))}")
        moved = f"{', '.join(found.moved)} moved" if found.moved else "no feature moved"
        self.results["monitor"] = f"{found.status}: {moved}; {found.quality()} on flights that have landed since"
        report(f"{found.report['rows']:,} rows, {found.status}: {moved}")

    def _retrain(self, reports: Reports, trained: str, report: Callable[[str], None]) -> None:
        """Wait until an alarm has started a training other than `trained`, and say what came of it."""
        deployment, deadline = reports.deployment, time.monotonic() + RETRAINING_SECONDS
        sagemaker = deployment.client("sagemaker")
        pipeline = deployment.outputs(f"{dashed(MODEL)}-training")["PipelineName"]
        status, on = "", list[str]()
        while status not in ENDED:
            if time.monotonic() > deadline:
                raise DeploymentError(f"no alarm has had {MODEL} trained within {RETRAINING_SECONDS} s; on are {on}")
            time.sleep(POLL_SECONDS)
            on = [each.cause for each in watched(reports).alarms if each.state == "ALARM"]
            newest = sagemaker.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"][0]
            if newest["PipelineExecutionArn"] != trained:
                status = newest["PipelineExecutionStatus"]
            report(f"alarm {', '.join(on) or 'not yet'}; training {status.lower() or 'not yet'}")
        execution = newest["PipelineExecutionArn"]
        if status == "Succeeded":
            version = jobs.registered_package(sagemaker, execution).rpartition("/")[2]
            said = f"version {version} is better, and waits for its approval"
        else:
            steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
            reasons = {each["StepName"]: each["FailureReason"] for each in steps if each.get("FailureReason")}
            if "Rejected" not in reasons:
                raise DeploymentError(f"the training {execution} ended {status}: {reasons}")
            said = f"rejected: {reasons['Rejected']}"
        self.results["retraining"] = f"started by the alarm on {', '.join(on)}; {said}"
        report(said)

    def _summary(self, endpoint: str, execution: str) -> None:
        table = Table.grid(padding=(0, 2))
        for name, value in self.results.items():
            table.add_row(f"[bold]{name}[/]", value)
        table.add_row("[bold]endpoint[/]", endpoint)
        table.add_row("[bold]execution[/]", execution)
        self.console.print(Panel(table, title="the platform is up", border_style="green"))
        if not self.keeps_running:
            return
        where = "" if self.port == DEFAULT_PORT else f" --port {self.port}"
        aws = ".venv/bin/aws"
        commands = (
            f'eval "$(.venv/bin/mlops local env{where})"   # then any AWS tool works, the AWS CLI for one:',
            f"{aws} sagemaker describe-endpoint --endpoint-name {endpoint}",
            f"{aws} sagemaker list-pipeline-execution-steps --pipeline-execution-arn {execution}",
            f"{aws} logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs --query events[].message",
            f".venv/bin/mlops data status {DATASET}",
            f".venv/bin/mlops data status {DATASET} --page data.html   # the same as a page, with every rule's history",
            f".venv/bin/mlops predict {MODEL} --sample 5",
            f".venv/bin/mlops monitor report {MODEL} --page monitoring.html   # what the monitor found, as a page",
            f".venv/bin/mlops monitor status {MODEL}",
            f"{aws} sagemaker start-pipeline-execution --pipeline-name dev-block-time   # a second model",
            f".venv/bin/mlops local stop{where}",
        )
        self.console.print("It keeps running. Look around with plain tools, and stop it when you're done:")
        for command in commands:
            self.console.print(f"  {command}", markup=False, soft_wrap=True)
