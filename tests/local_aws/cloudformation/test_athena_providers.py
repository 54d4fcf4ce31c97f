"""Athena's workgroups and saved queries as CloudFormation deploys them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.cloudformation.deployer import Deployer, deployed, resource, tags

KEY = "arn:aws:kms:us-east-1:123456789012:key/1"


def group(name: str, configuration: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"Name": name, "WorkGroupConfiguration": configuration, **properties}


def results(location: str = "s3://results/queries/") -> dict[str, Any]:
    return {
        "OutputLocation": location,
        "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": KEY},
    }


def query(text: str, **properties: Any) -> dict[str, Any]:
    return {"Name": "daily", "Database": "mlops_dev", "QueryString": text, **properties}


def test_workgroup_is_configured_as_declared_and_brought_back_to_the_defaults(stack: Deployer) -> None:
    athena = stack.client("athena")

    def found() -> dict[str, Any]:
        return dict(athena.get_work_group(WorkGroup="mlops-dev")["WorkGroup"])

    configuration = {
        "EnforceWorkGroupConfiguration": True,
        "PublishCloudWatchMetricsEnabled": True,
        "BytesScannedCutoffPerQuery": 10_000_000_000,
        "ResultConfiguration": results(),
    }
    name = deployed(stack, "Athena::WorkGroup", group("mlops-dev", configuration, Tags=tags(team="data")))
    assert found()["Configuration"].items() >= configuration.items()

    shorter = {"ResultConfiguration": {"OutputLocation": "s3://results/other/"}}
    again = group("mlops-dev", shorter, Description="two", State="DISABLED", Tags=tags(team="ml"))
    assert deployed(stack, "Athena::WorkGroup", again) == name == "mlops-dev"
    assert found()["Configuration"]["ResultConfiguration"] == {"OutputLocation": "s3://results/other/"}
    assert "BytesScannedCutoffPerQuery" not in found()["Configuration"]
    assert found()["Configuration"]["PublishCloudWatchMetricsEnabled"] is False
    assert (found()["Description"], found()["State"]) == ("two", "DISABLED")
    arn = "arn:aws:athena:us-east-1:123456789012:workgroup/mlops-dev"
    assert athena.list_tags_for_resource(ResourceARN=arn)["Tags"] == tags(team="ml")

    deployed(stack, "Athena::WorkGroup", group("mlops-dev", {}))
    assert (found()["Configuration"]["ResultConfiguration"], found()["State"]) == ({}, "ENABLED")
    stack.destroy()
    with pytest.raises(ClientError, match="is not found"):
        found()


def test_attributes_of_a_workgroup_stay_when_it_changes(stack: Deployer) -> None:
    name, engine = "attributes", "WorkGroupConfiguration.EngineVersion.EffectiveEngineVersion"
    outputs = {
        "Created": {"Value": {"Fn::GetAtt": ["It", "CreationTime"]}},
        "Engine": {"Value": {"Fn::GetAtt": ["It", engine]}},
    }

    def outputs_of(description: str) -> dict[str, str]:
        declared = {"It": resource("Athena::WorkGroup", {"Name": name, "Description": description})}
        stack.deploy(declared, template={"Outputs": outputs})
        return stack.outputs()

    before = outputs_of("one")
    assert before["Created"].isdigit()
    assert before["Engine"].startswith("Athena engine version")
    assert outputs_of("two") == before


def test_workgroup_with_queries_is_deleted_only_when_told_so(stack: Deployer) -> None:
    athena = stack.client("athena")
    deployed(stack, "Athena::WorkGroup", {"Name": "full"})
    athena.create_named_query(**query("SELECT 1", WorkGroup="full"))
    assert stack.destroy()["StackStatus"] == "DELETE_FAILED"
    assert "not empty" in stack.reasons()
    athena.delete_named_query(NamedQueryId=athena.list_named_queries(WorkGroup="full")["NamedQueryIds"][0])
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_workgroup_takes_its_queries_along_when_told_so(stack: Deployer) -> None:
    athena = stack.client("athena")
    deployed(stack, "Athena::WorkGroup", {"Name": "emptied", "RecursiveDeleteOption": True})
    saved = athena.create_named_query(**query("SELECT 1", WorkGroup="emptied"))["NamedQueryId"]
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="is not found"):
        athena.get_named_query(NamedQueryId=saved)


def test_workgroup_and_query_that_are_gone_already_are_no_obstacle(stack: Deployer) -> None:
    athena = stack.client("athena")
    declared = {
        "Group": resource("Athena::WorkGroup", {"Name": "gone"}),
        "Query": resource("Athena::NamedQuery", query("SELECT 1", WorkGroup={"Ref": "Group"})),
    }
    stack.deploy(declared)
    athena.delete_named_query(NamedQueryId=stack.physical_id("Query"))
    athena.delete_work_group(WorkGroup="gone")
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_changed_query_is_a_new_one_even_under_the_same_name(stack: Deployer) -> None:
    athena = stack.client("athena")
    first = deployed(stack, "Athena::NamedQuery", query("SELECT 1", Description="one"))
    second = deployed(stack, "Athena::NamedQuery", query("SELECT 1", Description="two"))
    assert first != second
    found = athena.get_named_query(NamedQueryId=second)["NamedQuery"]
    assert (found["Name"], found["Description"], found["WorkGroup"]) == ("daily", "two", "primary")
    with pytest.raises(ClientError, match="is not found"):
        athena.get_named_query(NamedQueryId=first)


def test_old_way_of_updating_a_workgroup_is_refused_with_the_new_one(stack: Deployer) -> None:
    properties = {"Name": "old", "WorkGroupConfigurationUpdates": {"EnforceWorkGroupConfiguration": True}}
    stack.deploy({"It": resource("Athena::WorkGroup", properties)})
    assert "write WorkGroupConfiguration" in stack.reasons()
