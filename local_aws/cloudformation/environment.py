"""What deployments need from their surroundings: clients, providers, and where references lead."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.errors import ValidationError
from local_aws.cloudformation.providers.provider import Provider
from local_aws.cloudformation.stacks import Revision, Stack, StackStore
from local_aws.service import LocalContext


@dataclass
class Environment:
    """The local AWS as CloudFormation sees it."""

    context: LocalContext
    store: StackStore
    providers: Mapping[str, Provider]
    inert: Mapping[str, str]
    stopping: threading.Event = field(default_factory=threading.Event)

    def client(self, account: str, region: str, service: str) -> Any:
        """Return a client that acts in an account, in the default one as its owner."""
        role = None if account == self.context.account else f"arn:aws:iam::{account}:role/cloudformation"
        return self.context.client(service, region=region, role_arn=role)

    def ssm_value(self, account: str, region: str, name: str) -> str:
        """Return the value of an SSM parameter; ValidationError if there is none."""
        try:
            answer = self.client(account, region, "ssm").get_parameter(Name=name, WithDecryption=True)
        except ClientError as error:
            raise ValidationError(
                f"Unable to fetch parameters [{name}] from parameter store for this account."
            ) from error
        return str(answer["Parameter"]["Value"])


class StackReferences:
    """References of a stack, as far as it is deployed. `imports` collects the names of imported values."""

    def __init__(self, stack: Stack, environment: Environment) -> None:
        self._stack = stack
        self._environment = environment
        self.imports: set[str] = set()

    def reference(self, logical_id: str) -> Any:
        """Return a resource's physical id."""
        resource = self._stack.resources.get(logical_id)
        if resource is None:
            raise ValidationError(f"Unresolved resource dependencies [{logical_id}]: its condition is false")
        return resource.physical_id

    def attribute(self, logical_id: str, name: str) -> Any:
        """Return a resource's attribute; nested ones by a dotted name."""
        resource = self._stack.resources.get(logical_id)
        if resource is None:
            raise ValidationError(f"Unresolved resource dependencies [{logical_id}]: its condition is false")
        value: Any = resource.attributes.get(name)
        if value is None:
            value = resource.attributes
            for part in name.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            raise ValidationError(f"Requested attribute {name} does not exist in schema for {resource.type}")
        return value

    def imported(self, name: str) -> str:
        """Return another stack's export."""
        self.imports.add(name)
        return self._environment.store.export_value(name, self._stack.account, self._stack.region)

    def dynamic(self, service: str, key: str) -> str:
        """Return a value from SSM (`name[:version]`) or Secrets Manager (`id:SecretString:json-key`)."""
        account, region = self._stack.account, self._stack.region
        if service == "secretsmanager":
            return self._secret(key)
        name, _, version = key.partition(":")
        return self._environment.ssm_value(account, region, f"{name}:{version}" if version else name)

    def availability_zones(self, region: str) -> list[str]:
        """Return the names of a region's zones."""
        client = self._environment.client(self._stack.account, region or self._stack.region, "ec2")
        return [zone["ZoneName"] for zone in client.describe_availability_zones()["AvailabilityZones"]]

    def _secret(self, key: str) -> str:
        identifier, _, rest = key.partition(":SecretString")
        client = self._environment.client(self._stack.account, self._stack.region, "secretsmanager")
        try:
            secret = str(client.get_secret_value(SecretId=identifier)["SecretString"])
        except ClientError as error:
            raise ValidationError(f"Secrets Manager can't find the specified secret: {identifier}") from error
        json_key = rest.split(":")[1] if rest.startswith(":") and len(rest.split(":")) > 1 else ""
        return str(json.loads(secret)[json_key]) if json_key else secret


def evaluation_parameters(stack: Stack, revision: Revision) -> dict[str, Any]:
    """Return declared and pseudo parameters, as `Ref` sees them."""
    china = stack.region.startswith("cn-")
    return {
        **{name: parameter.value for name, parameter in revision.parameters.items()},
        "AWS::AccountId": stack.account,
        "AWS::NotificationARNs": list(revision.notification_arns),
        "AWS::Partition": "aws-cn" if china else "aws",
        "AWS::Region": stack.region,
        "AWS::StackId": stack.id,
        "AWS::StackName": stack.name,
        "AWS::URLSuffix": "amazonaws.com.cn" if china else "amazonaws.com",
    }
