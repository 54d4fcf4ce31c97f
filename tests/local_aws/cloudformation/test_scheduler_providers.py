"""Schedules and their groups as CloudFormation deploys them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.cloudformation.deployer import Deployer, deployed, resource, tags

TARGET = {
    "Arn": "arn:aws:scheduler:::aws-sdk:glue:startWorkflowRun",
    "RoleArn": "arn:aws:iam::123456789012:role/starts",
    "Input": json.dumps({"Name": "dev-flights"}),
}


def schedule(expression: str, **properties: Any) -> dict[str, Any]:
    return {
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": TARGET,
        **properties,
    }


def test_schedule_follows_its_declaration(stack: Deployer) -> None:
    scheduler = stack.client("scheduler")
    end = "2199-01-01T00:00:00.000Z"
    zone = "Europe/Berlin"
    first = schedule("cron(0 6 * * ? *)", ScheduleExpressionTimezone=zone, Description="daily", EndDate=end)
    name = deployed(stack, "Scheduler::Schedule", first)
    found = scheduler.get_schedule(Name=name)
    assert (found["ScheduleExpressionTimezone"], found["EndDate"].year) == (zone, 2199)
    assert found["Target"].items() >= TARGET.items()
    assert deployed(stack, "Scheduler::Schedule", schedule("rate(1 hour)", State="DISABLED")) == name
    found = scheduler.get_schedule(Name=name)
    assert (found["ScheduleExpression"], found["State"]) == ("rate(1 hour)", "DISABLED")
    assert not {"Description", "EndDate"} & set(found)
    deployed(stack, "Scheduler::Schedule", schedule("rate(1 hour)"))
    assert scheduler.get_schedule(Name=name)["State"] == "ENABLED"
    stack.destroy()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        scheduler.get_schedule(Name=name)


def test_schedule_moves_to_another_group_under_its_name(stack: Deployer) -> None:
    scheduler = stack.client("scheduler")

    def resources(group: str) -> dict[str, Any]:
        return {
            "One": resource("Scheduler::ScheduleGroup", {"Name": "one"}),
            "Two": resource("Scheduler::ScheduleGroup", {"Name": "two"}),
            "It": resource("Scheduler::Schedule", schedule("rate(1 day)", Name="it", GroupName={"Ref": group})),
        }

    outputs = {"Arn": {"Value": {"Fn::GetAtt": ["It", "Arn"]}}}
    stack.deploy(resources("One"), template={"Outputs": outputs})
    assert stack.outputs()["Arn"].endswith(":schedule/one/it")
    stack.deploy(resources("Two"), template={"Outputs": outputs})
    assert stack.outputs()["Arn"].endswith(":schedule/two/it")
    assert [each["GroupName"] for each in scheduler.list_schedules(NamePrefix="it")["Schedules"]] == ["two"]
    scheduler.delete_schedule(Name="it", GroupName="two")
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_group_follows_its_tags_and_takes_its_schedules_along(stack: Deployer) -> None:
    scheduler = stack.client("scheduler")
    name = deployed(stack, "Scheduler::ScheduleGroup", {"Name": "nightly", "Tags": tags(team="data", stage="dev")})
    assert deployed(stack, "Scheduler::ScheduleGroup", {"Name": "nightly", "Tags": tags(team="ml")}) == name
    arn = scheduler.get_schedule_group(Name=name)["Arn"]
    assert scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == tags(team="ml")
    scheduler.create_schedule(Name="within", GroupName=name, **schedule("rate(1 day)"))
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="ResourceNotFound"):
        scheduler.get_schedule(Name="within", GroupName=name)


def test_schedule_that_could_not_run_fails_the_stack_with_the_reason(stack: Deployer) -> None:
    target = {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:f", "RoleArn": TARGET["RoleArn"]}
    stack.deploy({"It": resource("Scheduler::Schedule", schedule("rate(1 day)", Target=target))})
    assert "don't reach the target arn:aws:lambda" in stack.reasons()
    assert stack.describe()["StackStatus"] == "ROLLBACK_COMPLETE"


def test_rule_with_a_schedule_is_refused_with_what_to_use_instead(stack: Deployer) -> None:
    stack.deploy({"It": resource("Events::Rule", {"ScheduleExpression": "rate(1 day)"})})
    assert "use an AWS::Scheduler::Schedule" in stack.reasons()
