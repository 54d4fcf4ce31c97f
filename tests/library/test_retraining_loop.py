"""The construct that retrains by alarms: what starts its state machine, and what that may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from botocore.loaders import Loader
from botocore.model import ServiceModel

from mlops_constructs.job_pipeline import JobPipeline
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.retraining_definition import Retraining, retraining_definition
from mlops_constructs.retraining_loop import RetrainingLoop
from mlops_constructs.training_trigger import TrainingTrigger

Find = Callable[..., Any]
LOOP = Retraining(
    name="dev-late",
    alarm_names=["drift"],
    trigger_arn="arn:aws:states:eu-west-1:123456789012:stateMachine:trigger",
    topic_arn="arn:aws:sns:eu-west-1:123456789012:told",
    cool_down_seconds=3600,
    stop_after=3,
    reports="s3://artifacts/late",
)
SERVICES = {"sfn": "stepfunctions"}
ACTIONS = {"sfn": "states", "cloudwatch": "cloudwatch", "sagemaker": "sagemaker", "sns": "sns"}


@pytest.fixture
def loop(stack: Stack, key: kms.Key) -> RetrainingLoop:
    pipeline = JobPipeline(stack, "Pipeline", pipeline_name="dev-late")
    metric = cloudwatch.Metric(namespace="x", metric_name="x")
    made = RetrainingLoop(
        stack,
        "Retraining",
        name="dev-late",
        alarms=[cloudwatch.Alarm(stack, "Drift", metric=metric, threshold=1, evaluation_periods=3)],
        pipeline=pipeline,
        trigger=TrainingTrigger(stack, "Trigger", pipeline=pipeline, key=key),
        registry=ModelRegistry(stack, "Registry", group_name="dev-late", description="-"),
        topic=sns.Topic(stack, "Topic"),
        key=key,
        reports="s3://artifacts/late",
        cool_down=Duration.hours(1),
    )
    made.on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Told")))
    return made


def tasks() -> list[dict[str, Any]]:
    return [state for state in retraining_definition(LOOP)["States"].values() if state["Type"] == "Task"]


def calls() -> list[tuple[str, str, dict[str, Any]]]:
    """Service, operation and arguments of every call of an SDK."""
    found = [
        (*task["Resource"].split(":")[-2:], task["Arguments"]) for task in tasks() if "aws-sdk" in task["Resource"]
    ]
    return [(service, name[0].upper() + name[1:], arguments) for service, name, arguments in found]


def test_state_machine_may_do_what_its_states_call_and_no_more(
    loop: RetrainingLoop, resources: Find, statements: Find
) -> None:
    del loop
    (role,) = [name for name in resources("AWS::IAM::Role") if name.startswith("RetrainingRole")]
    allowed = {action for each in statements(role) for action in each["Action"]}
    called = {f"{ACTIONS[service]}:{name}" for service, name, _ in calls()}
    waiting = {
        "states:StartExecution", "states:DescribeExecution", "states:StopExecution",
        "events:DescribeRule", "events:PutRule", "events:PutTargets",
    }  # fmt: skip
    around = {"kms:Decrypt", "kms:GenerateDataKey", "sagemaker:DescribeModelPackageGroup"}
    own = {action for action in allowed if action.startswith(("logs:", "xray:"))}
    assert allowed - own == called | waiting | around
    for each in statements(role):
        if not own & set(each["Action"]):
            assert each["Resource"] != ["*"]


def test_state_machine_waits_by_the_rule_of_step_functions_for_the_trigger_alone(
    loop: RetrainingLoop, resources: Find, statements: Find
) -> None:
    del loop
    (role,) = [name for name in resources("AWS::IAM::Role") if name.startswith("RetrainingRole")]
    by_action = {action: json.dumps(each["Resource"]) for each in statements(role) for action in each["Action"]}
    assert "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule" in by_action["events:PutRule"]
    assert "TriggerMachine" in by_action["states:StartExecution"]
    assert ":execution:" in by_action["states:StopExecution"]
    assert "RetrainingMachine" in by_action["states:ListExecutions"]


def test_alarm_that_goes_off_starts_it(loop: RetrainingLoop, stack: Stack, resources: Find) -> None:
    rules = [each["Properties"] for each in resources("AWS::Events::Rule").values()]
    (rule,) = [each for each in rules if each["EventPattern"]["source"] == ["aws.cloudwatch"]]
    (alarm,) = resources("AWS::CloudWatch::Alarm")
    assert rule["EventPattern"]["resources"] == [{"Fn::GetAtt": [alarm, "Arn"]}]
    assert rule["EventPattern"]["detail"] == {"state": {"value": ["ALARM"]}}
    assert rule["Targets"][0]["Arn"] == stack.resolve(loop.state_machine_arn)


def test_tasks_fit_their_services() -> None:
    found = calls()
    assert len(found) == 7
    for service, name, arguments in found:
        client = SERVICES.get(service, service)
        model = ServiceModel(Loader().load_service_model(client, "service-2"), client)
        shape = model.operation_model(name).input_shape
        members = {f"{each[0].upper()}{each[1:]}" for each in shape.members}
        required = {f"{each[0].upper()}{each[1:]}" for each in shape.required_members}
        assert required <= set(arguments) <= members


def test_every_state_is_reached_and_every_next_state_is_there() -> None:
    definition = retraining_definition(LOOP)
    named = {definition["StartAt"]}
    for state in definition["States"].values():
        named |= {state.get("Next"), state.get("Default")}
        named |= {each["Next"] for each in [*state.get("Choices", []), *state.get("Catch", [])]}
    assert named - {None} == set(definition["States"])


@pytest.mark.parametrize(
    ("change", "told"),
    [({"alarm_names": []}, "alarm_names must name"), ({"stop_after": 0}, "stop_after at least 1, got 3600 and 0")],
)
def test_loop_that_never_turns_or_never_ends_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Retraining(**{**vars(LOOP), **change})
