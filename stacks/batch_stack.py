"""Batch inference of one model: days are predicted by the version that the stack's parameter names."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from mlops_constructs.autopilot_grants import grant_pull_autopilot
from mlops_constructs.batch_inference import BatchInference
from mlops_constructs.data_lake import DataLake
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.model_release import ModelRelease
from mlops_constructs.training_trigger import TrainingTrigger
from mlops_constructs.trigger_definition import NeededFile

from .batch_definition import BatchSurroundings, batch_definition
from .batch_settings import Batch
from .blueprint import Blueprint
from .data_stack import DataStack
from .foundation_stack import FoundationStack
from .model_settings import Model
from .version_parameter import version_parameter


class BatchStack(Stack):
    """Deploys without a model until `ModelPackageArn` names a version, which the first approval does by itself.

    Until then nothing starts an execution, and one that a person starts says why it can't predict.

    The triggers go through a state machine, as those of trainings: what comes during a run is taken up by the next one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        model: Model,
        batch: Batch,
        foundation: FoundationStack,
        data: DataStack,
        registry: ModelRegistry,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        lake, dataset = data.lake, data.datasets[model.data.dataset]
        package = version_parameter(
            self, "ModelPackageArn", registry, "ARN of the model package that predicts days; empty for none"
        )
        name = f"{blueprint.name_of(model)}-batch"
        self.inference = BatchInference(
            self,
            "Inference",
            pipeline_name=name,
            model_package_arn=package,
            image=foundation.image,
            key=foundation.key,
            network=blueprint.network,
        )
        self.inference.on_failure("Failed", foundation.alarm_target)
        self._grant(lake, registry, model)
        manifest = NeededFile(lake.curated.bucket_name, f"{model.data.dataset}/manifest.json")
        surroundings = BatchSurroundings(
            image_uri=foundation.image.uri,
            selection_role_arn=self.inference.selection_role.role_arn,
            publication_role_arn=self.inference.publication_role.role_arn,
            kms_key_arn=foundation.key.key_arn,
            model_name=self.inference.model.attr_model_name,
            model_package_arn=package,
            manifest=f"s3://{manifest.bucket_name}/{manifest.key}",
            predictions=f"s3://{lake.curated.bucket_name}/predictions/{model.name}",
            artifacts=f"s3://{lake.artifacts.bucket_name}/{model.name}/batch",
            key=dataset.key,
            network=blueprint.network,
        )
        pipeline = self.inference.define(
            batch_definition(model, batch, surroundings),
            description=f"Predictions for days: {model.description}",
            unreleased=f"no version of {registry.group_name} is released yet: approve one, see `mlops model approve`",
        )
        self.release = ModelRelease(
            self,
            "Release",
            name=name,
            package=package,
            named=self.inference.released,
            registry=registry,
            records=lake.artifacts,
            prefix=f"{model.name}/releases/batch/",
            key=foundation.key,
            logs=blueprint.logs,
        )
        self.release.version.add_resource_dependency(pipeline)
        self.release.on_failure("ReleaseFailed", foundation.alarm_target)
        CfnOutput(self, "ReleaseArn", value=self.release.state_machine_arn)
        self._define_triggers(blueprint, batch, foundation, data, model, manifest)
        CfnOutput(self, "PipelineName", value=self.inference.pipeline_name)

    def _grant(self, lake: DataLake, registry: ModelRegistry, model: Model) -> None:
        select, ask, publish = (
            self.inference.selection_role,
            self.inference.model_role,
            self.inference.publication_role,
        )
        predictions, batches = f"predictions/{model.name}/", f"{model.name}/batch/"
        lake.grant_read(select, "curated", f"{model.data.dataset}/", predictions)
        lake.grant_read(select, "artifacts", f"{model.name}/")
        lake.grant_read_write(select, "artifacts", batches)
        registry.grant_read(select)

        lake.grant_read(ask, "artifacts", f"{model.name}/")
        lake.grant_read_write(ask, "artifacts", batches)
        registry.grant_read(ask)
        # Whatever it is trained by today: a version that Autopilot found may be live until another is released.
        grant_pull_autopilot(ask)

        lake.grant_read(publish, "artifacts", batches)
        lake.grant_read_write(publish, "curated", predictions)
        lake.grant_read(self.inference.pipeline_role, "artifacts", batches)

    def _define_triggers(
        self,
        blueprint: Blueprint,
        batch: Batch,
        foundation: FoundationStack,
        data: DataStack,
        model: Model,
        manifest: NeededFile,
    ) -> None:
        released = self.inference.released
        trigger = TrainingTrigger(
            self,
            "Trigger",
            pipeline=self.inference,
            key=foundation.key,
            logs=blueprint.logs,
            needed=manifest,
            purpose="Predicts days by",
            only_if=released,
        )
        trigger.on_failure("Failed", foundation.alarm_target)
        if batch.schedule:
            schedule = trigger.on_schedule("Schedule", batch.schedule)
            CfnOutput(self, "ScheduleName", value=schedule.ref, condition=released)
        if batch.new_data:
            published = data.datasets[model.data.dataset].workflow.published
            trigger.on_event("NewData", published, name="new-data")
        CfnOutput(self, "CatchUpDays", value=str(batch.catch_up_days))
        CfnOutput(self, "BatchTriggerArn", value=trigger.state_machine_arn)
