"""Releases of a model: an approval alone changes what a stack serves."""

from __future__ import annotations

from aws_cdk import Annotations, CfnCondition, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ssm as ssm
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from .grants import grant_encrypt_decrypt, grant_write_objects
from .log_retention import LogRetention
from .model_registry import ModelRegistry
from .release_definition import Release, release_definition
from .stack_update import grant_update_stack
from .state_machine import define_machine, define_machine_role, define_starter, failed_executions, log_group_of


class ModelRelease(Construct):
    """A state machine that brings its own stack to the version of a model that should serve, and writes down how.

    The stack has a parameter ``ModelPackageArn``, empty at first. It follows each approval and each rejection of a
    version, and each approval that is taken back, as another stack does whose release has failed: see
    `release_definition`. CloudFormation does the change, by the role that the stack was deployed with: a
    stack that was deployed without one, as by an administrator's own rights, can't be changed by the state machine,
    which has no other right than to ask.

    Parameters
    ----------
    name
        Of the model in its environment, with what is released where there are several, as ``dev-flight-delay-batch``.
    package, named
        The value of the stack's parameter, and the condition that it isn't empty. It is also kept as the SSM parameter
        ``/<name>/released-version`` (`version`), where others may look it up, and which makes every release a change:
        CloudFormation refuses an update without one. Let it depend on what serves.
    registry
        Of the model, with its pin.
    records, prefix
        Where each release leaves its record: a JSON object ``<prefix><time>.json``.
    endpoint_name
        The endpoint of the stack, where it has one.
    component_name
        The inference component of the stack, where it has one in place of an endpoint.
    key
        Encrypts the records and the log of the state machine. Its policy must let CloudWatch Logs use it.
    logs
        How long the log is kept; 90 days, and beyond the stack, when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        package: str,
        named: CfnCondition,
        registry: ModelRegistry,
        records: s3.IBucket,
        prefix: str,
        key: kms.IKey,
        endpoint_name: str | None = None,
        component_name: str | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._name = name
        self._role = self._define_role(registry, records, prefix, key)
        for kind, found in (("endpoint", endpoint_name), ("inference-component", component_name)):
            if found:
                arn = Stack.of(self).format_arn(service="sagemaker", resource=kind, resource_name=found)
                action = "sagemaker:Describe" + "".join(word.capitalize() for word in kind.split("-"))
                self._role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[arn]))
        release = Release(
            stack_name=Stack.of(self).stack_name,
            group_name=registry.group_name,
            pin_name=registry.pin_name,
            bucket_name=records.bucket_name,
            prefix=prefix,
            endpoint_name=endpoint_name,
            component_name=component_name,
        )
        self.log_group_name = log_group_of(f"{name}-release")
        self.version_name = f"/{name}/released-version"
        machine = define_machine(
            self,
            name=f"{name}-release",
            definition=release_definition(release),
            role=self._role,
            key=key,
            logs=logs or LogRetention(),
        )
        self.state_machine_arn = machine.attr_arn
        self._follow(registry)
        self.version = ssm.CfnParameter(
            self,
            "Version",
            name=self.version_name,
            type="String",
            value=package,
            description=f"The version that is released of {name}",
        )
        self.version.cfn_options.condition = named

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when a release has failed."""
        return events.Rule(
            self,
            construct_id,
            description=f"A release of {self._name} failed",
            event_pattern=failed_executions(self.state_machine_arn),
            targets=[target],
        )

    def _follow(self, registry: ModelRegistry) -> None:
        starter = define_starter(
            self, "EventRole", service="events.amazonaws.com", state_machine_arn=self.state_machine_arn
        )
        machine = stepfunctions.StateMachine.from_state_machine_arn(self, "Target", self.state_machine_arn)
        given = {
            "trigger": events.EventField.from_path("$.detail.ModelApprovalStatus"),
            "package": events.EventField.from_path("$.detail.ModelPackageArn"),
        }
        target = targets.SfnStateMachine(
            machine, input=events.RuleTargetInput.from_object(given), role=starter.without_policy_updates()
        )
        rule = registry.on_status(self, "Decided", ["Approved", "Rejected", "PendingManualApproval"], target)
        same = "The state machine is in the same stack as the rule"
        Annotations.of(rule).acknowledge_warning("@aws-cdk/aws-events:ruleUnresolvedEnvironment", same)

    def _define_role(self, registry: ModelRegistry, records: s3.IBucket, prefix: str, key: kms.IKey) -> iam.Role:
        stack, role = Stack.of(self), define_machine_role(self)
        grant_update_stack(role, stack, looking=["DescribeStackEvents", "DescribeStacks"])
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["ssm:GetParameter"],
                resources=[stack.format_arn(service="ssm", resource=f"parameter{registry.pin_name}")],
            )
        )
        registry.grant_list(role)
        registry.grant_approve(role)
        grant_write_objects(records, role, prefix)
        grant_encrypt_decrypt(key, role)
        return role
