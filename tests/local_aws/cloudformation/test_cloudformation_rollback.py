"""Failures: what is undone, what can't be, and the ways out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.catalog import PROVIDERS
from tests.local_aws.cloudformation.deployer import Deployer

Make = Callable[..., dict[str, Any]]
BROKEN = {"properties": {"Type": "Nonsense"}}


@pytest.fixture
def refuse_updates_to(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Values that SSM parameters can't be updated to."""
    refused: set[str] = set()
    provider = PROVIDERS["AWS::SSM::Parameter"]
    update = provider.update

    def refusing(request: Any) -> Any:
        if request.properties["Value"] in refused:
            raise RuntimeError(f"{request.properties['Value']} is refused")
        return update(request)

    monkeypatch.setattr(type(provider), "update", lambda _, request: refusing(request))
    return refused


def value_of(stack: Deployer, logical_id: str) -> str:
    name = stack.physical_id(logical_id)
    return str(stack.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def exists(stack: Deployer, name: str) -> bool:
    return bool(stack.client("ssm").get_parameters(Names=[name])["Parameters"])


def failing(parameter: Make, *after: str) -> dict[str, Any]:
    return parameter("x", **BROKEN, DependsOn=list(after))


def test_rollback_that_fails_can_be_continued(stack: Deployer, parameter: Make, refuse_updates_to: set[str]) -> None:
    stack.deploy({"A": parameter("before"), "B": parameter("1", properties={"Name": "/continue/old"})})
    refuse_updates_to.add("before")
    after = {"A": parameter("after"), "B": parameter("1", properties={"Name": "/continue/new"})}
    described = stack.deploy({**after, "Broken": failing(parameter, "A", "B")})
    assert described["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    assert "failed to update: [A]" in described["StackStatusReason"]
    with pytest.raises(ClientError, match="UPDATE_ROLLBACK_FAILED state and can not be updated"):
        stack.deploy(after)
    refuse_updates_to.clear()
    stack.cloudformation.continue_update_rollback(StackName=stack.name)
    stack.wait_until_idle()
    assert stack.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value_of(stack, "A") == "before"
    assert stack.physical_id("B") == "/continue/old"
    assert not exists(stack, "/continue/new"), "what the first attempt superseded is deleted as well"
    assert stack.deploy({"A": parameter("later")})["StackStatus"] == "UPDATE_COMPLETE"


def test_resource_that_cannot_be_rolled_back_can_be_skipped(
    stack: Deployer, parameter: Make, refuse_updates_to: set[str]
) -> None:
    stack.deploy({"A": parameter("before"), "B": parameter("before-b")})
    refuse_updates_to.add("before")
    changed = {"A": parameter("after"), "B": parameter("after-b"), "Broken": failing(parameter, "A", "B")}
    assert stack.deploy(changed)["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    stack.cloudformation.continue_update_rollback(StackName=stack.name)
    stack.wait_until_idle()
    assert stack.describe()["StackStatus"] == "UPDATE_ROLLBACK_FAILED", "it still fails"
    stack.cloudformation.continue_update_rollback(StackName=stack.name, ResourcesToSkip=["A"])
    stack.wait_until_idle()
    assert stack.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value_of(stack, "B") == "before-b"
    with pytest.raises(ClientError, match="can not continue rollback"):
        stack.cloudformation.continue_update_rollback(StackName=stack.name)


def test_update_without_rollback_keeps_what_worked_and_can_be_repaired(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("before")})
    broken = {"A": parameter("after"), "Broken": failing(parameter, "A")}
    assert stack.deploy(broken, DisableRollback=True)["StackStatus"] == "UPDATE_FAILED"
    assert value_of(stack, "A") == "after"
    repaired = {"A": parameter("after"), "Broken": parameter("x")}
    assert stack.deploy(repaired)["StackStatus"] == "UPDATE_COMPLETE"
    assert value_of(stack, "Broken") == "x"


def test_update_without_rollback_can_be_rolled_back_later(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("before")})
    added = parameter("1", properties={"Name": "/rollback-later/added"})
    broken = {"A": parameter("after"), "Added": added, "Broken": failing(parameter, "A", "Added")}
    stack.deploy(broken, DisableRollback=True)
    stack.cloudformation.rollback_stack(StackName=stack.name)
    stack.wait_until_idle()
    assert stack.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value_of(stack, "A") == "before"
    assert not exists(stack, "/rollback-later/added")
    template = stack.cloudformation.get_template(StackName=stack.name)["TemplateBody"]
    assert list(template["Resources"]) == ["A"]
    with pytest.raises(ClientError, match="can not be rolled back"):
        stack.cloudformation.rollback_stack(StackName=stack.name)


def test_creation_without_rollback_can_be_rolled_back_later(stack: Deployer, parameter: Make) -> None:
    made = parameter("1", properties={"Name": "/rollback-creation/made"})
    described = stack.deploy({"Made": made, "Broken": failing(parameter, "Made")}, OnFailure="DO_NOTHING")
    assert described["StackStatus"] == "CREATE_FAILED"
    assert exists(stack, "/rollback-creation/made")
    stack.cloudformation.rollback_stack(StackName=stack.name)
    stack.wait_until_idle()
    assert stack.describe()["StackStatus"] == "ROLLBACK_COMPLETE"
    assert not exists(stack, "/rollback-creation/made")


def test_resource_with_a_chosen_name_is_not_replaced_under_that_name(stack: Deployer) -> None:
    def role(path: str) -> dict[str, Any]:
        trust = {"Version": "2012-10-17", "Statement": []}
        properties = {"RoleName": "chosen-name", "Path": path, "AssumeRolePolicyDocument": trust}
        return {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}

    assert stack.deploy(role("/a/"))["StackStatus"] == "CREATE_COMPLETE"
    assert stack.deploy(role("/b/"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing. Rename chosen-name" in stack.reasons()


def test_retained_resources_outlive_their_stack_and_their_replacement(stack: Deployer, parameter: Make) -> None:
    def resources(name: str) -> dict[str, Any]:
        policies = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
        return {"A": parameter("1", properties={"Name": name}, **policies), "B": parameter("1")}

    stack.deploy(resources("/retained/one"))
    stack.deploy(resources("/retained/two"))
    assert exists(stack, "/retained/one")
    other = stack.physical_id("B")
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    assert exists(stack, "/retained/two")
    assert not exists(stack, other)


def test_failed_creation_keeps_nothing_under_retain_except_on_create(stack: Deployer, parameter: Make) -> None:
    def kept(name: str, policy: str) -> dict[str, Any]:
        return parameter("1", properties={"Name": name}, DeletionPolicy=policy)

    resources = {
        "Always": kept("/retain/always", "Retain"),
        "NotYet": kept("/retain/not-yet", "RetainExceptOnCreate"),
        "Broken": failing(parameter, "Always", "NotYet"),
    }
    assert stack.deploy(resources)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert exists(stack, "/retain/always")
    assert not exists(stack, "/retain/not-yet")


def test_failed_update_of_a_resource_is_tried_again_by_the_next(
    stack: Deployer, parameter: Make, refuse_updates_to: set[str]
) -> None:
    stack.deploy({"A": parameter("before")})
    refuse_updates_to.add("after")
    assert stack.deploy({"A": parameter("after")}, DisableRollback=True)["StackStatus"] == "UPDATE_FAILED"
    refuse_updates_to.clear()
    assert stack.deploy({"A": parameter("after")})["StackStatus"] == "UPDATE_COMPLETE"
    assert value_of(stack, "A") == "after"


def test_second_operation_is_refused_while_one_runs(
    stack: Deployer, parameter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    provider = PROVIDERS["AWS::SSM::Parameter"]
    make = provider.create

    def create(_: Any, request: Any) -> Any:
        go_on.wait(20)
        return make(request)

    monkeypatch.setattr(type(provider), "create", create)
    body = json.dumps({"Resources": {"A": parameter("1")}})
    try:
        stack.cloudformation.create_stack(StackName=stack.name, TemplateBody=body)
        with pytest.raises(ClientError, match="CREATE_IN_PROGRESS state and can not be updated"):
            stack.cloudformation.update_stack(StackName=stack.name, TemplateBody=body)
        with pytest.raises(ClientError, match="already exists"):
            stack.cloudformation.create_stack(StackName=stack.name, TemplateBody=body)
        with pytest.raises(ClientError, match="cannot be deleted while in status CREATE_IN_PROGRESS"):
            stack.cloudformation.delete_stack(StackName=stack.name)
    finally:
        go_on.set()
    stack.wait_until_idle()
    assert stack.describe()["StackStatus"] == "CREATE_COMPLETE"
