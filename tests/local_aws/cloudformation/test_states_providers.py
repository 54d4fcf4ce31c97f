"""State machines as CloudFormation deploys them, and the rules and schedules that start them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.cloudformation.deployer import Deployer, deployed, resource, tags

ROLE = "arn:aws:iam::123456789012:role/states"
TYPE = "StepFunctions::StateMachine"


def saying(text: str) -> dict[str, Any]:
    """A definition whose executions say something."""
    return {
        "QueryLanguage": "JSONata",
        "StartAt": "Say",
        "States": {"Say": {"Type": "Succeed", "Output": {"said": text, "asked": "{% $states.input %}"}}},
    }


def until(probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (found := probe()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def outputs(stack: Deployer, machine: str) -> list[Any]:
    states = stack.client("stepfunctions")
    executions = states.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED")["executions"]
    return [json.loads(states.describe_execution(executionArn=each["executionArn"])["output"]) for each in executions]


def said(stack: Deployer, machine: str) -> Any:
    before = len(outputs(stack, machine))
    stack.client("stepfunctions").start_execution(stateMachineArn=machine)
    return until(lambda: outputs(stack, machine)[: len(outputs(stack, machine)) - before])[0]["said"]


def test_state_machine_follows_its_declaration_under_its_name(stack: Deployer) -> None:
    states = stack.client("stepfunctions")
    first = {"DefinitionString": json.dumps(saying("one")), "RoleArn": ROLE, "Tags": tags(team="ml", stage="dev")}
    machine = deployed(stack, TYPE, first)
    assert said(stack, machine) == "one"
    changed = {**first, "DefinitionString": json.dumps(saying("two")), "Tags": tags(team="data")}
    changed["TracingConfiguration"] = {"Enabled": True}
    assert deployed(stack, TYPE, changed) == machine
    assert said(stack, machine) == "two"
    found = states.describe_state_machine(stateMachineArn=machine)
    assert found["tracingConfiguration"] == {"enabled": True}
    assert states.list_tags_for_resource(resourceArn=machine)["tags"] == [{"key": "team", "value": "data"}]
    # what the template no longer says is as it was before it said so
    deployed(stack, TYPE, first)
    assert states.describe_state_machine(stateMachineArn=machine)["tracingConfiguration"] == {"enabled": False}
    stack.destroy()
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        states.describe_state_machine(stateMachineArn=machine)


def test_definition_as_an_object_with_substitutions(stack: Deployer) -> None:
    properties = {
        "Definition": saying("hello ${Who}, ${Left}"), "DefinitionSubstitutions": {"Who": "there"}, "RoleArn": ROLE,
    }  # fmt: skip
    assert said(stack, deployed(stack, TYPE, properties)) == "hello there, ${Left}"


def test_name_and_type_are_for_good(stack: Deployer) -> None:
    properties = {"DefinitionString": json.dumps(saying("one")), "RoleArn": ROLE}
    first = deployed(stack, TYPE, {**properties, "StateMachineName": "first"})
    second = deployed(stack, TYPE, {**properties, "StateMachineName": "second"})
    assert (first.rpartition(":")[2], second.rpartition(":")[2]) == ("first", "second")
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        stack.client("stepfunctions").describe_state_machine(stateMachineArn=first)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"DefinitionString": "{"}, "Invalid State Machine Definition: it isn't JSON"),
        ({"Definition": {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}}, "QueryLanguage JSONata alone"),
        ({}, "needs a DefinitionString or a Definition"),
        ({"DefinitionS3Location": {"Bucket": "b", "Key": "k"}}, "doesn't support DefinitionS3Location"),
        ({"DefinitionString": json.dumps(saying("x")), "StateMachineType": "EXPRESS"}, "type STANDARD alone"),
    ],
)
def test_what_can_not_be_run_fails_the_stack_with_the_reason(
    stack: Deployer, properties: dict[str, Any], reason: str
) -> None:
    stack.deploy({"It": resource(TYPE, {"RoleArn": ROLE, **properties})})
    assert reason in stack.reasons()
    stack.destroy()


def test_rule_and_schedule_start_it_with_their_input(stack: Deployer) -> None:
    role = {"Role": resource("IAM::Role", {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}})}
    arn = {"Fn::GetAtt": ["Machine", "Arn"]}
    target = {"Arn": arn, "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}
    stack.deploy(
        {
            **role,
            "Machine": resource(TYPE, {"DefinitionString": json.dumps(saying("hello")), "RoleArn": ROLE}),
            "Constant": resource(
                "Events::Rule",
                {
                    "EventPattern": {"source": ["app.constant"]},
                    "Targets": [{"Id": "It", **target, "Input": '{"trigger": "rule"}'}],
                },
            ),
            "Whole": resource(
                "Events::Rule", {"EventPattern": {"source": ["app.whole"]}, "Targets": [{"Id": "It", **target}]}
            ),
            "Schedule": resource(
                "Scheduler::Schedule",
                {
                    "ScheduleExpression": "rate(1 day)",
                    "FlexibleTimeWindow": {"Mode": "OFF"},
                    "Target": {**target, "Input": '{"trigger": "schedule"}'},
                },
            ),
        }
    )
    machine = stack.physical_id("Machine")
    events = stack.client("events")
    for source in ("app.constant", "app.whole"):
        events.put_events(Entries=[{"Source": source, "DetailType": "Hello", "Detail": '{"hour": 6}'}])
    # a rate runs at once as well
    until(lambda: len(outputs(stack, machine)) == 3)
    asked = [each["asked"] for each in outputs(stack, machine)]
    assert {each.get("trigger") for each in asked} == {"rule", "schedule", None}
    assert [each["detail"] for each in asked if "detail" in each] == [{"hour": 6}]
