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
    first = schedule("cron(0 6 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin", Description="daily")
    name = deployed(stack, "Scheduler::Schedule", first)
    found = scheduler.get_schedule(Name=name)
    assert found["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert found["Target"].items() >= TARGET.items()
    assert deployed(stack, "Scheduler::Schedule", schedule("rate(1 hour)", State="DISABLED")) == name
    found = scheduler.get_schedule(Name=name)
    assert (found["ScheduleExpression"], found["State"]) == ("rate(1 hour)", "DISABLED")
    assert "Description" not in found
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
