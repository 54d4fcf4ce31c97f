"""The Glue workflow that makes and publishes a dataset, what starts it, and who hears how it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Aws, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from .feature_job import FeatureJob
from .glue_job import GlueJob
from .job_role import service_principal

EVENT_SOURCE = "mlops.data"
"""The source of the events that tell of published and held days."""


@dataclass(frozen=True, kw_only=True)
class Landing:
    """Files that start the workflow: those under some prefixes of a bucket that sends its events to EventBridge.

    A run starts after `batch_size` files, or `window_seconds` after the first one.
    """

    bucket: s3.IBucket
    prefixes: Sequence[str]
    batch_size: int = 100
    window_seconds: int = 300

    def __post_init__(self) -> None:
        """Refuse what Glue or EventBridge refuses."""
        if not self.prefixes:
            raise ValueError("prefixes must name one folder at least")
        if not 1 <= self.batch_size <= 100:
            raise ValueError(f"batch_size must be from 1 to 100, got {self.batch_size}")
        if not 1 <= self.window_seconds <= 900:
            raise ValueError(f"window_seconds must be from 1 to 900, got {self.window_seconds}")


class DataWorkflow(Construct):
    """Files that land start `prepare`; when it has succeeded, `publish` follows.

    Runs may be started by hand as well, with the run properties that the jobs know; events may be doubled or lost, as
    the jobs look at the state of the data and not at the event.

    Parameters
    ----------
    workflow_name
        A contract: people and schedules start it by its name.
    dataset_name
        The name under which its events speak of the dataset.
    prepare, publish
        The two jobs.
    labels
        A job that follows `publish`, also when that failed or was stopped, as days may have been published before;
        nothing that is published waits for it. None when left out.
    landing
        The files that start it.
    schedule
        An EventBridge schedule, as ``cron(0 6 * * ? *)``, at which it starts as well; none when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workflow_name: str,
        dataset_name: str,
        description: str,
        prepare: FeatureJob,
        publish: GlueJob,
        landing: Landing,
        labels: GlueJob | None = None,
        schedule: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.workflow_name = workflow_name
        self._dataset_name = dataset_name
        self._jobs = (prepare, publish, *([labels] if labels else []))
        self._arn = Stack.of(self).format_arn(service="glue", resource="workflow", resource_name=workflow_name)
        self.workflow = glue.CfnWorkflow(
            self,
            "Workflow",
            name=workflow_name,
            description=description,
            max_concurrent_runs=10,
        )
        self._define_landed(prepare, landing)
        self._define_prepared(prepare, publish)
        if labels:
            self._define_published(publish, labels)
        self._define_rule(landing)
        if schedule:
            self._define_schedule(schedule)
        for job in self._jobs:
            self._grant_run_state(job.role)
        self._grant_tell(publish.role)

    @property
    def published(self) -> events.EventPattern:
        """The events that tell of published days; it names nothing of this stack, so that others may listen too."""
        return self._events("Dataset Published")

    def on_published(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when days have been published; it holds them, and their manifest."""
        return self._on(construct_id, "Dataset Published", target)

    def on_held(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when days were held back; it holds them with the reasons."""
        return self._on(construct_id, "Dataset Held", target)

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when a run of any of the jobs doesn't succeed."""
        return events.Rule(
            self,
            construct_id,
            description=f"A job of the workflow {self.workflow_name} didn't succeed",
            event_pattern=events.EventPattern(
                source=["aws.glue"],
                detail_type=["Glue Job State Change"],
                detail={
                    "jobName": [job.job_name for job in self._jobs],
                    "state": ["FAILED", "TIMEOUT", "ERROR"],
                },
            ),
            targets=[target],
        )

    def _on(self, construct_id: str, detail_type: str, target: events.IRuleTarget) -> events.Rule:
        return events.Rule(
            self,
            construct_id,
            description=f"{detail_type} by {self.workflow_name}",
            event_pattern=self._events(detail_type),
            targets=[target],
        )

    def _events(self, detail_type: str) -> events.EventPattern:
        return events.EventPattern(
            source=[EVENT_SOURCE],
            detail_type=[detail_type],
            detail={"dataset": [self._dataset_name], "workflow": [self.workflow_name]},
        )

    def _define_landed(self, prepare: GlueJob, landing: Landing) -> glue.CfnTrigger:
        return glue.CfnTrigger(
            self,
            "Landed",
            name=f"{self.workflow_name}-landed",
            description="Files have landed",
            type="EVENT",
            workflow_name=self.workflow.ref,
            actions=[glue.CfnTrigger.ActionProperty(job_name=prepare.job_name)],
            event_batching_condition=glue.CfnTrigger.EventBatchingConditionProperty(
                batch_size=landing.batch_size, batch_window=landing.window_seconds
            ),
        )

    def _define_prepared(self, prepare: GlueJob, publish: GlueJob) -> glue.CfnTrigger:
        succeeded = glue.CfnTrigger.ConditionProperty(
            job_name=prepare.job_name, logical_operator="EQUALS", state="SUCCEEDED"
        )
        return glue.CfnTrigger(
            self,
            "Prepared",
            name=f"{self.workflow_name}-prepared",
            description="Days are prepared",
            type="CONDITIONAL",
            workflow_name=self.workflow.ref,
            actions=[glue.CfnTrigger.ActionProperty(job_name=publish.job_name)],
            predicate=glue.CfnTrigger.PredicateProperty(conditions=[succeeded], logical="AND"),
            start_on_creation=True,
        )

    def _define_published(self, publish: GlueJob, labels: GlueJob) -> glue.CfnTrigger:
        ended = [
            glue.CfnTrigger.ConditionProperty(job_name=publish.job_name, logical_operator="EQUALS", state=state)
            for state in ("SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED")
        ]
        return glue.CfnTrigger(
            self,
            "Published",
            name=f"{self.workflow_name}-published",
            description="Days are published or held",
            type="CONDITIONAL",
            workflow_name=self.workflow.ref,
            actions=[glue.CfnTrigger.ActionProperty(job_name=labels.job_name)],
            predicate=glue.CfnTrigger.PredicateProperty(conditions=ended, logical="ANY"),
            start_on_creation=True,
        )

    def _define_rule(self, landing: Landing) -> events.CfnRule:
        role = self._define_starter("RuleRole", "events.amazonaws.com", "glue:notifyEvent")
        return events.CfnRule(
            self,
            "Rule",
            description=f"Files for the workflow {self.workflow_name} have landed",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [landing.bucket.bucket_name]},
                    "object": {"key": [{"prefix": prefix} for prefix in landing.prefixes]},
                },
            },
            targets=[events.CfnRule.TargetProperty(id="Workflow", arn=self._arn, role_arn=role.role_arn)],
        )

    def _define_schedule(self, expression: str) -> scheduler.CfnSchedule:
        role = self._define_starter("ScheduleRole", "scheduler.amazonaws.com", "glue:StartWorkflowRun")
        return scheduler.CfnSchedule(
            self,
            "Schedule",
            description=f"Starts the workflow {self.workflow_name}",
            schedule_expression=expression,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{Aws.PARTITION}:scheduler:::aws-sdk:glue:startWorkflowRun",
                role_arn=role.role_arn,
                input=json.dumps({"Name": self.workflow_name}),
            ),
        )

    def _define_starter(self, construct_id: str, service: str, action: str) -> iam.Role:
        role = iam.Role(self, construct_id, assumed_by=service_principal(self, service))
        role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[self._arn]))
        return role

    def _grant_run_state(self, role: iam.IRole) -> None:
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["glue:GetWorkflowRun", "glue:GetWorkflowRunProperties"],
            resource_arns=[self._arn],
        )

    def _grant_tell(self, role: iam.IRole) -> None:
        bus = Stack.of(self).format_arn(service="events", resource="event-bus", resource_name="default")
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["events:PutEvents"],
                resources=[bus],
                conditions={"StringEquals": {"events:source": EVENT_SOURCE}},
            )
        )
