"""What starts a pipeline: schedules, events, alarms and people, one execution at a time."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import Annotations, CfnCondition, CfnResource, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from .findings import acknowledge
from .job_pipeline import JobPipeline
from .log_retention import LogRetention
from .state_machine import define_machine, define_machine_role, define_starter, failed_executions
from .trigger_definition import NeededFile, trigger_definition


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
        self._machine = define_machine(
            self,
            name=f"{self._pipeline_name}-trigger",
            definition=trigger_definition(self._pipeline_name, needed),
            role=self._role,
            key=key,
            logs=logs or LogRetention(),
        )
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
        machine = stepfunctions.StateMachine.from_state_machine_arn(
            self, f"{construct_id}Target", self.state_machine_arn
        )
        rule = events.Rule(
            self,
            construct_id,
            description=f"{self._purpose}: {name}",
            event_pattern=pattern,
            targets=[
                targets.SfnStateMachine(
                    machine,
                    input=events.RuleTargetInput.from_object(given),
                    role=self._event_role.without_policy_updates(),
                )
            ],
        )
        same = "The state machine is in the same stack as the rule"
        Annotations.of(rule).acknowledge_warning("@aws-cdk/aws-events:ruleUnresolvedEnvironment", same)
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
            event_pattern=failed_executions(self.state_machine_arn),
            targets=[target],
        )

    def _bind(self, resource: object) -> None:
        if self._only_if is not None:
            assert isinstance(resource, CfnResource)
            resource.cfn_options.condition = self._only_if

    def _define_role(self) -> iam.Role:
        role = define_machine_role(self)
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
        named = "SageMaker names the executions of a pipeline itself"
        executions = {f"AwsSolutions-IAM5[Resource::*:pipeline/{name}/execution/*]": named for name in names}
        acknowledge(role, executions)
        return role

    def _define_starter(self, construct_id: str, service: str) -> iam.Role:
        return define_starter(self, construct_id, service=service, state_machine_arn=self.state_machine_arn)
