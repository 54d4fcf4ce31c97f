"""The life of a stack: create, update, replace, roll back, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.cloudformation.deployer import Deployer

Make = Callable[..., dict[str, Any]]


def value_of(stack: Deployer, logical_id: str) -> str:
    name = stack.physical_id(logical_id)
    return str(stack.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def exists(stack: Deployer, name: str) -> bool:
    return bool(stack.client("ssm").get_parameters(Names=[name])["Parameters"])


def test_resources_are_created_in_the_order_of_their_references(stack: Deployer, parameter: Make) -> None:
    second = parameter({"Fn::Sub": "${First}-${First.Value}"})
    third = parameter("c", DependsOn="Second")
    described = stack.deploy({"Third": third, "Second": second, "First": parameter("a")})
    assert described["StackStatus"] == "CREATE_COMPLETE"
    assert value_of(stack, "Second") == f"{stack.physical_id('First')}-a"
    completed = [name for name, status in stack.events() if status == "CREATE_COMPLETE"]
    assert completed == ["First", "Second", "Third", stack.name]


def test_update_changes_a_resource_in_place_and_leaves_the_others_alone(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1"), "B": parameter("1")})
    before = stack.physical_id("A")
    described = stack.deploy({"A": parameter("2"), "B": parameter("1")})
    assert described["StackStatus"] == "UPDATE_COMPLETE"
    assert stack.physical_id("A") == before
    assert value_of(stack, "A") == "2"
    assert ("B", "UPDATE_COMPLETE") not in stack.events()


def test_change_of_a_create_only_property_replaces_and_then_deletes_the_old(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1", properties={"Name": "/replace/old"})})
    described = stack.deploy({"A": parameter("1", properties={"Name": "/replace/new"})})
    assert described["StackStatus"] == "UPDATE_COMPLETE"
    assert stack.physical_id("A") == "/replace/new"
    assert exists(stack, "/replace/new")
    assert not exists(stack, "/replace/old")
    events = stack.events()
    assert events.index((stack.name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")) < events.index(("A", "DELETE_COMPLETE"))


def test_removed_resource_is_deleted_unless_retained(stack: Deployer, parameter: Make) -> None:
    kept = parameter("1", properties={"Name": "/removed/kept"}, DeletionPolicy="Retain")
    dropped = parameter("1", properties={"Name": "/removed/dropped"})
    stack.deploy({"Kept": kept, "Dropped": dropped, "Rest": parameter("1")})
    stack.deploy({"Rest": parameter("1")})
    assert exists(stack, "/removed/kept")
    assert not exists(stack, "/removed/dropped")
    assert ("Kept", "DELETE_SKIPPED") in stack.events()


def test_failed_creation_deletes_what_it_made(stack: Deployer, parameter: Make) -> None:
    made = parameter("1", properties={"Name": "/failed/made"})
    broken = parameter("x", properties={"Type": "Nonsense"}, DependsOn="Made")
    described = stack.deploy({"Made": made, "Broken": broken})
    assert described["StackStatus"] == "ROLLBACK_COMPLETE"
    assert described["StackStatusReason"] if described.get("StackStatusReason") else True
    assert "The following resource(s) failed to create: [Broken]" in stack.reasons()
    assert not exists(stack, "/failed/made")
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        stack.deploy({"Made": made})


def test_failed_update_restores_every_resource(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"Changed": parameter("before"), "Moved": parameter("1", properties={"Name": "/undo/old"})})
    described = stack.deploy(
        {
            "Changed": parameter("after"),
            "Moved": parameter("1", properties={"Name": "/undo/new"}),
            "Added": parameter("1", properties={"Name": "/undo/added"}),
            "Broken": parameter("x", properties={"Type": "Nonsense"}, DependsOn=["Changed", "Moved", "Added"]),
        }
    )
    assert described["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value_of(stack, "Changed") == "before"
    assert stack.physical_id("Moved") == "/undo/old"
    assert exists(stack, "/undo/old")
    assert not exists(stack, "/undo/new")
    assert not exists(stack, "/undo/added")
    # and the stack is as good as before
    assert stack.deploy({"Changed": parameter("again")})["StackStatus"] == "UPDATE_COMPLETE"
    assert not exists(stack, "/undo/old")


def test_delete_takes_everything_away(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1", properties={"Name": "/deleted/a"}), "B": parameter({"Ref": "A"})})
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    assert not exists(stack, "/deleted/a")
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


def test_bucket_with_objects_cannot_be_deleted(stack: Deployer) -> None:
    stack.deploy({"Data": {"Type": "AWS::S3::Bucket"}})
    bucket = stack.physical_id("Data")
    stack.client("s3").put_object(Bucket=bucket, Key="a", Body=b"")
    assert stack.destroy()["StackStatus"] == "DELETE_FAILED"
    assert "not empty" in stack.reasons()
    stack.client("s3").delete_object(Bucket=bucket, Key="a")
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_stack_that_cannot_be_deleted_can_leave_a_resource_behind(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"Data": {"Type": "AWS::S3::Bucket"}, "A": parameter("1", properties={"Name": "/left/a"})})
    stack_id, bucket = stack.describe()["StackId"], stack.physical_id("Data")
    stack.client("s3").put_object(Bucket=bucket, Key="a", Body=b"")
    with pytest.raises(ClientError, match="only allowed for stacks in DELETE_FAILED"):
        stack.cloudformation.delete_stack(StackName=stack.name, RetainResources=["Data"])
    assert stack.destroy()["StackStatus"] == "DELETE_FAILED"
    assert not exists(stack, "/left/a"), "the rest is deleted"
    stack.cloudformation.delete_stack(StackName=stack.name, RetainResources=["Data"])
    stack.wait_until_idle(stack_id)
    assert stack.describe(stack_id)["StackStatus"] == "DELETE_COMPLETE"
    assert stack.client("s3").head_bucket(Bucket=bucket)


def test_removed_resources_are_deleted_before_those_they_depend_on(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"B": parameter("1")})
    # B comes first in the stack, and depends on A later on
    stack.deploy({"B": parameter({"Ref": "A"}), "A": parameter("1")})
    stack.deploy({"C": parameter("1")})
    deleted = [name for name, status in stack.events() if status == "DELETE_COMPLETE"]
    assert deleted == ["B", "A"]


def test_no_change_is_refused_as_an_update(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")})
    with pytest.raises(ClientError, match=r"No updates are to be performed\."):
        stack.deploy({"A": parameter("1")})


def test_unknown_type_is_refused_with_its_name(stack: Deployer) -> None:
    with pytest.raises(ClientError, match=r"Thing \(AWS::Nowhere::Thing\)"):
        stack.deploy({"Thing": {"Type": "AWS::Nowhere::Thing"}})
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


def test_termination_protection_stops_a_delete(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")}, EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        stack.destroy()
    stack.cloudformation.update_termination_protection(StackName=stack.name, EnableTerminationProtection=False)
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
