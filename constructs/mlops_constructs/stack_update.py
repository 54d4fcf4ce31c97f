"""What a state machine needs to change the parameters of its own stack, by the role that it was deployed with."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from .findings import acknowledge


def grant_update_stack(role: iam.Role, stack: Stack, *, looking: Sequence[str] = ()) -> None:
    """Let a role ask CloudFormation for an update of a stack, and look at the stack by some more calls."""
    actions = sorted(["cloudformation:UpdateStack", *(f"cloudformation:{call}" for call in looking)])
    stacks = stack.format_arn(service="cloudformation", resource="stack", resource_name=f"{stack.stack_name}/*")
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[stacks]))
    # CloudFormation resolves the parameter by which the CDK checks its bootstrap stack anew
    bootstrap = f"parameter/cdk-bootstrap/{stack.synthesizer.bootstrap_qualifier}/version"
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["ssm:GetParameters"], resources=[stack.format_arn(service="ssm", resource=bootstrap)]
        )
    )
    reason = "CloudFormation ends the ARN of a stack with an id of its own"
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:stack/{stack.stack_name}/*]": reason})
