"""The workflow of a dataset: what starts it, what follows, and who hears of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from mlops_constructs.data_workflow import DataWorkflow, Landing
from mlops_constructs.feature_job import FeatureJob
from mlops_constructs.glue_job import GlueJob, JobSecurity, ScriptAsset, SparkCode

Find = Callable[..., Any]
Build = Callable[..., DataWorkflow]


@pytest.fixture
def build(stack: Stack, key: kms.Key, access_logs: s3.Bucket, tmp_path: Path) -> Build:
    """Makes the workflow of two jobs."""
    (tmp_path / "run.py").write_text("print('hello')")
    code = SparkCode(script=ScriptAsset(stack, "Script", script=tmp_path / "run.py"), packages=[])
    security = JobSecurity(stack, "Security", key=key)
    jobs = {
        "prepare": FeatureJob(stack, "Prepare", code=code, security=security, arguments={}),
        "publish": GlueJob(stack, "Publish", code=code, security=security, arguments={}),
    }
    labels = GlueJob(stack, "Labels", code=code, security=security, arguments={})
    landing = Landing(bucket=access_logs, prefixes=["trips/", "weather/"], batch_size=10, window_seconds=60)

    def make(*, labelled: bool = False, **options: Any) -> DataWorkflow:
        if labelled:
            options["labels"] = labels
        names = {"workflow_name": "dev-trips", "dataset_name": "trips", "description": "Trips"}
        return DataWorkflow(stack, "Workflow", **names, **jobs, landing=landing, **options)

    return make


def trigger(resources: Find, kind: str) -> dict[str, Any]:
    (found,) = [
        each["Properties"] for each in resources("AWS::Glue::Trigger").values() if each["Properties"]["Type"] == kind
    ]
    return dict(found)


def job_of(resources: Find, name: str) -> dict[str, str]:
    (found,) = [key for key in resources("AWS::Glue::Job") if key.startswith(name)]
    return {"Ref": found}


def test_files_that_land_start_preparing_in_batches(build: Build, resources: Find) -> None:
    build()
    found = trigger(resources, "EVENT")
    assert found["Actions"] == [{"JobName": job_of(resources, "Prepare")}]
    assert found["EventBatchingCondition"] == {"BatchSize": 10, "BatchWindow": 60}


def test_publishing_follows_when_preparing_has_succeeded(build: Build, resources: Find) -> None:
    build()
    found = trigger(resources, "CONDITIONAL")
    assert found["Actions"] == [{"JobName": job_of(resources, "Publish")}]
    assert found["Predicate"]["Conditions"] == [
        {"JobName": job_of(resources, "Prepare"), "LogicalOperator": "EQUALS", "State": "SUCCEEDED"}
    ]
    assert found["StartOnCreation"] is True


def test_labels_follow_however_publishing_ended_since_days_may_be_published(build: Build, resources: Find) -> None:
    build(labelled=True)
    (found,) = [
        each["Properties"]
        for each in resources("AWS::Glue::Trigger").values()
        if each["Properties"]["Name"] == "dev-trips-published"
    ]
    assert found["Actions"] == [{"JobName": job_of(resources, "Labels")}]
    assert found["Predicate"]["Logical"] == "ANY"
    assert {each["State"] for each in found["Predicate"]["Conditions"]} == {"SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED"}
    assert {json.dumps(each["JobName"]) for each in found["Predicate"]["Conditions"]} == {
        json.dumps(job_of(resources, "Publish"))
    }


def test_labels_that_fail_are_an_event_too(build: Build, stack: Stack, resources: Find) -> None:
    build(labelled=True).on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Topic")))
    rules = [each["Properties"]["EventPattern"] for each in resources("AWS::Events::Rule").values()]
    (names,) = [rule["detail"]["jobName"] for rule in rules if rule["source"] == ["aws.glue"]]
    assert job_of(resources, "Labels") in names


def test_only_files_of_its_own_folders_reach_the_workflow(
    build: Build, stack: Stack, access_logs: s3.Bucket, resources: Find
) -> None:
    build()
    (rule,) = resources("AWS::Events::Rule").values()
    assert rule["Properties"]["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [stack.resolve(access_logs.bucket_name)]},
            "object": {"key": [{"prefix": "trips/"}, {"prefix": "weather/"}]},
        },
    }
    (target,) = rule["Properties"]["Targets"]
    assert "workflow/dev-trips" in json.dumps(target["Arn"])


def started_by(statements: Find, action: str) -> list[str]:
    return [json.dumps(each["Resource"]) for each in statements() if action in each["Action"]]


def test_the_rule_may_notify_its_workflow_and_no_other(build: Build, statements: Find) -> None:
    build()
    (resource,) = started_by(statements, "glue:notifyEvent")
    assert "workflow/dev-trips" in resource
    assert "*" not in resource


def test_a_schedule_starts_the_workflow_in_a_role_of_its_own(build: Build, resources: Find, statements: Find) -> None:
    build(schedule="cron(0 6 * * ? *)")
    (found,) = resources("AWS::Scheduler::Schedule").values()
    assert found["Properties"]["ScheduleExpression"] == "cron(0 6 * * ? *)"
    target = found["Properties"]["Target"]
    assert json.loads(target["Input"]) == {"Name": "dev-trips"}
    assert json.dumps(target["Arn"]).endswith(':scheduler:::aws-sdk:glue:startWorkflowRun"]]}')
    (resource,) = started_by(statements, "glue:StartWorkflowRun")
    assert "workflow/dev-trips" in resource


def test_there_is_no_schedule_unless_one_is_asked_for(build: Build, resources: Find, statements: Find) -> None:
    build()
    assert not resources("AWS::Scheduler::Schedule")
    assert not started_by(statements, "glue:StartWorkflowRun")


@pytest.mark.parametrize(
    ("listen", "detail_type"), [("on_published", "Dataset Published"), ("on_held", "Dataset Held")]
)
def test_days_of_this_workflow_s_dataset_are_told_to_who_listens(
    listen: str, detail_type: str, build: Build, stack: Stack, resources: Find
) -> None:
    getattr(build(), listen)("Told", targets.SnsTopic(sns.Topic(stack, "Topic")))
    patterns = [each["Properties"]["EventPattern"] for each in resources("AWS::Events::Rule").values()]
    assert {
        "source": ["mlops.data"],
        "detail-type": [detail_type],
        "detail": {"dataset": ["trips"], "workflow": ["dev-trips"]},
    } in patterns


def test_a_run_of_either_job_that_fails_is_an_event_for_a_target(build: Build, stack: Stack, resources: Find) -> None:
    build().on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Topic")))
    (detail,) = [
        each["Properties"]["EventPattern"]["detail"]
        for each in resources("AWS::Events::Rule").values()
        if each["Properties"]["EventPattern"]["source"] == ["aws.glue"]
    ]
    assert detail["jobName"] == [job_of(resources, "Prepare"), job_of(resources, "Publish")]
    assert detail["state"] == ["FAILED", "TIMEOUT", "ERROR"]


def test_only_publishing_tells_and_only_as_the_data_platform(build: Build, statements: Find) -> None:
    build()
    (tells,) = [each for each in statements() if "events:PutEvents" in each["Action"]]
    assert "event-bus/default" in json.dumps(tells["Resource"])
    assert tells["Condition"] == {"StringEquals": {"events:source": "mlops.data"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prefixes": []}, "prefixes must name one folder at least"),
        ({"batch_size": 101}, "batch_size must be from 1 to 100, got 101"),
        ({"window_seconds": 0}, "window_seconds must be from 1 to 900, got 0"),
    ],
)
def test_a_landing_that_glue_refuses_is_refused(changes: dict[str, Any], message: str, access_logs: s3.Bucket) -> None:
    with pytest.raises(ValueError, match=message):
        Landing(**{"bucket": access_logs, "prefixes": ["trips/"]} | changes)
