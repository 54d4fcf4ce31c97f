"""What an environment's stacks hold, read from their outputs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, WaiterError

from mlops_cli.repository import environments, platform_name


class DeploymentError(Exception):
    """Something that should be deployed isn't there, or a step of it failed; the message says what to do."""


@dataclass(frozen=True)
class Deployment:
    """One environment in one account and region.

    `session` decides where calls go: credentials, region, and the endpoint of the local AWS if the environment
    variables name one. `platform` is the name in config/platform.yaml.
    """

    environment: str
    session: Any
    platform: str = field(default_factory=platform_name)

    def client(self, service: str) -> Any:
        """Return a boto3 client of this environment."""
        return self.session.client(service)

    def stack_name(self, stack: str) -> str:
        """Return CloudFormation's name of one of the environment's stacks."""
        return f"{self.environment}-{stack}"

    def stacks(self) -> list[str]:
        """Return the names of the environment's stacks: those that carry the tags of this platform and environment."""
        wanted = {"platform": self.platform, "environment": self.environment}
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
        stacks = [stack for page in pages for stack in page["Stacks"]]
        return sorted(
            stack["StackName"]
            for stack in stacks
            if wanted.items() <= {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}.items()
        )

    def outputs(self, stack: str) -> dict[str, str]:
        """Return a stack's outputs by name. Raises DeploymentError when it isn't deployed."""
        known = environments()
        if self.environment not in known:
            raise DeploymentError(f"no environment {self.environment!r}: config/platform.yaml has {', '.join(known)}")
        name = self.stack_name(stack)
        try:
            described = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            raise DeploymentError(
                f"the stack {name} isn't deployed ({error.response['Error']['Message']}): "
                f"run `cdk deploy '{self.environment}/*'`"
            ) from error
        return {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}

    def newest_approved(self, model: str) -> str:
        """Return the ARN of the model's newest approved package. Raises DeploymentError when there is none."""
        group = self.outputs(f"{dashed(model)}-training")["ModelPackageGroupName"]
        found = self.client("sagemaker").list_model_packages(
            ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
        )["ModelPackageSummaryList"]
        if not found:
            raise DeploymentError(f"no package of {group} is approved yet")
        return str(found[0]["ModelPackageArn"])

    def release(self, model: str, model_package_arn: str) -> None:
        """Give the model's serving stack an approved package, and wait until its endpoint serves it.

        The template stays as it is: only the parameter changes, as the delivery of a model does it. Raises
        DeploymentError for a package that isn't approved, and with the reason when the stack's update fails.
        """
        package = self.client("sagemaker").describe_model_package(ModelPackageName=model_package_arn)
        if package["ModelApprovalStatus"] != "Approved":
            raise DeploymentError(
                f"{model_package_arn} is {package['ModelApprovalStatus']}: only an approved package is released"
            )
        token = f"release-{uuid.uuid4()}"
        cloudformation = self.client("cloudformation")
        name = self.stack_name(f"{dashed(model)}-serving")
        parameters: list[dict[str, Any]] = [{"ParameterKey": "ModelPackageArn", "ParameterValue": model_package_arn}]
        known = cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Parameters", [])
        parameters += [
            {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True}
            for each in known
            if each["ParameterKey"] != "ModelPackageArn"
        ]
        try:
            cloudformation.update_stack(
                StackName=name,
                UsePreviousTemplate=True,
                Parameters=parameters,
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
                ClientRequestToken=token,
            )
        except ClientError as error:
            if "No updates are to be performed" in error.response["Error"]["Message"]:
                return
            raise
        waiter = cloudformation.get_waiter("stack_update_complete")
        try:
            waiter.wait(StackName=name, WaiterConfig={"Delay": 1 if self.is_local else 15, "MaxAttempts": 240})
        except WaiterError as error:
            raise DeploymentError(f"the release of {model_package_arn} failed: {self._failure(name, token)}") from error

    @property
    def is_local(self) -> bool:
        """Whether calls go to a local AWS."""
        return urlsplit(self.client("sts").meta.endpoint_url).hostname in ("localhost", "127.0.0.1")

    def _failure(self, stack: str, token: str) -> str:
        pages = self.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        failed = [
            event
            for page in pages
            for event in page["StackEvents"]
            if event.get("ClientRequestToken") == token and event["ResourceStatus"].endswith("FAILED")
        ]
        if not failed:
            return f"see the events of the stack {stack}"
        first = failed[-1]
        return f"{first['LogicalResourceId']}: {first.get('ResourceStatusReason', 'no reason given')}"


def dashed(model: str) -> str:
    """Return a model's name as stacks and endpoints write it: `flight_delay` -> `flight-delay`."""
    return model.replace("_", "-")


def camel(model: str) -> str:
    """Return a model's name as outputs write it: `flight_delay` -> `FlightDelay`."""
    return "".join(part.capitalize() for part in model.split("_"))
