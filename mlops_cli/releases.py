"""What serves of a model, and how that changes: approvals, rollbacks and pins, which the platform's releases follow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from mlops_cli.deployment import Deployment, DeploymentError, dashed

NOT_PINNED = "none"
PARAMETER, CHALLENGER_PARAMETER = "ModelPackageArn", "ChallengerPackageArn"
CONSUMERS = ("serving", "batch")
"""What a model may be released to: the last part of a stack's name."""
START_SECONDS = 120.0
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
        value = self.deployment.client("ssm").get_parameter(Name=self._training["PinName"])["Parameter"]["Value"]
        return None if value == NOT_PINNED else str(value)

    def pin(self, package: str | None, reason: str) -> None:
        """Pin a version, or none. Raises DeploymentError for one that isn't approved."""
        if package:
            status = self._sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"]
            if status != "Approved":
                raise DeploymentError(f"version {number_of(package)} is {status}: approve it before it is pinned")
        self.deployment.client("ssm").put_parameter(
            Name=self._training["PinName"],
            Value=package or NOT_PINNED,
            Description=reason,
            Overwrite=True,
        )
        for consumer in self.consumers():
            if not consumer.machine:
                continue
            self.deployment.client("stepfunctions").start_execution(
                stateMachineArn=consumer.machine,
                input=json.dumps({"trigger": "pin" if package else "unpin", "reason": reason}),
            )

    def decide(self, package: str, status: str, reason: str) -> None:
        """Approve or reject a version, which is all that a release takes."""
        self._sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription=reason
        )

    def follow(self, package: str, report: Report) -> float:
        """Wait until a version serves everywhere, and return the seconds that it took.

        Raises DeploymentError with the reason when its release failed, when another one is pinned, and when no
        release begins.
        """
        pinned = self.pinned()
        if pinned and pinned != package:
            raise DeploymentError(
                f"version {number_of(package)} is not released: version {number_of(pinned)} is pinned, "
                f"`mlops model unpin {self.model}` ends that"
            )
        began, asked = time.monotonic(), datetime.now(UTC)
        begun = False
        while True:
            found = self.consumers()
            told = self._sagemaker.describe_model_package(ModelPackageName=package)
            waiting = [each for each in found if each.serving != package or each.is_busy]
            if not waiting:
                return time.monotonic() - began
            if told["ModelApprovalStatus"] != "Approved":
                raise DeploymentError(
                    f"version {number_of(package)} is {told['ModelApprovalStatus']}: "
                    f"{told.get('ApprovalDescription', 'no reason given')}"
                )
            begun = begun or any(each.is_busy for each in waiting)
            report(", ".join(f"{each.stack} {each.status}" for each in waiting))
            if not begun:
                self._check_begin(waiting, asked, time.monotonic() - began)
            self.sleep(self.poll)

    def _check_begin(self, waiting: list[Consumer], asked: datetime, seconds: float) -> None:
        states = self.deployment.client("stepfunctions")
        for consumer in waiting:
            if not consumer.machine:
                raise DeploymentError(f"{consumer.stack} has no release state machine: deploy it anew")
            listed = states.list_executions(stateMachineArn=consumer.machine, maxResults=10)["executions"]
            newer = [each for each in listed if each["startDate"] >= asked]
            failed = [each for each in newer if each["status"] in ("FAILED", "TIMED_OUT", "ABORTED")]
            if failed:
                found = states.describe_execution(executionArn=failed[0]["executionArn"])
                raise DeploymentError(f"the release failed: {found.get('cause') or found.get('error')}")
            if seconds > START_SECONDS and not any(each["status"] == "RUNNING" for each in newer):
                raise DeploymentError(
                    f"no release to {consumer.stack} has begun within {START_SECONDS:.0f} s: is the rule of its stack "
                    f"enabled? Its state machine is {consumer.machine}"
                )

    def challenge(self, package: str | None, report: Report) -> None:
        """Try a version beside the one that serves, or none any more, and wait until it is so.

        Raises DeploymentError where the model's settings have no challenger, where nothing serves, and with the reason
        when the update of the stack fails.
        """
        cloudformation, stack = self.deployment.client("cloudformation"), self.consumers()[0].stack
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Parameters", [])
        values = {each["ParameterKey"]: each["ParameterValue"] for each in found}
        if CHALLENGER_PARAMETER not in values:
            raise DeploymentError(f"{stack} has no challenger: add `serving.challenger` to model.yaml, and deploy")
        if not values.get(PARAMETER):
            raise DeploymentError(f"no version of {self.model} serves yet, so that none can be tried beside it")
        if values[CHALLENGER_PARAMETER] == (package or ""):
            return
        given: list[dict[str, Any]] = [{"ParameterKey": CHALLENGER_PARAMETER, "ParameterValue": package or ""}]
        given += [{"ParameterKey": name, "UsePreviousValue": True} for name in values if name != CHALLENGER_PARAMETER]
        cloudformation.update_stack(
            StackName=stack,
            UsePreviousTemplate=True,
            Parameters=given,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
        while (status := self._status(stack)).endswith("_IN_PROGRESS"):
            report(f"{stack} {status}")
            self.sleep(self.poll)
        if status != "UPDATE_COMPLETE":
            raise DeploymentError(f"{stack} is {status}: its events say why, nothing was changed")

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
