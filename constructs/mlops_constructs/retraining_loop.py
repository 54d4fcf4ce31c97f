"""Retraining by alarms: a model is trained again until they are off, or a person is told that it doesn't help."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Annotations, ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from .findings import acknowledge
from .job_pipeline import JobPipeline
from .log_retention import LogRetention
from .model_registry import ModelRegistry
from .retraining_definition import Retraining, retraining_definition
from .state_machine import define_machine, define_machine_role, define_starter, failed_executions
from .training_trigger import TrainingTrigger

_MANAGED_RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
"""The rule by which Step Functions waits for the end of an execution that another one has started. Source: "Launch
Step Functions workflow executions", https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html"""


class RetrainingLoop(Construct):
    """A state machine that an alarm starts, and that trains until all alarms are off: see `retraining_definition`.

    Parameters
    ----------
    name
        Of the model in its environment, as ``dev-flight-delay``.
    alarms
        Those that start it, and that have to go off. Give them datapoints that one bad run doesn't reach.
    pipeline, trigger
        The training, and the state machine that its triggers go through.
    registry
        Where the training registers versions.
    topic
        Is told when the model is given up.
    key
        Encrypts the topic and the log of the state machine. Its policy must let CloudWatch Logs use it.
    cool_down
        From the end of a training to the next look at the alarms; two days when left out.
    stop_after
        Attempts in a row that didn't help, after which a person is told.
    reports
        The S3 URI below which the reports of the monitor lie, for that person.
    logs
        How long the log is kept; 90 days, and beyond the stack, when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        alarms: Sequence[cloudwatch.IAlarm],
        pipeline: JobPipeline,
        trigger: TrainingTrigger,
        registry: ModelRegistry,
        topic: sns.ITopic,
        key: kms.IKey,
        reports: str,
        cool_down: Duration | None = None,
        stop_after: int = 3,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._name = name
        self._alarms = alarms
        loop = Retraining(
            name=name,
            alarm_names=[alarm.alarm_name for alarm in alarms],
            trigger_arn=trigger.state_machine_arn,
            topic_arn=topic.topic_arn,
            cool_down_seconds=int((cool_down or Duration.days(2)).to_seconds()),
            stop_after=stop_after,
            reports=reports,
        )
        role = self._define_role(trigger, topic, key)
        pipeline.grant_follow(role)
        registry.grant_read(role)
        self.state_machine_arn = define_machine(
            self,
            name=f"{name}-retraining",
            definition=retraining_definition(loop),
            role=role,
            key=key,
            logs=logs or LogRetention(),
        ).attr_arn
        self._let_see_itself(role)
        self._follow_alarms()

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when the state machine itself has failed."""
        return events.Rule(
            self,
            construct_id,
            description=f"The retraining of {self._name} failed",
            event_pattern=failed_executions(self.state_machine_arn),
            targets=[target],
        )

    def _follow_alarms(self) -> None:
        starter = define_starter(
            self, "EventRole", service="events.amazonaws.com", state_machine_arn=self.state_machine_arn
        )
        machine = stepfunctions.StateMachine.from_state_machine_arn(self, "Target", self.state_machine_arn)
        given = {"alarm": events.EventField.from_path("$.detail.alarmName")}
        rule = events.Rule(
            self,
            "Alarmed",
            description=f"Retrains {self._name} when an alarm of its monitor goes off",
            event_pattern=events.EventPattern(
                source=["aws.cloudwatch"],
                detail_type=["CloudWatch Alarm State Change"],
                resources=[alarm.alarm_arn for alarm in self._alarms],
                detail={"state": {"value": ["ALARM"]}},
            ),
            targets=[
                targets.SfnStateMachine(
                    machine, input=events.RuleTargetInput.from_object(given), role=starter.without_policy_updates()
                )
            ],
        )
        same = "The state machine is in the same stack as the rule"
        Annotations.of(rule).acknowledge_warning("@aws-cdk/aws-events:ruleUnresolvedEnvironment", same)

    def _define_role(self, trigger: TrainingTrigger, topic: sns.ITopic, key: kms.IKey) -> iam.Role:
        stack, role = Stack.of(self), define_machine_role(self)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:DescribeAlarms"], resources=[alarm.alarm_arn for alarm in self._alarms]
            )
        )
        machine = stack.split_arn(trigger.state_machine_arn, ArnFormat.COLON_RESOURCE_NAME).resource_name
        executions = stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{machine}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        waiting = stack.format_arn(service="events", resource="rule", resource_name=_MANAGED_RULE)
        for actions, resource in (
            (["states:StartExecution"], trigger.state_machine_arn),
            (["states:DescribeExecution", "states:StopExecution"], executions),
            (["events:DescribeRule", "events:PutRule", "events:PutTargets"], waiting),
            (["sns:Publish"], topic.topic_arn),
            (["kms:Decrypt", "kms:GenerateDataKey"], key.key_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        reason = "Step Functions names the executions of the training's trigger itself"
        acknowledge(role, {"AwsSolutions-IAM5[Resource::*:execution:*:*]": reason})
        return role

    def _let_see_itself(self, role: iam.Role) -> None:
        """In a policy of its own: the state machine waits for the other one, and this one names the state machine."""
        iam.Policy(
            self,
            "SeesItself",
            roles=[role],
            statements=[iam.PolicyStatement(actions=["states:ListExecutions"], resources=[self.state_machine_arn])],
        )
