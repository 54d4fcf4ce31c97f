"""Training of one model: its registry and the pipeline that fills it."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_events as events
from constructs import Construct

from mlops_constructs.autopilot_grants import grant_autopilot
from mlops_constructs.data_lake import DataLake
from mlops_constructs.experiments import Experiments
from mlops_constructs.glue_job import PackageAsset
from mlops_constructs.grants import grant_read_assets
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.training_diagnostics import DiagnosticAlarm, DiagnosticMetrics
from mlops_constructs.training_pipeline import TrainingPipeline
from mlops_constructs.trigger_definition import NeededFile

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .model_settings import Model
from .native_services import define_native
from .training_definition import Surroundings, training_definition
from .training_triggers import define_triggers


class TrainingStack(Stack):
    """What a dataset has published becomes registered versions of the model, with their artifacts in the lake."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        model: Model,
        foundation: FoundationStack,
        lake: DataLake,
        published: events.EventPattern,
        experiments: Experiments | None = None,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        name, network = blueprint.name_of(model), blueprint.network
        code = PackageAsset(self, "Code", library=blueprint.repository.models, package=model.name)
        self.registry = ModelRegistry(
            self,
            "Registry",
            group_name=name,
            description=model.description,
            removal=blueprint.removal,
            shared_with=blueprint.shared_with,
        )
        self.training = TrainingPipeline(
            self, "Training", pipeline_name=name, image=foundation.image, key=foundation.key, network=network
        )
        self.training.on_failure("Failed", foundation.alarm_target)

        manifest = NeededFile(lake.curated.bucket_name, f"{model.data.dataset}/manifest.json")
        grant_read_assets([code], self.training.job_role)
        lake.grant_read(self.training.job_role, "curated", f"{model.data.dataset}/")
        lake.grant_read_write(self.training.job_role, "artifacts", f"{model.name}/")
        lake.grant_read(self.training.pipeline_role, "artifacts", f"{model.name}/")
        lake.grant_read(self.training.pipeline_role, "curated", f"{model.data.dataset}/manifest")
        self.registry.grant_register(self.training.pipeline_role)
        if model.training.algorithm == "automl":
            grant_autopilot(self.training.job_role)
        if model.gate.champion:
            self.registry.grant_list(self.training.job_role)

        if experiments:
            experiments.grant_track(self.training.job_role)

        native = define_native(
            self,
            model=model,
            name=name,
            native=blueprint.settings.environment.native,
            job_role=self.training.job_role,
        )
        diagnostics = self._define_diagnostics(blueprint, model, foundation)
        surroundings = Surroundings(
            image_uri=foundation.image.uri,
            role_arn=self.training.job_role.role_arn,
            kms_key_arn=foundation.key.key_arn,
            group_name=name,
            code=code.s3_object_url,
            manifest=f"s3://{manifest.bucket_name}/{manifest.key}",
            artifacts=f"s3://{lake.artifacts.bucket_name}/{model.name}",
            network=network,
            tracking_uri=experiments.tracking_uri if experiments else None,
            metrics=diagnostics.variables() if diagnostics else {},
            native=native,
            commit=blueprint.commit,
        )
        pipeline = self.training.define(training_definition(model, surroundings), description=model.description)
        pipeline.node.add_dependency(self.registry.group)
        self.trigger = define_triggers(
            self,
            blueprint=blueprint,
            settings=model.training.triggers,
            pipeline=self.training,
            published=published,
            manifest=manifest,
            foundation=foundation,
        )
        # Serving, monitoring and the studio's teams import them; said here, so that they stay whatever those do.
        self.export_value(self.registry.group.attr_model_package_group_arn)
        self.export_value(self.trigger.state_machine_arn)
        CfnOutput(self, "PipelineName", value=self.training.pipeline_name)
        CfnOutput(self, "ModelPackageGroupName", value=self.registry.group_name)
        CfnOutput(self, "PinName", value=self.registry.pin_name)

    def _define_diagnostics(
        self, blueprint: Blueprint, model: Model, foundation: FoundationStack
    ) -> DiagnosticMetrics | None:
        if model.training.algorithm == "automl":
            return None
        metrics = DiagnosticMetrics(
            namespace=f"{blueprint.settings.platform.name}/Training",
            environment=blueprint.settings.name,
            model=model.name,
        )
        if model.training.diagnostics.warns:
            DiagnosticAlarm(self, "Diagnostics", metrics=metrics, topic=foundation.alarms)
        return metrics
