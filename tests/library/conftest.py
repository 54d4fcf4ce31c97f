"""What the tests of constructs share: a stack to put them in, and its template as plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app import use_packaged_node

use_packaged_node()  # before the CDK is imported

from aws_cdk import App, Environment, Stack  # noqa: E402
from aws_cdk import aws_kms as kms  # noqa: E402
from aws_cdk import aws_s3 as s3  # noqa: E402
from aws_cdk.assertions import Template  # noqa: E402

Resources = dict[str, dict[str, Any]]


@pytest.fixture
def stack() -> Stack:
    environment = Environment(account="123456789012", region="eu-west-1")
    return Stack(App(context={"@aws-cdk/aws-iam:minimizePolicies": True}), "Test", env=environment)


@pytest.fixture
def key(stack: Stack) -> kms.Key:
    return kms.Key(stack, "Key")


@pytest.fixture
def access_logs(stack: Stack) -> s3.Bucket:
    return s3.Bucket(stack, "AccessLogs")


@pytest.fixture
def resources(stack: Stack) -> Callable[..., Resources]:
    """The resources of a type that the stack synthesizes, by logical id."""

    def find(kind: str) -> Resources:
        return {key: dict(value) for key, value in Template.from_stack(stack).find_resources(kind).items()}

    return find


@pytest.fixture
def statements(resources: Callable[..., Resources]) -> Callable[..., list[dict[str, Any]]]:
    """Everything that the policies attached to roles allow, one statement each, actions and resources as lists."""

    def find(role: str | None = None) -> list[dict[str, Any]]:
        found = []
        for policy in resources("AWS::IAM::Policy").values():
            if role is None or {"Ref": role} in policy["Properties"]["Roles"]:
                for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                    found.append(
                        statement | {"Action": as_list(statement["Action"]), "Resource": as_list(statement["Resource"])}
                    )
        return found

    return find


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
