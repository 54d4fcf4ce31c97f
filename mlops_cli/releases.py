"""What serves of a model, and how that changes: approvals, rollbacks and pins, which the platform's releases follow."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from mlops_cli.deployment import Deployment, DeploymentError, dashed

PARAMETER, CHALLENGER_PARAMETER = "ModelPackageArn", "ChallengerPackageArn"
CONSUMERS = ("serving", "batch")
"""What a model may be released to: the last part of a stack's name."""
START_SECONDS = 120.0
RECORD_SECONDS = 90.0
CLOCKS_APART = timedelta(minutes=2)
"""So far the clocks of this machine and of AWS may be apart, and so long ago the approval may have been."""
Report = Callable[[str], None]


@dataclass(frozen=True)
class Consumer:
    """A stack that serves a version: `serving` is its ARN, empty for none, `machine` what releases to it."""

    stack: str
    machine: str
    status: str
    serving: str

    @property
    def is_busy(self) -> bool:
        """Whether the stack is being changed."""
        return self.status.endswith("_IN_PROGRESS")


@dataclass(frozen=True, kw_only=True)
class ReleaseRecord:
    """A release as its state machine has written it down."""

    outcome: str
    package: str
    before: str
    trigger: str
    asked: str
    reason: str
    stack: str
    began: str
    ended: str


@dataclass
class Releases:
    """The releases of one model. `poll` is the pause between two looks, in seconds."""

    deployment: Deployment
    model: str
    poll: float
    sleep: Callable[[float], None] = time.sleep
    _training: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._training = self.deployment.outputs(f"{dashed(self.model)}-training")
        self._sagemaker = self.deployment.client("sagemaker")

    @property
    def group(self) -> str:
        """The model's package group."""
        return self._training["ModelPackageGroupName"]

    def consumers(self) -> list[Consumer]:
        """The stacks that serve the model. Raises DeploymentError when there is none."""
        names = [self.deployment.stack_name(f"{dashed(self.model)}-{consumer}") for consumer in CONSUMERS]
        found = [each for name in names if (each := self._consumer(name))]
        if not found:
            raise DeploymentError(
                f"nothing serves {self.model}: give it `serving` or `batch` in its model.yaml, and deploy"
            )
        return found

    def _consumer(self, stack: str) -> Consumer | None:
        try:
            described = self.deployment.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
        parameters = {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
        return Consumer(stack, outputs.get("ReleaseArn", ""), described["StackStatus"], parameters.get(PARAMETER, ""))

    def version(self, number: int | None) -> str:
        """The ARN of a version of the model, of the newest one without a number. Raises DeploymentError for none."""
        pages = self._sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.group, SortBy="CreationTime", SortOrder="Descending"
        )
        known = {each["ModelPackageVersion"]: each for page in pages for each in page["ModelPackageSummaryList"]}
        if not known:
            raise DeploymentError(f"{self.group} has no version yet: train the model first")
        chosen = next(iter(known)) if number is None else number
        if chosen not in known:
            raise DeploymentError(
                f"{self.group} has no version {chosen}: it has {', '.join(str(each) for each in sorted(known))}"
            )
        return str(known[chosen]["ModelPackageArn"])

    def newest_approved(self) -> str | None:
        """The version that serves when none is pinned."""
        found = self._sagemaker.list_model_packages(
            ModelPackageGroupName=self.group,
            ModelApprovalStatus="Approved",
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=1,
        )["ModelPackageSummaryList"]
        return str(found[0]["ModelPackageArn"]) if found else None

    def pinned(self) -> str | None:
        """The version that serves whatever is approved."""
        ssm = self.deployment.client("ssm")
        try:
            return str(ssm.get_parameter(Name=self._training["PinName"])["Parameter"]["Value"])
        except ssm.exceptions.ParameterNotFound:
            return None

    def pin(self, package: str | None, reason: str) -> None:
        """Pin a version, or none. Raises DeploymentError for one that isn't approved."""
        ssm, name = self.deployment.client("ssm"), self._training["PinName"]
        if package is None:
            ssm.delete_parameter(Name=name)
        else:
            status = self._sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"]
            if status != "Approved":
                raise DeploymentError(f"version {number_of(package)} is {status}: approve it before it is pinned")
            ssm.put_parameter(Name=name, Type="String", Value=package, Description=reason[:1024], Overwrite=True)
        asked = json.dumps({"trigger": "pin" if package else "unpin", "reason": reason})
        for consumer in self.consumers():
            if consumer.machine:
                self.deployment.client("stepfunctions").start_execution(stateMachineArn=consumer.machine, input=asked)

    def decide(self, package: str, status: str, reason: str) -> None:
        """Approve or reject a version, which is all that a release takes."""
        self._sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription=reason[:1024]
        )

    def follow(self, package: str, report: Report) -> float:
        """Wait until a version serves everywhere, and return the seconds that it took.

        Raises DeploymentError with the reason when its release failed, when another version is to serve, and when no
        release begins or goes on.
        """
        began, idle_since = time.monotonic(), time.monotonic()
        asked = datetime.now(UTC) - CLOCKS_APART
        while True:
            found = self.consumers()
            waiting = [each for each in found if each.serving != package or each.is_busy]
            if not waiting:
                self._wait_for_records(found)
                return time.monotonic() - began
            self._check_wanted(package)
            report(", ".join(f"{each.stack} {each.status}" for each in waiting))
            running = [self._check_executions(each, package, asked) for each in waiting]
            if any(running) or any(each.is_busy for each in waiting):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > START_SECONDS:
                raise DeploymentError(
                    f"no release to {waiting[0].stack} has begun within {START_SECONDS:.0f} s: is the rule of its "
                    f"stack enabled? Its state machine is {waiting[0].machine}"
                )
            self.sleep(self.poll)

    def _wait_for_records(self, consumers: list[Consumer]) -> None:
        """What has made the change writes it down last."""
        states = self.deployment.client("stepfunctions")
        for machine in filter(None, (each.machine for each in consumers)):
            deadline = time.monotonic() + RECORD_SECONDS
            while states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
                if time.monotonic() > deadline:
                    break
                self.sleep(self.poll)

    def _check_wanted(self, package: str) -> None:
        """Raise DeploymentError when the version isn't the one that should serve any more."""
        number, pinned = number_of(package), self.pinned()
        told = self._sagemaker.describe_model_package(ModelPackageName=package)
        if told["ModelApprovalStatus"] != "Approved":
            reason = told.get("ApprovalDescription", "no reason given")
            raise DeploymentError(f"version {number} is {told['ModelApprovalStatus']}: {reason}")
        if pinned and pinned != package:
            raise DeploymentError(
                f"version {number} is not released: version {number_of(pinned)} is pinned, "
                f"`mlops model unpin {self.model}` ends that"
            )
        newest = self.newest_approved()
        # an older one: the approval has been taken back since, which the next look tells with its reason
        if not pinned and newest and int(number_of(newest)) > int(number):
            raise DeploymentError(
                f"version {number} is not released: version {number_of(newest)} is approved and newer"
            )

    def _check_executions(self, consumer: Consumer, package: str, asked: datetime) -> bool:
        """Whether a release to a stack goes on. Raises DeploymentError with the reason when the newest has failed."""
        if not consumer.machine:
            raise DeploymentError(f"{consumer.stack} has no release state machine: deploy it anew")
        if consumer.status == "REVIEW_IN_PROGRESS":
            raise DeploymentError(f"{consumer.stack} was never deployed: its change set waits to be executed")
        states = self.deployment.client("stepfunctions")
        listed = states.list_executions(stateMachineArn=consumer.machine, maxResults=10)["executions"]
        newer = [each for each in listed if each["startDate"] >= asked]
        if any(each["status"] == "RUNNING" for each in newer):
            return True
        if newer and newer[0]["status"] != "SUCCEEDED":
            found = states.describe_execution(executionArn=newer[0]["executionArn"])
            cause = str(found.get("cause") or found.get("error") or found["status"])
            # it may have been about another version, a minute ago
            if package in cause or found.get("error") == "StackCannotBeUpdated":
                raise DeploymentError(f"the release failed: {cause}")
        return False

    def challenge(self, package: str | None, report: Report) -> None:
        """Try a version beside the one that serves, or none any more, and wait until it is so.

        Raises DeploymentError where the model's settings have no challenger, where nothing serves, and with the reason
        when the update of the stack fails.
        """
        cloudformation, stack = self.deployment.client("cloudformation"), self.consumers()[0].stack
        if package:
            told = self._sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"]
            if told != "Approved":
                raise DeploymentError(
                    f"version {number_of(package)} is {told}, and SageMaker deploys approved ones alone: pin the one "
                    "that serves (`mlops model pin`), so that it stays, and approve the other"
                )
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Parameters", [])
        values = {each["ParameterKey"]: each["ParameterValue"] for each in found}
        if CHALLENGER_PARAMETER not in values:
            raise DeploymentError(f"{stack} has no challenger: add `serving.challenger` to model.yaml, and deploy")
        if not values.get(PARAMETER):
            raise DeploymentError(f"no version of {self.model} serves yet, so that none can be tried beside it")
        if package and values[PARAMETER] == package:
            raise DeploymentError(f"version {number_of(package)} serves already: try another one, or none (--stop)")
        if values[CHALLENGER_PARAMETER] == (package or ""):
            return
        given: list[dict[str, Any]] = [{"ParameterKey": CHALLENGER_PARAMETER, "ParameterValue": package or ""}]
        given += [{"ParameterKey": name, "UsePreviousValue": True} for name in values if name != CHALLENGER_PARAMETER]
        token = f"challenge-{uuid.uuid4()}"
        cloudformation.update_stack(
            StackName=stack,
            UsePreviousTemplate=True,
            Parameters=given,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            ClientRequestToken=token,
        )
        while (status := self._status(stack)).endswith("_IN_PROGRESS"):
            report(f"{stack} {status}")
            self.sleep(self.poll)
        if status != "UPDATE_COMPLETE":
            raise DeploymentError(f"nothing was changed, {stack} is {status}: {self._failure(stack, token)}")

    def _failure(self, stack: str, token: str) -> str:
        pages = (
            self.deployment.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        )
        events = [each for page in pages for each in page["StackEvents"] if each.get("ClientRequestToken") == token]
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        if not failed:
            return "see its events"
        # the newest come first, and the first failure is the reason of all others
        return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', 'no reason given')}"

    def _status(self, stack: str) -> str:
        found = self.deployment.client("cloudformation").describe_stacks(StackName=stack)
        return str(found["Stacks"][0]["StackStatus"])

    def records(self, most: int) -> list[ReleaseRecord]:
        """What was released when, the newest first. Releases that changed nothing leave no record."""
        s3, bucket = self.deployment.client("s3"), self.deployment.outputs("data")["ArtifactsBucketName"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{self.model}/releases/")
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        newest = sorted(keys, key=lambda key: key.rpartition("/")[2], reverse=True)[:most]
        return [_record(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in newest]


def _record(body: bytes) -> ReleaseRecord:
    found: Any = json.loads(body)
    return ReleaseRecord(**{name: str(found.get(name, "")) for name in ReleaseRecord.__dataclass_fields__})


def number_of(package: str) -> str:
    """The number of a version, from its ARN."""
    return package.rpartition("/")[2]
