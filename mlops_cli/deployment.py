"""What an environment's stacks hold, read from their outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

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

    @property
    def is_local(self) -> bool:
        """Whether calls go to a local AWS."""
        return urlsplit(self.client("sts").meta.endpoint_url).hostname in ("localhost", "127.0.0.1")


def dashed(model: str) -> str:
    """Return a model's name as stacks and endpoints write it: `flight_delay` -> `flight-delay`."""
    return model.replace("_", "-")


def camel(model: str) -> str:
    """Return a model's name as outputs write it: `flight_delay` -> `FlightDelay`."""
    return "".join(part.capitalize() for part in model.split("_"))
