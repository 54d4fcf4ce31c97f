"""What a job's role needs for SageMaker's own rules and checks: their images, and the endpoint that Clarify asks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from .findings import acknowledge

CLARIFY_CONFIGURATIONS = "sm-clarify-config"
"""What the names of Clarify's endpoint configurations begin with."""
_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?:[a-z.]+)/(?P<name>[^:@]+)(?:[:@].+)?")


def grant_pull_image(role: iam.Role, image_uri: str) -> None:
    """Let a role log in to ECR, and pull one image from a registry of AWS's.

    Raises ValueError for what is no URI of an image in ECR.
    """
    found = _IMAGE.fullmatch(image_uri)
    if found is None:
        raise ValueError(
            f"{image_uri!r} is no image in ECR: give its URI, as 111122223333.dkr.ecr.eu-west-1.amazonaws.com/name:tag"
        )
    place = Stack.of(role).format_arn(
        service="ecr",
        account=found["account"],
        region=found["region"],
        resource="repository",
        resource_name=found["name"],
    )
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[place],
        )
    )
    role.add_to_policy(iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]))
    acknowledge(role, {"AwsSolutions-IAM5[Resource::*]": "ECR's GetAuthorizationToken knows no resources"})


def grant_ask_models(role: iam.Role, endpoint_prefixes: Sequence[str]) -> None:
    """Let Clarify, which works in the role, make an endpoint of a model, ask it, and delete it again.

    The endpoint's name begins with a prefix of `Predictor.endpoint_prefix`. Clarify names the configuration itself, as
    ``sm-clarify-config-1746251067-14e5``: no guide says so, messages of its jobs do.
    """
    stack = Stack.of(role)

    def arn(resource: str, name: str) -> str:
        return stack.format_arn(service="sagemaker", resource=resource, resource_name=name)

    endpoints = [arn("endpoint", f"{prefix}*") for prefix in endpoint_prefixes]
    everything = [*endpoints, arn("endpoint-config", f"{CLARIFY_CONFIGURATIONS}*")]
    for actions, resources in (
        (["CreateEndpoint", "CreateEndpointConfig", "DeleteEndpoint", "DeleteEndpointConfig", "AddTags"], everything),
        (["DescribeEndpoint", "DescribeEndpointConfig"], everything),
        (["InvokeEndpoint"], endpoints),
        (["DescribeModel"], [arn("model", "*")]),
    ):
        role.add_to_policy(
            iam.PolicyStatement(actions=[f"sagemaker:{action}" for action in actions], resources=resources)
        )
    reason = "Clarify and the pipeline name these themselves, so that the role can't"
    names = (
        f"endpoint-config/{CLARIFY_CONFIGURATIONS}*",
        "model/*",
        *(f"endpoint/{prefix}*" for prefix in endpoint_prefixes),
    )
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{name}]": reason for name in names})
