"""Glue workflows: jobs that follow one another, their runs, statistics and graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from local_aws.event_targets import deliver_events
from local_aws.glue import GlueService

ROLE = "arn:aws:iam::123456789012:role/etl"
ENDED = {"COMPLETED", "STOPPED", "ERROR"}
ARN = "arn:aws:glue:us-east-1:123456789012:workflow/nightly"
# says in S3 that it ran, and with which arguments
SCRIPT = """
import boto3, json, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
key = f"ran/{given['--JOB_NAME']}/{given['--JOB_RUN_ID']}"
boto3.client("s3").put_object(Bucket="lake", Key=key, Body=json.dumps(given).encode())
time.sleep(float(given.get("--sleep", 0)))
sys.exit(int(given.get("--exit", 0)))
"""


@dataclass
class Nightly:
    """The workflow `nightly`, its jobs and triggers."""

    server: Any
    glue: Any
    wait: Callable[..., Any]

    def job(self, name: str, **job: Any) -> None:
        command = {"Name": "pythonshell", "ScriptLocation": "s3://lake/code/script.py"}
        self.glue.create_job(**{"Name": name, "Role": ROLE, "Command": command, "Timeout": 30, **job})

    def trigger(self, name: str, job: str, kind: str = "ON_DEMAND", **trigger: Any) -> None:
        actions = trigger.pop("Actions", [{"JobName": job}])
        self.glue.create_trigger(Name=name, WorkflowName="nightly", Type=kind, Actions=actions, **trigger)

    def follow(self, name: str, job: str, *conditions: tuple[str, str], logical: str = "AND", **trigger: Any) -> None:
        listed = [{"LogicalOperator": "EQUALS", "JobName": job, "State": state} for job, state in conditions]
        predicate = {"Logical": logical, "Conditions": listed}
        self.trigger(name, job, "CONDITIONAL", Predicate=predicate, StartOnCreation=True, **trigger)

    def start(self, **properties: str) -> str:
        return str(self.glue.start_workflow_run(Name="nightly", RunProperties=properties)["RunId"])

    def describe(self, run_id: str) -> dict[str, Any]:
        return dict(self.glue.get_workflow_run(Name="nightly", RunId=run_id, IncludeGraph=True)["Run"])

    def ended(self, run_id: str) -> dict[str, Any]:
        return dict(self.wait(lambda: self.describe(run_id), lambda run: run["Status"] in ENDED))

    def run(self, **properties: str) -> dict[str, Any]:
        return self.ended(self.start(**properties))

    def runs(self) -> list[dict[str, Any]]:
        return list(self.glue.get_workflow_runs(Name="nightly")["Runs"])

    def arguments(self, job: str) -> list[dict[str, str]]:
        """Return the arguments of the runs of a job that got as far as its script."""
        s3 = self.server.client("s3")
        found = s3.list_objects_v2(Bucket="lake", Prefix=f"ran/{job}/").get("Contents", [])
        return [json.load(s3.get_object(Bucket="lake", Key=entry["Key"])["Body"]) for entry in found]


@pytest.fixture
def nightly(server: Any, wait: Callable[..., Any]) -> Nightly:
    server.add(GlueService(server.context))
    server.client("s3").put_object(Bucket="lake", Key="code/script.py", Body=SCRIPT.encode())
    glue = server.client("glue")
    glue.create_workflow(Name="nightly", DefaultRunProperties={"Redo": "changed", "FirstDay": "2013-01-01"})
    return Nightly(server, glue, wait)


@pytest.fixture
def rules(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.events.models import Rule

    monkeypatch.setattr(Rule, "send_to_targets", Rule.send_to_targets)
    deliver_events(server.context)


def job_runs(run: dict[str, Any], job: str) -> list[dict[str, Any]]:
    nodes = [node for node in run["Graph"]["Nodes"] if (node["Type"], node["Name"]) == ("JOB", job)]
    return list(nodes[0]["JobDetails"]["JobRuns"])


def test_job_follows_the_one_that_succeeded(nightly: Nightly) -> None:
    for name in ("prepare", "publish"):
        nightly.job(name)
    nightly.trigger("first", "prepare", Actions=[{"JobName": "prepare", "Arguments": {"--colour": "blue"}}])
    nightly.follow("then", "publish", ("prepare", "SUCCEEDED"))
    run = nightly.run(FirstDay="2013-07-04")
    assert run["Status"] == "COMPLETED"
    assert {name: count for name, count in run["Statistics"].items() if count} == {
        "TotalActions": 2,
        "SucceededActions": 2,
    }
    assert run["WorkflowRunProperties"] == {"Redo": "changed", "FirstDay": "2013-07-04"}
    prepare, publish = job_runs(run, "prepare")[0], job_runs(run, "publish")[0]
    assert (prepare["TriggerName"], prepare["Arguments"]) == ("first", {"--colour": "blue"})
    assert publish["PredecessorRuns"] == [{"JobName": "prepare", "RunId": prepare["Id"]}]
    assert nightly.arguments("publish")[0] == {
        "--JOB_NAME": "publish",
        "--JOB_RUN_ID": publish["Id"],
        "--WORKFLOW_NAME": "nightly",
        "--WORKFLOW_RUN_ID": run["WorkflowRunId"],
    }


def test_batch_of_events_starts_a_run_that_names_them(server: Any, nightly: Nightly, rules: None) -> None:
    nightly.job("prepare")
    condition = {"BatchSize": 2, "BatchWindow": 900}
    nightly.trigger("landed", "prepare", "EVENT", EventBatchingCondition=condition, StartOnCreation=True)
    send_landed_events(server, 3)
    [run] = nightly.wait(nightly.runs, lambda runs: [run["Status"] for run in runs] == ["COMPLETED"])
    assert run["StartingEventBatchCondition"] == {"BatchSize": 2}
    events = run["WorkflowRunProperties"]["aws:eventIds"]
    assert (events[0], events[-1], len(events[1:-1].split(", "))) == ("[", "]", 2)


def send_landed_events(server: Any, count: int) -> None:
    events = server.client("events")
    events.put_rule(Name="landed", EventPattern='{"source": ["test.lake"]}')
    events.put_targets(Rule="landed", Targets=[{"Id": "workflow", "Arn": ARN, "RoleArn": ROLE}])
    for _ in range(count):
        events.put_events(Entries=[{"Source": "test.lake", "DetailType": "landed", "Detail": "{}"}])
