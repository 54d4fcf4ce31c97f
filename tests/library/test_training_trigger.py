"""What starts a training pipeline, and what the state machine in between may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from botocore.loaders import Loader
from botocore.model import ServiceModel

from mlops_constructs.runtime_image import RuntimeImage
from mlops_constructs.training_pipeline import TrainingPipeline
from mlops_constructs.training_trigger import TrainingTrigger
from mlops_constructs.trigger_definition import NeededFile, trigger_definition

Find = Callable[..., Any]
NEEDED = NeededFile("lake", "flights/manifest.json")
# the longest name that a pipeline has on this platform: twelve, a dash and 41
NAME = "environment1-" + "m" * 41


@pytest.fixture
def trigger(stack: Stack, key: kms.Key, tmp_path: Path) -> TrainingTrigger:
    (tmp_path / "Dockerfile").touch()
    image = RuntimeImage(stack, "Image", repository_name="runtime", source=tmp_path, key=key)
    pipeline = TrainingPipeline(stack, "Training", pipeline_name=NAME, image=image, key=key)
    return TrainingTrigger(stack, "Trigger", pipeline=pipeline, key=key, needed=NEEDED)


def machine(resources: Find) -> tuple[str, dict[str, Any]]:
    ((key, found),) = resources("AWS::StepFunctions::StateMachine").items()
    return key, dict(found["Properties"])


def role_of(resources: Find, prefix: str) -> str:
    (found,) = [key for key in resources("AWS::IAM::Role") if key.startswith(prefix)]
    return str(found)


def test_state_machine_may_do_what_its_states_call_and_on_its_own_pipeline_alone(
    trigger: TrainingTrigger, resources: Find, statements: Find
) -> None:
    del trigger
    called = {
        state["Resource"].rpartition(":")[2]
        for state in trigger_definition(NAME)["States"].values()
        if state["Type"] == "Task" and ":sagemaker:" in state["Resource"]
    }
    allowed = [each for each in statements(role_of(resources, "TriggerRole")) if "sagemaker" in each["Action"][0]]
    actions = {action.removeprefix("sagemaker:") for each in allowed for action in each["Action"]}
    assert {action[0].lower() + action[1:] for action in actions} == called
    on = [json.dumps(resource) for each in allowed for resource in each["Resource"]]
    assert all(f":pipeline/{NAME}" in resource for resource in on)
    describing = [each for each in allowed if each["Action"] == ["sagemaker:DescribePipelineExecution"]]
    assert [json.dumps(each["Resource"][0]).count("/execution/*") for each in describing] == [1]


def test_state_machine_may_look_for_the_file_that_it_needs_and_for_no_other(
    trigger: TrainingTrigger, resources: Find, statements: Find
) -> None:
    del trigger
    (found,) = [each for each in statements(role_of(resources, "TriggerRole")) if "s3:" in str(each["Action"])]
    assert found["Action"] == "s3:ListBucket" or found["Action"] == ["s3:ListBucket"]
    assert found["Condition"] == {"StringEquals": {"s3:prefix": NEEDED.key}}
    assert json.dumps(found["Resource"]).count(":s3:::lake") == 1


def test_state_machine_logs_encrypted_and_is_traced(trigger: TrainingTrigger, resources: Find) -> None:
    del trigger
    _, properties = machine(resources)
    ((log, group),) = resources("AWS::Logs::LogGroup").items()
    destination = properties["LoggingConfiguration"]["Destinations"][0]["CloudWatchLogsLogGroup"]["LogGroupArn"]
    assert destination == {"Fn::GetAtt": [log, "Arn"]}
    assert properties["LoggingConfiguration"]["Level"] == "ALL"
    assert group["Properties"]["LogGroupName"].startswith("/aws/vendedlogs/")
    assert "KmsKeyId" in group["Properties"]
    assert properties["TracingConfiguration"] == {"Enabled": True}


def test_state_machine_is_made_when_its_role_may_write_its_log(trigger: TrainingTrigger, resources: Find) -> None:
    del trigger
    ((_, found),) = resources("AWS::StepFunctions::StateMachine").items()
    assert any(each.startswith("TriggerRoleDefaultPolicy") for each in found["DependsOn"])


def test_tasks_fit_their_services(trigger: TrainingTrigger, resources: Find) -> None:
    del trigger
    models = {name: ServiceModel(Loader().load_service_model(name, "service-2"), name) for name in ("s3", "sagemaker")}
    definition = json.loads(machine(resources)[1]["DefinitionString"])
    tasks = [state for state in definition["States"].values() if state["Type"] == "Task"]
    assert len(tasks) == 6
    for task in tasks:
        service, name = task["Resource"].split(":")[-2:]
        shape = models[service].operation_model(name[0].upper() + name[1:]).input_shape
        assert set(shape.required_members) <= set(task["Arguments"]) <= set(shape.members)


def test_token_is_as_long_as_sagemaker_wants_it_whatever_the_names() -> None:
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    bounds = model.operation_model("StartPipelineExecution").input_shape.members["ClientRequestToken"].metadata
    expression = trigger_definition(NAME)["States"]["Start"]["Arguments"]["ClientRequestToken"]
    fixed = expression.split("'")[1]
    # what follows is the id of an execution, or the name of a state machine, which has 80 characters at most
    assert bounds["min"] <= len(fixed) + 1
    assert len(fixed) + 80 <= bounds["max"]


def test_schedule_starts_the_state_machine_and_nothing_else(
    trigger: TrainingTrigger, resources: Find, statements: Find
) -> None:
    trigger.on_schedule("Daily", "cron(0 7 * * ? *)")
    key, _ = machine(resources)
    (schedule,) = [each["Properties"] for each in resources("AWS::Scheduler::Schedule").values()]
    assert schedule["ScheduleExpression"] == "cron(0 7 * * ? *)"
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": [key, "Arn"]}
    assert json.loads(schedule["Target"]["Input"]) == {"trigger": "schedule"}
    (allowed,) = statements(role_of(resources, "TriggerDailyRole"))
    assert (allowed["Action"], allowed["Resource"]) == (["states:StartExecution"], [{"Fn::GetAtt": [key, "Arn"]}])


def test_events_start_the_state_machine_with_their_name_and_gap(
    trigger: TrainingTrigger, resources: Find, statements: Find
) -> None:
    pattern = events.EventPattern(source=["mlops.data"])
    trigger.on_event("NewData", pattern, name="new-data", at_most_every=Duration.days(1))
    trigger.on_event("Commit", events.EventPattern(source=["aws.codecommit"]), name="commit")
    key, _ = machine(resources)
    rules = [each["Properties"] for each in resources("AWS::Events::Rule").values()]
    assert [json.loads(rule["Targets"][0]["Input"]) for rule in rules] == [
        {"trigger": "new-data", "at_most_every_hours": 24},
        {"trigger": "commit"},
    ]
    assert {rule["Targets"][0]["Arn"]["Fn::GetAtt"][0] for rule in rules} == {key}
    # one role for all rules
    (allowed,) = statements(role_of(resources, "TriggerEventRole"))
    assert (allowed["Action"], allowed["Resource"]) == (["states:StartExecution"], [{"Fn::GetAtt": [key, "Arn"]}])


def test_alarm_that_goes_off_starts_the_state_machine(trigger: TrainingTrigger, stack: Stack, resources: Find) -> None:
    drift = cloudwatch.Alarm(
        stack,
        "Drift",
        metric=cloudwatch.Metric(namespace="models", metric_name="drift"),
        threshold=1,
        evaluation_periods=1,
    )
    trigger.on_alarm("Drifted", drift, name="drift")
    (rule,) = [each["Properties"] for each in resources("AWS::Events::Rule").values()]
    (alarm,) = resources("AWS::CloudWatch::Alarm")
    assert rule["EventPattern"] == {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "resources": [{"Fn::GetAtt": [alarm, "Arn"]}],
        "detail": {"state": {"value": ["ALARM"]}},
    }
    assert json.loads(rule["Targets"][0]["Input"]) == {"trigger": "drift"}


def test_trigger_that_fails_is_told(trigger: TrainingTrigger, stack: Stack, resources: Find) -> None:
    trigger.on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Alarms")))
    (rule,) = [each["Properties"] for each in resources("AWS::Events::Rule").values()]
    assert rule["EventPattern"]["detail"] == {
        "stateMachineArn": [{"Fn::GetAtt": [machine(resources)[0], "Arn"]}],
        "status": ["FAILED", "TIMED_OUT"],
    }
