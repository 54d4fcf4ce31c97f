"""What stacks show and share: conditions, outputs, exports, events and lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.cloudformation.deployer import Deployer

Make = Callable[..., dict[str, Any]]


def value_of(stack: Deployer, logical_id: str) -> str:
    name = stack.physical_id(logical_id)
    return str(stack.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def with_switch(resources: dict[str, Any], value: str) -> dict[str, Any]:
    return {
        "resources": resources,
        "template": {
            "Parameters": {"Switch": {"Type": "String", "Default": "off"}},
            "Conditions": {"On": {"Fn::Equals": [{"Ref": "Switch"}, "on"]}},
            "Outputs": {
                "Extra": {"Condition": "On", "Value": {"Ref": "Extra"}},
                "State": {"Value": {"Fn::If": ["On", {"Fn::GetAtt": ["Extra", "Value"]}, "off"]}},
            },
        },
        "Parameters": [{"ParameterKey": "Switch", "ParameterValue": value}],
    }


def test_resource_appears_and_disappears_with_its_condition(stack: Deployer, parameter: Make) -> None:
    resources = {
        "Always": parameter({"Fn::If": ["On", {"Ref": "Extra"}, "nothing"]}),
        "Extra": parameter("extra", properties={"Name": "/switched/extra"}, Condition="On"),
        "After": parameter("1", DependsOn=["Extra"]),
    }
    stack.deploy(**with_switch(resources, "off"))
    assert value_of(stack, "Always") == "nothing"
    assert stack.outputs() == {"State": "off"}
    stack.deploy(**with_switch(resources, "on"))
    assert value_of(stack, "Always") == "/switched/extra"
    assert stack.outputs() == {"Extra": "/switched/extra", "State": "extra"}
    described = stack.deploy(**with_switch(resources, "off"))
    assert described["StackStatus"] == "UPDATE_COMPLETE"
    assert value_of(stack, "Always") == "nothing"
    assert stack.client("ssm").get_parameters(Names=["/switched/extra"])["Parameters"] == []
    events = stack.events()
    assert events.index((stack.name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")) < events.index(
        ("Extra", "DELETE_COMPLETE")
    )


def test_reference_to_what_a_condition_left_out_fails_the_deployment(stack: Deployer, parameter: Make) -> None:
    resources = {"Extra": parameter("extra", Condition="On"), "Uses": parameter({"Ref": "Extra"})}
    described = stack.deploy(**with_switch(resources, "off"))
    assert described["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Unresolved resource dependencies [Extra]" in stack.reasons()


def exporting(value: str, name: str) -> dict[str, Any]:
    return {"Outputs": {"Shared": {"Description": "for others", "Value": value, "Export": {"Name": name}}}}


def test_export_is_imported_by_other_stacks_and_protected_while_it_is(
    stack: Deployer, other_stack: Deployer, parameter: Make
) -> None:
    client = stack.cloudformation
    resources = {"A": parameter("1")}
    stack.deploy(resources, template=exporting("one", "shared-name"))
    (export,) = [each for each in client.list_exports()["Exports"] if each["Name"] == "shared-name"]
    assert (export["Value"], export["ExportingStackId"]) == ("one", stack.describe()["StackId"])
    with pytest.raises(ClientError, match="is not imported by any stack"):
        client.list_imports(ExportName="shared-name")
    other_stack.deploy({"B": parameter({"Fn::ImportValue": "shared-name"})})
    assert value_of(other_stack, "B") == "one"
    assert client.list_imports(ExportName="shared-name")["Imports"] == [other_stack.name]

    assert (
        stack.deploy(resources, template=exporting("two", "shared-name"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    )
    assert f"Export shared-name cannot be updated as it is in use by {other_stack.name}" in stack.reasons()
    assert stack.deploy(resources, template={})["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Export shared-name cannot be deleted" in stack.reasons()
    assert stack.outputs() == {"Shared": "one"}
    assert stack.destroy()["StackStatus"] == "DELETE_FAILED"

    assert other_stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_export_name_belongs_to_one_stack(stack: Deployer, other_stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")}, template=exporting("one", "taken-name"))
    described = other_stack.deploy({"A": parameter("1")}, template=exporting("two", "taken-name"))
    assert described["StackStatus"] == "ROLLBACK_COMPLETE"
    assert f"Export with name taken-name is already exported by stack {stack.name}" in other_stack.reasons()


def test_unknown_import_fails_its_resource(stack: Deployer, parameter: Make) -> None:
    assert (
        stack.deploy({"A": parameter({"Fn::ImportValue": "nobody-exports-this"})})["StackStatus"] == "ROLLBACK_COMPLETE"
    )
    assert "No export named nobody-exports-this found." in stack.reasons()


def test_events_come_newest_first_in_pages(stack: Deployer, parameter: Make) -> None:
    stack.deploy({f"P{number}": parameter("1") for number in range(45)})
    client = stack.cloudformation
    first = client.describe_stack_events(StackName=stack.name)
    assert len(first["StackEvents"]) == 100
    rest = client.describe_stack_events(StackName=stack.name, NextToken=first["NextToken"])
    events = [*first["StackEvents"], *rest["StackEvents"]]
    times = [event["Timestamp"] for event in events]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(times), "clients that sort by time keep the order"
    assert len({event["EventId"] for event in events}) == len(events) == 2 + 3 * 45
    assert (events[0]["LogicalResourceId"], events[0]["ResourceStatus"]) == (stack.name, "CREATE_COMPLETE")
    assert (events[-1]["ResourceStatus"], events[-1]["ResourceStatusReason"]) == (
        "CREATE_IN_PROGRESS",
        "User Initiated",
    )
    statuses = [event["ResourceStatus"] for event in reversed(events) if event["LogicalResourceId"] == "P7"]
    assert statuses == ["CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]


def test_token_of_the_client_is_in_every_event_of_its_deployment(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")}, ClientRequestToken="deploy-1")
    stack.deploy({"A": parameter("2")}, ClientRequestToken="deploy-2")
    events = stack.cloudformation.describe_stack_events(StackName=stack.name)["StackEvents"]
    tokens = [event["ClientRequestToken"] for event in reversed(events)]
    assert tokens == sorted(tokens)
    assert set(tokens) == {"deploy-1", "deploy-2"}


def test_deleted_stack_is_found_by_its_id_only(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")})
    stack_id = stack.describe()["StackId"]
    stack.destroy()
    client = stack.cloudformation
    assert client.describe_stack_events(StackName=stack_id)["StackEvents"][0]["ResourceStatus"] == "DELETE_COMPLETE"
    listed = client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"]).build_full_result()
    assert stack_id in [summary["StackId"] for summary in listed["StackSummaries"]]
    shown = client.get_paginator("describe_stacks").paginate().build_full_result()["Stacks"]
    assert stack_id not in [each["StackId"] for each in shown]
    client.delete_stack(StackName=stack.name)
    # and its name is free
    stack.created = False
    assert stack.deploy({"A": parameter("1")})["StackId"] != stack_id


def test_resources_are_listed_with_their_physical_ids(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1", Metadata={"aws:cdk:path": "App/A"}), "B": parameter("2")})
    client = stack.cloudformation
    (found,) = client.describe_stack_resources(StackName=stack.name, LogicalResourceId="A")["StackResources"]
    assert found["PhysicalResourceId"] == stack.physical_id("A")
    same = client.describe_stack_resources(PhysicalResourceId=stack.physical_id("A"))["StackResources"]
    assert [item["LogicalResourceId"] for item in same] == ["A", "B"]
    summaries = client.list_stack_resources(StackName=stack.name)["StackResourceSummaries"]
    assert [(item["LogicalResourceId"], item["ResourceStatus"]) for item in summaries] == [
        ("A", "CREATE_COMPLETE"), ("B", "CREATE_COMPLETE"),
    ]  # fmt: skip
    detail = client.describe_stack_resource(StackName=stack.name, LogicalResourceId="A")["StackResourceDetail"]
    assert detail["Metadata"] == '{"aws:cdk:path": "App/A"}'
    with pytest.raises(ClientError, match="Resource C does not exist for stack"):
        stack.physical_id("C")


def test_template_summary_names_types_and_parameters(stack: Deployer, parameter: Make) -> None:
    declared = {"V": {"Type": "String", "NoEcho": True, "AllowedValues": ["1", "2"]}}
    stack.deploy(
        {"A": parameter({"Ref": "V"})},
        template={"Parameters": declared, "Description": "one parameter"},
        Parameters=[{"ParameterKey": "V", "ParameterValue": "1"}],
    )
    summary = stack.cloudformation.get_template_summary(StackName=stack.name)
    assert summary["ResourceTypes"] == ["AWS::SSM::Parameter"]
    assert summary["Description"] == "one parameter"
    (found,) = summary["Parameters"]
    assert (found["NoEcho"], found["ParameterConstraints"]["AllowedValues"]) == (True, ["1", "2"])
    assert stack.describe()["Parameters"] == [{"ParameterKey": "V", "ParameterValue": "****"}]


def test_template_is_validated_without_a_stack(stack: Deployer, parameter: Make) -> None:
    def validate(*resources: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"Description": "d", "Resources": dict(zip("AB", resources, strict=False))})
        return dict(stack.cloudformation.validate_template(TemplateBody=body))

    assert validate(parameter("1"))["Description"] == "d"
    with pytest.raises(ClientError, match="Unresolved resource dependencies"):
        validate(parameter({"Ref": "Gone"}))


def test_template_is_read_from_s3(stack: Deployer, parameter: Make) -> None:
    s3 = stack.client("s3")
    s3.create_bucket(Bucket="template-bucket")
    s3.put_object(Bucket="template-bucket", Key="a/b.json", Body=json.dumps({"Resources": {"A": parameter("1")}}))
    client = stack.cloudformation
    for number, url in enumerate(
        ("https://template-bucket.s3.us-east-1.amazonaws.com/a/b.json", "http://localhost:1/template-bucket/a/b.json")
    ):
        client.create_stack(StackName=f"{stack.name}-{number}", TemplateURL=url)
    with pytest.raises(ClientError, match=r"S3 error: .*none\.json"):
        client.create_stack(StackName=stack.name, TemplateURL="https://template-bucket.s3.amazonaws.com/none.json")


def test_failed_events_can_be_asked_for(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("x", properties={"Type": "Nonsense"})})
    found = stack.cloudformation.describe_events(StackName=stack.name, Filters={"FailedEvents": True})
    assert [event["LogicalResourceId"] for event in found["OperationEvents"]] == ["A"]


def test_capabilities_are_asked_for(stack: Deployer) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}}
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_IAM\]") as raised:
        stack.deploy({"Role": role}, Capabilities=[])
    assert raised.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"
    role["Properties"]["RoleName"] = "named"  # type: ignore[index]
    with pytest.raises(ClientError, match=r"\[CAPABILITY_NAMED_IAM\]"):
        stack.deploy({"Role": role}, Capabilities=["CAPABILITY_IAM"])


@pytest.mark.parametrize(
    "request_member",
    [
        {"StackPolicyBody": "{}"},
        {"TimeoutInMinutes": 5},
        {"RollbackConfiguration": {"RollbackTriggers": [{"Arn": "a", "Type": "AWS::CloudWatch::Alarm"}]}},
    ],
    ids=lambda member: next(iter(member)),
)
def test_what_is_not_acted_on_is_refused(stack: Deployer, parameter: Make, request_member: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="doesn't act on"):
        stack.deploy({"A": parameter("1")}, **request_member)
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


def test_unknown_operation_is_an_error(stack: Deployer) -> None:
    with pytest.raises(ClientError, match="DetectStackDrift isn't supported"):
        stack.cloudformation.detect_stack_drift(StackName=stack.name)


def test_stacks_of_other_regions_are_not_seen(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")})
    elsewhere = stack.context.client("cloudformation", region="eu-west-1")
    with pytest.raises(ClientError, match="does not exist"):
        elsewhere.describe_stacks(StackName=stack.name)
    assert elsewhere.list_stacks()["StackSummaries"] == []
