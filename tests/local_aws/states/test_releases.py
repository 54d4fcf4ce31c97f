"""The state machine of releases against a stack, a registry and a pin that are really there."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from mlops_constructs.release_definition import PACKAGE_PARAMETER, Release, release_definition
from tests.local_aws.states.conftest import States

RELEASE = Release(
    stack_name="dev-model-serving",
    group_name="dev-model",
    pin_name="/dev-model/pinned-version",
    bucket_name="artifacts",
    prefix="model/releases/endpoint/",
)
# a version whose release fails: a package is no policy
BAD = "the one that fails"


def template(bad: str) -> str:
    parameter = {"Ref": PACKAGE_PARAMETER}
    trust = {"Version": "2012-10-17", "Statement": []}
    policies = {"Fn::If": ["Bad", [parameter], {"Ref": "AWS::NoValue"}]}
    resources = {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": trust, "ManagedPolicyArns": policies},
        },
        "Served": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Type": "String", "Value": {"Fn::Sub": "serving ${ModelPackageArn}, ${Other}"}},
        },
    }
    return json.dumps(
        {
            "Parameters": {
                PACKAGE_PARAMETER: {"Type": "String", "Default": ""},
                "Other": {"Type": "String", "Default": "as it was"},
            },
            "Conditions": {"Bad": {"Fn::Equals": [parameter, bad]}},
            "Resources": resources,
        }
    )


class Releases:
    """A group with versions, a stack that serves one, and the machine in between."""

    def __init__(self, states: States) -> None:
        self.states = states
        client = states.context.client
        self.sagemaker, self.cloudformation = client("sagemaker"), client("cloudformation")
        self.ssm, self.s3 = client("ssm"), client("s3")
        self.sagemaker.create_model_package_group(ModelPackageGroupName=RELEASE.group_name)
        self.s3.create_bucket(Bucket=RELEASE.bucket_name)
        self.machine = states.create_from(release_definition(RELEASE))

    def deploy(self, bad: str = BAD) -> None:
        self.cloudformation.create_stack(
            StackName=RELEASE.stack_name,
            TemplateBody=template(bad),
            Parameters=[{"ParameterKey": "Other", "ParameterValue": "kept"}],
            Capabilities=["CAPABILITY_IAM"],
        )
        self.cloudformation.get_waiter("stack_create_complete").wait(
            StackName=RELEASE.stack_name, WaiterConfig={"Delay": 1}
        )

    def register(self, status: str = "Approved") -> str:
        made = self.sagemaker.create_model_package(ModelPackageGroupName=RELEASE.group_name, ModelApprovalStatus=status)
        return str(made["ModelPackageArn"])

    def decide(self, package: str, status: str, why: str = "") -> None:
        self.sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription=why
        )

    def pin(self, package: str) -> None:
        self.ssm.put_parameter(Name=RELEASE.pin_name, Type="String", Value=package, Overwrite=True)

    def unpin(self) -> None:
        self.ssm.delete_parameter(Name=RELEASE.pin_name)

    def approval(self, package: str) -> tuple[str, str]:
        found = self.sagemaker.describe_model_package(ModelPackageName=package)
        return found["ModelApprovalStatus"], found.get("ApprovalDescription", "")

    def start(self, **given: str) -> str:
        # as rules name what they start
        return self.states.start(self.machine, given, name=f"{uuid.uuid4()}_{uuid.uuid4()}")

    def ended(self, *executions: str) -> list[dict[str, Any]]:
        """Let time pass, a second a look, until they have ended."""
        deadline = time.monotonic() + 30
        while any(self.states.describe(each)["status"] == "RUNNING" for each in executions):
            assert time.monotonic() < deadline, [self.states.current_states(each) for each in executions]
            self.states.pass_time(seconds=1)
            time.sleep(0.05)
        return [self.states.describe(each) for each in executions]

    def run(self, **given: str) -> dict[str, Any]:
        (found,) = self.ended(self.start(**given))
        return found

    @property
    def stack(self) -> dict[str, Any]:
        return dict(self.cloudformation.describe_stacks(StackName=RELEASE.stack_name)["Stacks"][0])

    def serving(self) -> str:
        parameters = {each["ParameterKey"]: each["ParameterValue"] for each in self.stack["Parameters"]}
        assert parameters["Other"] == "kept"
        return str(parameters[PACKAGE_PARAMETER])

    def records(self) -> list[dict[str, Any]]:
        """The oldest first."""
        listed = self.s3.list_objects_v2(Bucket=RELEASE.bucket_name, Prefix=RELEASE.prefix).get("Contents", [])
        keys = sorted(each["Key"] for each in listed)
        return [json.loads(self.s3.get_object(Bucket=RELEASE.bucket_name, Key=key)["Body"].read()) for key in keys]

    def remove(self) -> None:
        self.states.api.delete_state_machine(stateMachineArn=self.machine)
        self.ssm.delete_parameters(Names=[RELEASE.pin_name])
        self.cloudformation.delete_stack(StackName=RELEASE.stack_name)
        self.cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=RELEASE.stack_name, WaiterConfig={"Delay": 1}
        )
        for package in self.sagemaker.list_model_packages(ModelPackageGroupName=RELEASE.group_name)[
            "ModelPackageSummaryList"
        ]:
            self.sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
        self.sagemaker.delete_model_package_group(ModelPackageGroupName=RELEASE.group_name)
        for each in self.s3.list_objects_v2(Bucket=RELEASE.bucket_name).get("Contents", []):
            self.s3.delete_object(Bucket=RELEASE.bucket_name, Key=each["Key"])
        self.s3.delete_bucket(Bucket=RELEASE.bucket_name)


@pytest.fixture
def releases(states: States) -> Iterator[Releases]:
    made = Releases(states)
    yield made
    made.remove()


def test_nothing_is_released_as_long_as_nothing_is_approved(releases: Releases) -> None:
    releases.deploy()
    releases.register("PendingManualApproval")
    found = releases.run()
    assert json.loads(found["output"]) == {"outcome": "unchanged", "serving": ""}
    assert releases.serving() == ""
    assert releases.records() == []


def test_approved_version_is_released_and_the_record_says_why(releases: Releases) -> None:
    releases.deploy()
    package = releases.register("PendingManualApproval")
    releases.decide(package, "Approved", "looks good")
    found = releases.run(trigger="Approved", package=package)
    assert json.loads(found["output"]) == {"outcome": "released", "serving": package, "before": ""}
    assert releases.serving() == package
    (record,) = releases.records()
    assert record.pop("ended") >= record.pop("began")
    assert record == {
        "outcome": "released", "package": package, "before": "", "trigger": "Approved", "asked": "looks good",
        "reason": "", "stack": RELEASE.stack_name,
    }  # fmt: skip


def test_newest_approved_version_serves_whichever_event_comes_last(releases: Releases) -> None:
    releases.deploy()
    first, second = releases.register(), releases.register()
    releases.run(trigger="Approved", package=second)
    late = releases.run(trigger="Approved", package=first)
    assert json.loads(late["output"]) == {"outcome": "unchanged", "serving": second}
    assert releases.serving() == second


def test_rejected_version_gives_way_to_the_one_before_and_the_last_one_stays(releases: Releases) -> None:
    releases.deploy()
    first, second = releases.register(), releases.register()
    releases.run()
    releases.decide(second, "Rejected", "too many complaints")
    releases.run(trigger="Rejected", package=second)
    assert releases.serving() == first
    assert releases.records()[-1]["asked"] == "too many complaints"
    releases.decide(first, "Rejected")
    found = releases.run(trigger="Rejected", package=first)
    assert json.loads(found["output"])["outcome"] == "unchanged"
    assert releases.serving() == first


def test_pinned_version_serves_whatever_is_approved_until_it_is_unpinned(releases: Releases) -> None:
    releases.deploy()
    first, second = releases.register(), releases.register()
    releases.pin(first)
    releases.run(trigger="pin", reason="the audit")
    assert releases.serving() == first
    third = releases.register()
    releases.run(trigger="Approved", package=third)
    assert releases.serving() == first
    releases.unpin()
    releases.run(trigger="unpin", reason="the audit is over")
    assert releases.serving() == third
    assert [each["asked"] for each in releases.records()] == ["the audit", "the audit is over"]
    assert second not in [each["package"] for each in releases.records()]


def test_pinned_version_that_is_not_approved_is_not_released(releases: Releases) -> None:
    releases.deploy()
    serving, other = releases.register(), releases.register("Rejected")
    releases.run()
    releases.pin(other)
    found = releases.run(trigger="pin")
    assert (found["status"], found["error"]) == ("FAILED", "VersionIsNotApproved")
    assert found["cause"] == f"{other} should serve, and is Rejected: approve it, or unpin it"
    assert releases.serving() == serving


def test_failed_release_is_rolled_back_and_its_version_has_to_be_approved_again(releases: Releases) -> None:
    good, bad = releases.register(), releases.register("PendingManualApproval")
    releases.deploy(bad)
    releases.run()
    releases.decide(bad, "Approved")
    found = releases.run(trigger="Approved", package=bad)
    assert (found["status"], found["error"]) == ("FAILED", "ReleaseFailed")
    assert f"{bad} was not released: Role: " in found["cause"]
    status, why = releases.approval(bad)
    assert status == "PendingManualApproval"
    assert why.startswith("Its release failed, approve it to try again: Role: ")
    assert releases.stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert releases.serving() == good
    assert [each["outcome"] for each in releases.records()] == ["released", "rolled back"]
    # what comes next isn't held up by it
    third = releases.register()
    releases.run(trigger="Approved", package=third)
    assert releases.serving() == third


def test_events_that_come_together_release_once(releases: Releases) -> None:
    releases.deploy()
    packages = [releases.register() for _ in range(3)]
    found = releases.ended(*(releases.start(trigger="Approved", package=package) for package in packages))
    assert [each["status"] for each in found] == ["SUCCEEDED"] * 3
    outcomes = sorted(json.loads(each["output"])["outcome"] for each in found)
    assert outcomes == ["released", "unchanged", "unchanged"]
    assert releases.serving() == packages[-1]


def test_rejection_during_a_release_keeps_its_reason_when_the_release_fails(releases: Releases) -> None:
    good, bad = releases.register(), releases.register("PendingManualApproval")
    releases.deploy(bad)
    releases.run()
    releases.decide(bad, "Approved")
    definition = release_definition(RELEASE)
    # a person is quicker than the state machine is to look at what came of its update
    definition["States"]["LookAtFailed"] = {"Type": "Wait", "Seconds": 60, "Next": "Look"}
    definition["States"]["Look"] = release_definition(RELEASE)["States"]["LookAtFailed"]
    releases.states.api.update_state_machine(stateMachineArn=releases.machine, definition=json.dumps(definition))
    execution = releases.start(trigger="Approved", package=bad)
    deadline = time.monotonic() + 20
    while releases.states.current_states(execution)[-1:] != ["LookAtFailed"]:
        assert time.monotonic() < deadline
        releases.states.pass_time(seconds=1)
    releases.decide(bad, "Rejected", "never again")
    (found,) = releases.ended(execution)
    assert found["error"] == "ReleaseFailed"
    assert releases.approval(bad) == ("Rejected", "never again")
    assert releases.serving() == good


def test_release_that_another_update_follows_at_once_was_one_all_the_same(releases: Releases) -> None:
    releases.deploy()
    first = releases.register()
    definition = release_definition(RELEASE)
    definition["States"]["WaitForEnd"] = {"Type": "Wait", "Seconds": 60, "Next": "LookAgain"}
    releases.states.api.update_state_machine(stateMachineArn=releases.machine, definition=json.dumps(definition))
    execution = releases.start(trigger="Approved", package=first)
    deadline = time.monotonic() + 20
    while releases.serving() != first or not releases.stack["StackStatus"].endswith("_COMPLETE"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = releases.register()
    releases.cloudformation.update_stack(
        StackName=RELEASE.stack_name,
        UsePreviousTemplate=True,
        Parameters=[
            {"ParameterKey": PACKAGE_PARAMETER, "ParameterValue": second},
            {"ParameterKey": "Other", "UsePreviousValue": True},
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    releases.cloudformation.get_waiter("stack_update_complete").wait(
        StackName=RELEASE.stack_name, WaiterConfig={"Delay": 1}
    )
    (found,) = releases.ended(execution)
    assert json.loads(found["output"])["outcome"] == "released"
    assert releases.approval(first)[0] == "Approved"
    assert releases.serving() == second


def test_update_that_cloudformation_refuses_says_nothing_of_the_version(releases: Releases) -> None:
    releases.deploy()
    definition = release_definition(RELEASE)
    definition["States"]["Update"]["Arguments"]["ClientRequestToken"] = "not_a_token"
    releases.states.api.update_state_machine(stateMachineArn=releases.machine, definition=json.dumps(definition))
    package = releases.register()
    found = releases.run(trigger="Approved", package=package)
    assert (found["status"], found["error"]) == ("FAILED", "UpdateRefused")
    assert f"nothing was changed, and {package} was not tried" in found["cause"]
    assert releases.approval(package)[0] == "Approved"
    assert releases.serving() == ""


def test_stack_that_is_broken_costs_no_version_its_approval(releases: Releases) -> None:
    package = releases.register()
    broken = json.loads(template(BAD))
    broken["Resources"] = {"Never": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "Nothing", "Value": "-"}}}
    releases.cloudformation.create_stack(StackName=RELEASE.stack_name, TemplateBody=json.dumps(broken))
    with contextlib.suppress(WaiterError):
        releases.cloudformation.get_waiter("stack_create_complete").wait(
            StackName=RELEASE.stack_name, WaiterConfig={"Delay": 1}
        )
    assert releases.stack["StackStatus"] == "ROLLBACK_COMPLETE"
    found = releases.run(trigger="Approved", package=package)
    assert (found["status"], found["error"]) == ("FAILED", "StackCannotBeUpdated")
    assert "ROLLBACK_COMPLETE: repair it" in found["cause"]
    assert releases.approval(package)[0] == "Approved"


def test_endpoint_that_is_being_scaled_is_waited_for(releases: Releases) -> None:
    releases.deploy()
    package = releases.register()
    definition = release_definition(replace(RELEASE, endpoint_name="scaled"))
    look = definition["States"]["LookAtEndpoint"]
    # an endpoint whose scaling ends at the second look
    definition["States"]["LookAtEndpoint"] = {
        "Type": "Pass",
        "Assign": {"endpoint": "{% $pause > 3 ? 'InService' : 'Updating' %}"},
        "Next": look["Next"],
    }
    releases.states.api.update_state_machine(stateMachineArn=releases.machine, definition=json.dumps(definition))
    execution = releases.start(trigger="Approved", package=package)
    releases.ended(execution)
    visited = releases.states.current_states(execution)
    assert visited.count("LookAtEndpoint") == 2
    assert visited.index("WaitForEndpoint") < visited.index("Update")
    assert releases.serving() == package


def test_endpoint_that_is_not_there_yet_is_not_waited_for(releases: Releases) -> None:
    releases.deploy()
    package = releases.register()
    definition = json.dumps(release_definition(replace(RELEASE, endpoint_name="never-made")))
    releases.states.api.update_state_machine(stateMachineArn=releases.machine, definition=definition)
    assert releases.run(trigger="Approved", package=package)["status"] == "SUCCEEDED"
    assert releases.serving() == package


def test_announced_version_that_was_deleted_since_holds_nothing_up(releases: Releases) -> None:
    releases.deploy()
    package, deleted = releases.register(), releases.register()
    releases.sagemaker.delete_model_package(ModelPackageName=deleted)
    found = releases.run(trigger="Approved", package=deleted)
    assert found["status"] == "SUCCEEDED"
    assert releases.serving() == package
