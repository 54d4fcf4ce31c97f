"""A dataset in an account of moto's, with a workflow and data quality results that a test decides on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from mlops_cli.data.dataset import Dataset, deployed_dataset
from mlops_cli.data.days import Day, Snapshot, snapshot
from mlops_cli.data.raw_files import landing
from mlops_cli.deployment import Deployment

VERSION = "v2"
TABLES = {
    "flights": {"daily": True, "columns": {}},
    "weather": {"daily": True, "days_before": 1, "columns": {}},
    "planes": {"columns": {}},
}
OUTPUTS = {
    "FlightsWorkflowName": "dev-flights",
    "FlightsPrepareJobName": "prepare-job",
    "FlightsPublishJobName": "publish-job",
    "DatabaseName": "mlops_dev",
    "RawBucketName": "raw",
    "CuratedBucketName": "curated",
}


class Glue:
    """Moto's catalog and jobs, with workflow runs and quality results, which moto doesn't know."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.runs: dict[str, dict[str, Any]] = {}
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.started: list[dict[str, str]] = []
        self.refusals = 0
        self._lock = threading.Lock()
        # what a run does: all of it happens before it has started
        self.work: Any = lambda run, properties: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def start_workflow_run(self, *, Name: str, RunProperties: dict[str, str]) -> dict[str, str]:
        if self.refusals:
            self.refusals -= 1
            raise ClientError(
                {"Error": {"Code": "ConcurrentRunsExceededException", "Message": "too many"}}, "StartWorkflowRun"
            )
        with self._lock:
            run = f"run-{len(self.started)}"
            self.started.append(dict(RunProperties))
            self.add_run(run, "COMPLETED", WorkflowRunProperties=dict(RunProperties))
            self.work(run, RunProperties)
        return {"RunId": run}

    def add_run(self, run: str, status: str, **more: Any) -> None:
        started = datetime(2013, 2, 1, tzinfo=UTC)
        self.runs[run] = {"WorkflowRunId": run, "Status": status, "StartedOn": started, **more}

    def get_workflow_run(self, *, Name: str, RunId: str, IncludeGraph: bool = False) -> dict[str, Any]:
        if RunId not in self.runs:
            raise ClientError({"Error": {"Code": "EntityNotFoundException", "Message": "gone"}}, "GetWorkflowRun")
        return {"Run": self.runs[RunId]}

    def get_workflow_runs(self, *, Name: str) -> dict[str, Any]:
        return {"Runs": list(self.runs.values())}

    def batch_get_data_quality_result(self, *, ResultIds: Sequence[str]) -> dict[str, Any]:
        assert 0 < len(ResultIds) <= 10
        found = [each for each in ResultIds if each in self.results]
        return {
            "Results": [
                {"ResultId": each, "RulesetName": "dev-flights", "RuleResults": self.results[each]} for each in found
            ]
        }


@dataclass
class Account:
    """The account, and what a test does in it."""

    glue: Glue
    s3: Any
    deployment: Deployment = field(init=False)

    def __post_init__(self) -> None:
        self.deployment = _Deployed("dev", self)

    def client(self, service: str) -> Any:
        return {"glue": self.glue, "s3": self.s3}[service]

    @property
    def dataset(self) -> Dataset:
        return deployed_dataset(self.deployment)

    def land(self, day: str, *tables: str, content: bytes = b"a\n1\n") -> None:
        for table in tables or ("weather", "flights"):
            self.s3.put_object(Bucket="raw", Key=f"{table}/day={day}/{table}.csv", Body=content)

    def inputs(self, day: str) -> str:
        dataset = self.dataset
        return landing(self.s3, "raw", dataset.daily).fingerprint(date.fromisoformat(day))

    def publish(self, day: str, **facts: str) -> None:
        known = {
            "run": "run-a",
            "inputs": self.inputs(day),
            "version": VERSION,
            "recordCount": "900",
            "quarantined": "0",
        }
        self._partition("flights", day, known | facts)

    def stage(self, day: str, state: str, **facts: str) -> None:
        known = {"run": "run-a", "inputs": self.inputs(day), "version": VERSION, "state": state}
        self._partition("flights_staged", day, known | facts)

    def days(self) -> dict[str, Day]:
        return {day.day.isoformat(): day for day in self.snapshot().days}

    def snapshot(self) -> Snapshot:
        return snapshot(self.deployment, self.dataset)

    def _partition(self, table: str, day: str, facts: dict[str, str]) -> None:
        location = {"Location": f"s3://curated/flights/load=1/day={day}/"}
        found = {"DatabaseName": "mlops_dev", "TableName": table}
        self.glue.batch_delete_partition(**found, PartitionsToDelete=[{"Values": [day]}])
        partition = {"Values": [day], "Parameters": facts, "StorageDescriptor": location}
        self.glue.create_partition(**found, PartitionInput=partition)


class _Deployed(Deployment):
    """The environment of a test, without stacks."""

    def outputs(self, stack: str) -> dict[str, str]:
        assert stack == "data"
        return OUTPUTS


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        glue, s3 = boto3.client("glue"), boto3.client("s3")
        for bucket in ("raw", "curated", "assets"):
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket="assets", Key="d.json", Body=json.dumps({"name": "flights", "tables": TABLES}))
        s3.put_object(Bucket="raw", Key="planes/planes.csv", Body=b"a\n1\n")
        arguments = {"--dataset": "flights", "--declaration": "s3://assets/d.json", "--version": VERSION}
        glue.create_job(Name="prepare-job", Role="r", Command={"Name": "glueetl"}, DefaultArguments=arguments)
        glue.create_database(DatabaseInput={"Name": "mlops_dev"})
        for table in ("flights", "flights_staged"):
            keys = [{"Name": "day", "Type": "date"}]
            glue.create_table(DatabaseName="mlops_dev", TableInput={"Name": table, "PartitionKeys": keys})
        found = Account(Glue(glue), s3)
        found.glue.add_run("run-a", "COMPLETED")
        yield found
