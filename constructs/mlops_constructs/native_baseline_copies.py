"""The state machine that gives Model Monitor the baselines of the version that serves, and what starts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Annotations, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from .findings import acknowledge
from .grants import grant_encrypt_decrypt, grant_read_objects, grant_write_objects
from .log_retention import LogRetention
from .model_registry import ModelRegistry
from .model_release import ModelRelease
from .native_baselines import NativeBaselines, native_baselines_definition
from .stack_update import grant_update_stack
from .state_machine import define_machine, define_machine_role, define_starter, failed_executions


class NativeBaselineCopies(Construct):
    """Follows the releases of versions, and the deployments of the stack that serves them and of its own.

    So schedules come on where a version serves before there is monitoring, and the model that explanations ask is the
    one that is there. See `native_baselines_definition`. Its stack has the parameter `SWITCH`. What it does itself to
    its stack is a deployment as well: the execution that follows finds the schedules on, and changes nothing.

    Parameters
    ----------
    name
        Of the model in its environment, as ``dev-flight-delay``.
    endpoint_name, release
        The endpoint, and what releases versions to it.
    registry
        Of the versions.
    artifacts, source, prefix
        The bucket with the baselines of versions below `source`; those of the released one come below `prefix`.
    files
        Which of them: names of `native_baselines.BASELINES`.
    explanation
        The analysis of explainability, less the model that is asked; none when left out.
    key
        Encrypts the objects and the log of the state machine.
    logs
        How long the log is kept; 90 days, and beyond the stack, when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        endpoint_name: str,
        release: ModelRelease,
        registry: ModelRegistry,
        artifacts: s3.IBucket,
        source: str,
        prefix: str,
        files: Sequence[str],
        key: kms.IKey,
        explanation: Mapping[str, Any] | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        self._name = name
        version_name = release.version_name
        given = NativeBaselines(
            endpoint_name=endpoint_name,
            version_name=version_name,
            bucket_name=artifacts.bucket_name,
            prefix=prefix,
            files=files,
            explanation=explanation,
            stack_name=stack.stack_name,
        )
        role = define_machine_role(self)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["ssm:GetParameter"],
                resources=[stack.format_arn(service="ssm", resource=f"parameter{version_name}")],
            )
        )
        if explanation:
            self._let_find_model(role, endpoint_name)
        registry.grant_read(role)
        grant_read_objects(artifacts, role, source)
        grant_write_objects(artifacts, role, prefix)
        grant_encrypt_decrypt(key, role)
        grant_update_stack(role, stack, looking=["DescribeStackEvents", "DescribeStacks"])
        self.state_machine_arn = define_machine(
            self,
            name=f"{name}-native-baselines",
            definition=native_baselines_definition(given),
            role=role,
            key=key,
            logs=logs or LogRetention(),
        ).attr_arn
        self._follow(version_name, [Stack.of(release), stack])

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when baselines could not be copied, or the schedules not be switched on."""
        return events.Rule(
            self,
            construct_id,
            description=f"Model Monitor's baselines of {self._name} were not copied, or its schedules are not on",
            event_pattern=failed_executions(self.state_machine_arn),
            targets=[target],
        )

    def _let_find_model(self, role: iam.Role, endpoint_name: str) -> None:
        def arn(resource: str, name: str) -> str:
            return Stack.of(self).format_arn(service="sagemaker", resource=resource, resource_name=name)

        endpoints = [arn("endpoint", each) for each in sorted({endpoint_name, endpoint_name.lower()})]
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:DescribeEndpoint"], resources=endpoints))
        role.add_to_policy(
            iam.PolicyStatement(actions=["sagemaker:DescribeEndpointConfig"], resources=[arn("endpoint-config", "*")])
        )
        reason = "CloudFormation names the endpoint's configurations anew with each release"
        acknowledge(role, {"AwsSolutions-IAM5[Resource::*:endpoint-config/*]": reason})

    def _follow(self, version_name: str, stacks: Sequence[Stack]) -> None:
        starter = define_starter(
            self, "EventRole", service="events.amazonaws.com", state_machine_arn=self.state_machine_arn
        )
        machine = stepfunctions.StateMachine.from_state_machine_arn(self, "Target", self.state_machine_arn)
        target = targets.SfnStateMachine(machine, role=starter.without_policy_updates())
        released = events.EventPattern(
            source=["aws.ssm"],
            detail_type=["Parameter Store Change"],
            detail={"name": [version_name], "operation": ["Create", "Update"]},
        )
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/event-detail-stack-status-change.html
        deployed = events.EventPattern(
            source=["aws.cloudformation"],
            detail_type=["CloudFormation Stack Status Change"],
            detail={
                "stack-id": [{"prefix": _beginning_of_id(each)} for each in stacks],
                "status-details": {"status": ["CREATE_COMPLETE", "UPDATE_COMPLETE"]},
            },
        )
        for construct_id, pattern, what in (
            ("Released", released, f"Another version of {self._name} is released"),
            ("Deployed", deployed, f"The endpoint or the monitoring of {self._name} is deployed"),
        ):
            rule = events.Rule(self, construct_id, description=what, event_pattern=pattern, targets=[target])
            same = "The state machine is in the same stack as the rule"
            Annotations.of(rule).acknowledge_warning("@aws-cdk/aws-events:ruleUnresolvedEnvironment", same)


def _beginning_of_id(stack: Stack) -> str:
    """The ARN of a stack but for the id that CloudFormation ends it with."""
    return stack.format_arn(service="cloudformation", resource="stack", resource_name=f"{stack.stack_name}/")
