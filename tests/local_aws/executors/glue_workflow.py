"""A Glue workflow in the making, and its runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ROLE = "arn:aws:iam::123456789012:role/etl"
ENDED = {"COMPLETED", "STOPPED", "ERROR"}
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


def job_runs(run: dict[str, Any], job: str) -> list[dict[str, Any]]:
    """Return the runs of a job in the graph of a workflow's run."""
    nodes = [node for node in run["Graph"]["Nodes"] if (node["Type"], node["Name"]) == ("JOB", job)]
    return list(nodes[0]["JobDetails"]["JobRuns"])
