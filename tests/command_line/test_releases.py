"""Following a release: what is waited for, and what ends the wait with its reason."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local_aws.server import LocalAwsServer, running
from mlops_cli import releases as module
from mlops_cli.deployment import Deployment, DeploymentError
from mlops_cli.releases import Releases

ROLE = "arn:aws:iam::123456789012:role/states"


class Session:
    """Clients of the local AWS of a test."""

    def __init__(self, server: LocalAwsServer) -> None:
        self._context = server.context

    def client(self, service: str) -> Any:
        return self._context.client(service)


class Model:
    """A model with versions, a stack that serves one of them, and a state machine that does what a test wants."""

    def __init__(self, server: LocalAwsServer) -> None:
        client = server.context.client
        self.name = f"m{uuid.uuid4().hex[:8]}"
        self.group = f"dev-{self.name}"
        self.sagemaker, self.states = client("sagemaker"), client("stepfunctions")
        self._cloudformation = client("cloudformation")
        self.sagemaker.create_model_package_group(ModelPackageGroupName=self.group)
        self.machine = self._machine({"Type": "Succeed"})
        self._deploy("training", {"ModelPackageGroupName": self.group, "PinName": f"/{self.group}/pinned-version"})
        self._deploy("serving", {"ReleaseArn": self.machine})
        self.asleep = 0
        self.releases = Releases(Deployment("dev", Session(server)), self.name, poll=0, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        del seconds
        self.asleep += 1
        assert self.asleep < 500, "it waits for ever"

    def _machine(self, state: dict[str, Any]) -> str:
        definition = {"QueryLanguage": "JSONata", "StartAt": "Only", "States": {"Only": state}}
        made = self.states.create_state_machine(
            name=f"{self.group}-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
        )
        return str(made["stateMachineArn"])

    def _deploy(self, stack: str, outputs: dict[str, str]) -> None:
        parameters = {name: {"Type": "String", "Default": ""} for name in ("ModelPackageArn", "ChallengerPackageArn")}
        value = {"Fn::Sub": f"{self.group} ${{ModelPackageArn}} ${{ChallengerPackageArn}}"}
        body = {
            "Parameters": parameters,
            "Resources": {"It": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}}},
            "Outputs": {name: {"Value": text} for name, text in outputs.items()},
        }
        name = f"dev-{self.name}-{stack}"
        self._cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))
        self._cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    def register(self, status: str = "Approved") -> str:
        made = self.sagemaker.create_model_package(ModelPackageGroupName=self.group, ModelApprovalStatus=status)
        return str(made["ModelPackageArn"])

    def serve(self, package: str) -> None:
        name = f"dev-{self.name}-serving"
        self._cloudformation.update_stack(
            StackName=name,
            UsePreviousTemplate=True,
            Parameters=[
                {"ParameterKey": "ModelPackageArn", "ParameterValue": package},
                {"ParameterKey": "ChallengerPackageArn", "UsePreviousValue": True},
            ],
        )
        self._cloudformation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    def fail(self, cause: str) -> None:
        """An execution that has failed with this cause."""
        definition = {
            "QueryLanguage": "JSONata",
            "StartAt": "Only",
            "States": {"Only": {"Type": "Fail", "Error": "ReleaseFailed", "Cause": cause}},
        }
        self.states.update_state_machine(stateMachineArn=self.machine, definition=json.dumps(definition))
        started = self.states.start_execution(stateMachineArn=self.machine, input="{}")["executionArn"]
        while self.states.describe_execution(executionArn=started)["status"] == "RUNNING":
            pass

    def follow(self, package: str) -> float:
        return self.releases.follow(package, lambda _: None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsServer]:
    with running(tmp_path_factory.mktemp("local-aws")) as found:
        yield found


@pytest.fixture
def model(server: LocalAwsServer) -> Model:
    return Model(server)


def test_version_that_serves_is_not_waited_for(model: Model) -> None:
    package = model.register()
    model.serve(package)
    model.follow(package)
    assert model.asleep == 0


def test_version_that_lost_its_approval_ends_the_wait_with_the_reason(model: Model) -> None:
    package = model.register()
    model.releases.decide(package, "PendingManualApproval", "Its release failed: Endpoint: too slow")
    with pytest.raises(DeploymentError, match="version 1 is PendingManualApproval: Its release failed: Endpoint: too"):
        model.follow(package)


def test_version_behind_a_pin_or_a_newer_one_is_not_waited_for(model: Model) -> None:
    first, second = model.register(), model.register()
    with pytest.raises(DeploymentError, match="version 1 is not released: version 2 is approved and newer"):
        model.follow(first)
    model.releases.pin(first, "audit")
    assert model.releases.pinned() == first
    with pytest.raises(DeploymentError, match="version 1 is pinned, `mlops model unpin"):
        model.follow(second)
    model.releases.pin(None, "done")
    assert model.releases.pinned() is None


def test_execution_that_failed_ends_the_wait_unless_it_was_about_another_version(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, package = model.register(), model.register()
    monkeypatch.setattr(module, "START_SECONDS", -1.0)
    model.fail(f"{other}0 was not released: x")
    with pytest.raises(DeploymentError, match=r"no release to .* has begun within"):
        model.follow(package)
    model.fail(f"{package} was not released: the canary failed")
    with pytest.raises(DeploymentError, match=r"the release failed: .*/2 was not released: the canary failed"):
        model.follow(package)


def test_pin_of_a_version_that_is_not_approved_is_refused(model: Model) -> None:
    package = model.register("Rejected")
    with pytest.raises(DeploymentError, match="version 1 is Rejected: approve it before it is pinned"):
        model.releases.pin(package, "")
    assert model.releases.pinned() is None


def test_version_is_named_by_its_number_and_the_newest_is_taken_without_one(model: Model) -> None:
    with pytest.raises(DeploymentError, match="has no version yet: train the model first"):
        model.releases.version(None)
    first, second = model.register(), model.register("Rejected")
    assert (model.releases.version(1), model.releases.version(None)) == (first, second)
    with pytest.raises(DeploymentError, match="has no version 7: it has 1, 2"):
        model.releases.version(7)


def test_challenger_is_another_approved_version_beside_one_that_serves(model: Model) -> None:
    first, second, pending = model.register(), model.register(), model.register("PendingManualApproval")
    for package, reason in ((first, "no version of .* serves yet"), (pending, "version 3 is PendingManualApproval")):
        with pytest.raises(DeploymentError, match=reason):
            model.releases.challenge(package, lambda _: None)
    model.serve(second)
    with pytest.raises(DeploymentError, match="version 2 serves already"):
        model.releases.challenge(second, lambda _: None)
    model.releases.challenge(first, lambda _: None)
    (consumer,) = model.releases.consumers()
    assert consumer.serving == second
    model.releases.challenge(None, lambda _: None)
