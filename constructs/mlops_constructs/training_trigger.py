"""What starts a pipeline: schedules, events, alarms and people, one execution at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsii
from aws_cdk import CfnCondition, CfnResource, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from .findings import acknowledge
from .job_pipeline import JobPipeline
from .job_role import service_principal
from .log_retention import LogRetention
from .trigger_definition import NeededFile, trigger_definition


@jsii.implements(events.IRuleTarget)
class _Execution:
    """An execution of the state machine as a rule's target.

    The CDK's own target of an imported state machine warns of a rule in an account that is known beside one that isn't.
    """

    def __init__(self, state_machine_arn: str, given: Mapping[str, Any], role: iam.IRole) -> None:
        self._arn, self._given, self._role = state_machine_arn, dict(given), role

    def bind(self, rule: events.IRule, id: str | None = None) -> events.RuleTargetConfig:  # noqa: ARG002
        """What the rule is told."""
        return events.RuleTargetConfig(
            arn=self._arn, input=events.RuleTargetInput.from_object(self._given), role=self._role
        )


class TrainingTrigger(Construct):
    """A state machine that all triggers of a pipeline go through: none is lost during a run, and none starts a second.

    A trigger that comes during an execution starts the next one when that has ended, together with all others that
    came meanwhile. People start it with `StartExecution` of `state_machine_arn` and the input that
    `trigger_definition` describes; executions with parameters are their own, and wait their turn as well.

    Parameters
    ----------
    pipeline
        What is started.
    key
        Encrypts the log of the state machine. Its policy must let CloudWatch Logs use it.
    logs
        How long the log is kept; 90 days, and beyond the stack, when left out.
    needed
        A file without which nothing is started, as on the first day, when no data has been published.
    purpose
        What an execution does, as descriptions of schedules and rules begin.
    only_if
        The condition without which there are no schedules and rules, as that there is a version to ask; there always
        are when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pipeline: JobPipeline,
        key: kms.IKey,
        logs: LogRetention | None = None,
        needed: NeededFile | None = None,
        purpose: str = "Trains",
        only_if: CfnCondition | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._purpose = f"{purpose} {pipeline.pipeline_name}"
        self._only_if = only_if
        self._pipeline_name = pipeline.pipeline_name
        self._needed = needed
        self._role = self._define_role()
        self._machine = self._define_machine(logs or LogRetention(), key)
        self.state_machine_arn = self._machine.attr_arn
        self._event_role: iam.Role | None = None

    def on_schedule(self, construct_id: str, expression: str) -> scheduler.CfnSchedule:
        """Start it at the times of an EventBridge schedule, in UTC, as ``cron(0 7 * * ? *)``."""
        role = self._define_starter(f"{construct_id}Role", "scheduler.amazonaws.com")
        schedule = scheduler.CfnSchedule(
            self,
            construct_id,
            description=self._purpose,
            schedule_expression=expression,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.state_machine_arn, role_arn=role.role_arn, input=json.dumps({"trigger": "schedule"})
            ),
        )
        schedule.node.add_dependency(role.node.find_child("DefaultPolicy"))
        self._bind(schedule)
        return schedule

    def on_event(
        self, construct_id: str, pattern: events.EventPattern, *, name: str, at_most_every: Duration | None = None
    ) -> events.Rule:
        """Start it on events of the default bus.

        `name` says in the state machine's executions what has started them. With `at_most_every` an event waits until
        the newest execution is so old; all that wait are served by one, or by any that starts before.
        """
        given: dict[str, Any] = {"trigger": name}
        if at_most_every:
            given["at_most_every_hours"] = at_most_every.to_hours()
        if self._event_role is None:
            self._event_role = self._define_starter("EventRole", "events.amazonaws.com")
        rule = events.Rule(
            self,
            construct_id,
            description=f"{self._purpose}: {name}",
            event_pattern=pattern,
            targets=[_Execution(self.state_machine_arn, given, self._event_role)],
        )
        self._bind(rule.node.default_child)
        return rule

    def on_alarm(
        self, construct_id: str, alarm: cloudwatch.IAlarm, *, name: str, at_most_every: Duration | None = None
    ) -> events.Rule:
        """Start it when an alarm goes off, as `on_event` does."""
        pattern = events.EventPattern(
            source=["aws.cloudwatch"],
            detail_type=["CloudWatch Alarm State Change"],
            resources=[alarm.alarm_arn],
            detail={"state": {"value": ["ALARM"]}},
        )
        return self.on_event(construct_id, pattern, name=name, at_most_every=at_most_every)

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when a trigger could not start the pipeline."""
        return events.Rule(
            self,
            construct_id,
            description=f"A trigger of {self._pipeline_name} failed",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={"stateMachineArn": [self.state_machine_arn], "status": ["FAILED", "TIMED_OUT"]},
            ),
            targets=[target],
        )

    def _bind(self, resource: object) -> None:
        if self._only_if is not None:
            assert isinstance(resource, CfnResource)
            resource.cfn_options.condition = self._only_if

    def _define_role(self) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=service_principal(self, "states.amazonaws.com"))
        # SageMaker writes names in ARNs in lower case.
        names = sorted({self._pipeline_name, self._pipeline_name.lower()})
        pipelines = [
            Stack.of(self).format_arn(service="sagemaker", resource="pipeline", resource_name=name) for name in names
        ]
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sagemaker:ListPipelineExecutions", "sagemaker:StartPipelineExecution"], resources=pipelines
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sagemaker:DescribePipelineExecution"], resources=[f"{arn}/execution/*" for arn in pipelines]
            )
        )
        if self._needed:
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=["s3:ListBucket"],
                    resources=[
                        Stack.of(self).format_arn(
                            service="s3", region="", account="", resource=self._needed.bucket_name
                        )
                    ],
                    conditions={"StringEquals": {"s3:prefix": self._needed.key}},
                )
            )
        # As Step Functions documents it: log deliveries belong to the account, traces to nothing.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "logs:CreateLogDelivery",
                    "logs:DeleteLogDelivery",
                    "logs:DescribeLogGroups",
                    "logs:DescribeResourcePolicies",
                    "logs:GetLogDelivery",
                    "logs:ListLogDeliveries",
                    "logs:PutResourcePolicy",
                    "logs:UpdateLogDelivery",
                    "xray:GetSamplingRules",
                    "xray:GetSamplingTargets",
                    "xray:PutTelemetryRecords",
                    "xray:PutTraceSegments",
                ],
                resources=["*"],
            )
        )
        named = "SageMaker names the executions of a pipeline itself"
        executions = {f"AwsSolutions-IAM5[Resource::*:pipeline/{name}/execution/*]": named for name in names}
        reason = "Log deliveries and traces know no resources that a policy could name"
        acknowledge(role, {**executions, "AwsSolutions-IAM5[Resource::*]": reason})
        return role

    def _define_machine(self, logs: LogRetention, key: kms.IKey) -> stepfunctions.CfnStateMachine:
        group = logs.define(self, "Log", name=f"/aws/vendedlogs/states/{self._pipeline_name}-trigger", key=key)
        property_of = stepfunctions.CfnStateMachine
        machine = stepfunctions.CfnStateMachine(
            self,
            "Machine",
            definition_string=json.dumps(trigger_definition(self._pipeline_name, self._needed)),
            role_arn=self._role.role_arn,
            state_machine_type="STANDARD",
            logging_configuration=property_of.LoggingConfigurationProperty(
                level="ALL",
                include_execution_data=True,
                destinations=[
                    property_of.LogDestinationProperty(
                        cloud_watch_logs_log_group=property_of.CloudWatchLogsLogGroupProperty(
                            log_group_arn=group.attr_arn
                        )
                    )
                ],
            ),
            tracing_configuration=property_of.TracingConfigurationProperty(enabled=True),
        )
        machine.node.add_dependency(self._role.node.find_child("DefaultPolicy"))
        return machine

    def _define_starter(self, construct_id: str, service: str) -> iam.Role:
        role = iam.Role(self, construct_id, assumed_by=service_principal(self, service))
        role.add_to_policy(iam.PolicyStatement(actions=["states:StartExecution"], resources=[self.state_machine_arn]))
        return role
