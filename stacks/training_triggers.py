"""The triggers of a model's training, as its settings want them."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_events as events
from constructs import Construct

from mlops_constructs.training_pipeline import TrainingPipeline
from mlops_constructs.training_trigger import TrainingTrigger
from mlops_constructs.trigger_definition import NeededFile

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .trigger_settings import Triggers


def define_triggers(
    scope: Construct,
    *,
    blueprint: Blueprint,
    settings: Triggers,
    pipeline: TrainingPipeline,
    published: events.EventPattern,
    manifest: NeededFile,
    foundation: FoundationStack,
) -> TrainingTrigger:
    """The state machine of a pipeline's triggers, with its schedule and the rule on new data, `published`.

    Until there is a `manifest`, none of them starts anything.
    """
    trigger = TrainingTrigger(
        scope, "Trigger", pipeline=pipeline, key=foundation.key, logs=blueprint.logs, needed=manifest
    )
    trigger.on_failure("Failed", foundation.alarm_target)
    if settings.schedule:
        schedule = trigger.on_schedule("Schedule", settings.schedule)
        CfnOutput(scope, "ScheduleName", value=schedule.ref)
    if settings.new_data:
        gap = Duration.hours(settings.new_data.at_most_every_hours)
        trigger.on_event("NewData", published, name="new-data", at_most_every=gap)
    CfnOutput(scope, "TrainingTriggerArn", value=trigger.state_machine_arn)
    return trigger
