"""Change sets: the way in which the CDK CLI deploys."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.local_aws.cloudformation.deployer import Deployer

Make = Callable[..., dict[str, Any]]
WAIT = {"Delay": 0, "MaxAttempts": 3000}


def create(stack: Deployer, resources: dict[str, Any], kind: str = "UPDATE", **more: Any) -> dict[str, Any]:
    """Create a change set and return its description, whatever came of it."""
    client = stack.cloudformation
    body = json.dumps({"Resources": resources, **more.pop("template", {})})
    client.create_change_set(
        StackName=stack.name, ChangeSetName="changes", ChangeSetType=kind, TemplateBody=body, **more
    )
    with contextlib.suppress(WaiterError):  # the test looks at the status
        client.get_waiter("change_set_create_complete").wait(
            StackName=stack.name, ChangeSetName="changes", WaiterConfig=WAIT
        )
    return dict(client.describe_change_set(StackName=stack.name, ChangeSetName="changes", IncludePropertyValues=True))


def execute(stack: Deployer, **more: Any) -> str:
    stack.cloudformation.execute_change_set(StackName=stack.name, ChangeSetName="changes", **more)
    stack.wait_until_idle()
    return str(stack.describe()["StackStatus"])


def delete(stack: Deployer) -> None:
    stack.cloudformation.delete_change_set(StackName=stack.name, ChangeSetName="changes")


def changes(change_set: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    found = [change["ResourceChange"] for change in change_set["Changes"]]
    return [(change["Action"], change["LogicalResourceId"], change.get("Replacement")) for change in found]


def test_stack_is_reviewed_first_and_created_when_the_change_set_is_executed(stack: Deployer, parameter: Make) -> None:
    change_set = create(stack, {"A": parameter("1"), "B": parameter({"Ref": "A"})}, "CREATE")
    assert (change_set["Status"], change_set["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert changes(change_set) == [("Add", "A", None), ("Add", "B", None)]
    described = stack.describe()
    assert described["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert stack.cloudformation.describe_stack_resources(StackName=stack.name)["StackResources"] == []
    assert execute(stack) == "CREATE_COMPLETE"
    assert stack.describe()["StackId"] == described["StackId"]
    assert stack.describe()["ChangeSetId"] == change_set["ChangeSetId"]
    assert stack.cloudformation.list_change_sets(StackName=stack.name)["Summaries"] == []


def test_update_shows_what_is_modified_replaced_added_and_removed(stack: Deployer, parameter: Make) -> None:
    old = parameter("1", properties={"Name": "/changes/old"})
    stack.deploy({"Kept": parameter("1"), "Modified": parameter("1"), "Moved": old, "Gone": parameter("1")})
    moved = parameter("1", properties={"Name": "/changes/new"})
    change_set = create(
        stack,
        {
            "Kept": parameter("1"),
            "Modified": parameter("2"),
            "Moved": moved,
            "Follows": parameter({"Ref": "Moved"}),
        },
    )
    assert changes(change_set) == [
        ("Modify", "Modified", "False"),
        ("Modify", "Moved", "True"),
        ("Add", "Follows", None),
        ("Remove", "Gone", None),
    ]
    by_name = {
        change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"] for change in change_set["Changes"]
    }
    (detail,) = by_name["Modified"]["Details"]
    assert detail["Target"]["Name"] == "Value"
    assert (detail["Target"]["BeforeValue"], detail["Target"]["AfterValue"]) == ("1", "2")
    assert by_name["Moved"]["PolicyAction"] == "ReplaceAndDelete"
    assert by_name["Moved"]["Details"][0]["Target"]["RequiresRecreation"] == "Always"
    assert execute(stack) == "UPDATE_COMPLETE"


def test_replacement_spreads_to_what_refers_to_it(stack: Deployer, parameter: Make) -> None:
    def resources(name: str) -> dict[str, Any]:
        return {"A": parameter("1", properties={"Name": name}), "B": parameter({"Ref": "A"})}

    stack.deploy(resources("/spread/old"))
    change_set = create(stack, resources("/spread/new"))
    assert changes(change_set) == [("Modify", "A", "True"), ("Modify", "B", "False")]
    (detail,) = change_set["Changes"][1]["ResourceChange"]["Details"]
    assert (detail["Evaluation"], detail["CausingEntity"]) == ("Dynamic", "A")


def test_no_changes_fail_the_change_set_in_the_words_that_clients_look_for(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")})
    change_set = create(stack, {"A": parameter("1")})
    assert (change_set["Status"], change_set["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert change_set["StatusReason"].startswith("The submitted information didn't contain changes.")
    with pytest.raises(ClientError, match="cannot be executed in its current status"):
        execute(stack)
    delete(stack)
    assert stack.describe()["StackStatus"] == "CREATE_COMPLETE"


def test_change_of_outputs_or_tags_alone_is_a_change(stack: Deployer, parameter: Make) -> None:
    resources = {"A": parameter("1")}
    stack.deploy(resources)
    change_set = create(stack, resources, template={"Outputs": {"Name": {"Value": {"Ref": "A"}}}})
    assert change_set["Status"] == "CREATE_COMPLETE"
    assert execute(stack) == "UPDATE_COMPLETE"
    assert stack.outputs() == {"Name": stack.physical_id("A")}
    change_set = create(
        stack, resources, template={"Outputs": {"Name": {"Value": {"Ref": "A"}}}}, Tags=[{"Key": "a", "Value": "1"}]
    )
    assert change_set["Status"] == "CREATE_COMPLETE"


def test_deleting_an_absent_change_set_does_nothing(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")})
    delete(stack)
    create(stack, {"A": parameter("2")})
    with pytest.raises(ClientError, match="cannot be created as it exists"):
        create(stack, {"A": parameter("2")})
    delete(stack)
    with pytest.raises(ClientError, match=r"ChangeSet \[changes\] does not exist"):
        stack.cloudformation.describe_change_set(StackName=stack.name, ChangeSetName="changes")
    assert stack.describe()["StackStatus"] == "CREATE_COMPLETE"


def test_change_set_is_worth_nothing_after_another_update(stack: Deployer, parameter: Make) -> None:
    stack.deploy({"A": parameter("1")})
    create(stack, {"A": parameter("2")})
    stack.deploy({"A": parameter("3")})
    with pytest.raises(ClientError, match="does not exist"):
        execute(stack)


def test_wrong_kind_of_change_set_is_refused(stack: Deployer, parameter: Make) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        create(stack, {"A": parameter("1")})
    stack.deploy({"A": parameter("1")})
    with pytest.raises(ClientError, match="already exists and cannot be created again"):
        create(stack, {"A": parameter("1")}, "CREATE")
    with pytest.raises(ClientError, match="doesn't import resources"):
        create(stack, {"A": parameter("1")}, "IMPORT")


def test_unknown_type_fails_the_change_set_with_its_name(stack: Deployer) -> None:
    change_set = create(stack, {"Thing": {"Type": "AWS::Nowhere::Thing"}}, "CREATE")
    assert change_set["Status"] == "FAILED"
    assert "Thing (AWS::Nowhere::Thing)" in change_set["StatusReason"]


def test_refused_template_leaves_no_stack_behind(stack: Deployer, parameter: Make) -> None:
    with pytest.raises(ClientError, match="Unresolved resource dependencies"):
        create(stack, {"A": parameter({"Ref": "Gone"})}, "CREATE")
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


def test_template_can_be_previewed_and_the_previous_one_used(stack: Deployer, parameter: Make) -> None:
    declared = {"Parameters": {"V": {"Type": "String"}}}
    given = [{"ParameterKey": "V", "ParameterValue": "1"}]
    stack.deploy({"A": parameter({"Ref": "V"})}, template=declared, Parameters=given)
    stack.cloudformation.create_change_set(
        StackName=stack.name,
        ChangeSetName="changes",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "V", "ParameterValue": "2"}],
    )
    client = stack.cloudformation
    preview = client.get_template(StackName=stack.name, ChangeSetName="changes")["TemplateBody"]
    assert preview == client.get_template(StackName=stack.name)["TemplateBody"]
    with pytest.raises(ClientError, match="does not exist"):
        client.get_template(StackName=stack.name, ChangeSetName="other")
    assert execute(stack) == "UPDATE_COMPLETE"
    assert stack.describe()["Parameters"] == [{"ParameterKey": "V", "ParameterValue": "2"}]


def test_failed_creation_can_be_kept_rolled_back_or_deleted(
    stack: Deployer, other_stack: Deployer, parameter: Make
) -> None:
    broken = {"Broken": parameter("x", properties={"Type": "Nonsense"}), "Good": parameter("1")}
    create(stack, broken, "CREATE")
    assert execute(stack, DisableRollback=True) == "CREATE_FAILED"
    # what failed is tried again by the next deployment
    create(stack, {"Broken": parameter("x"), "Good": parameter("1")})
    assert execute(stack) == "UPDATE_COMPLETE"
    create(other_stack, broken, "CREATE", OnStackFailure="DELETE")
    stack_id = other_stack.describe()["StackId"]
    other_stack.cloudformation.execute_change_set(StackName=other_stack.name, ChangeSetName="changes")
    other_stack.wait_until_idle(stack_id)
    assert other_stack.describe(stack_id)["StackStatus"] == "DELETE_COMPLETE"
