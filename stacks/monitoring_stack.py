"""Monitoring of one model: what it is asked, compared with what it was trained on, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnOutput, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from mlops_constructs.endpoint_options import VARIANT
from mlops_constructs.glue_job import JsonAsset
from mlops_constructs.grants import grant_read_assets
from mlops_constructs.model_dashboard import ModelDashboard, ShownEndpoint, ShownModel
from mlops_constructs.model_monitor import ModelMonitor
from mlops_constructs.model_release import ModelRelease
from mlops_constructs.monitor_alarms import MonitorAlarms, MonitorLimits, MonitorMetrics
from mlops_constructs.retraining_loop import RetrainingLoop

from .blueprint import Blueprint
from .data_stack import DataStack
from .foundation_stack import FoundationStack
from .model_settings import Model
from .monitoring_definition import (
    CapturedRequests,
    MonitorSurroundings,
    PredictedDays,
    limits_of,
    monitoring_definition,
)
from .monitoring_settings import (
    Monitoring,
    Retrain,
    causes_of,
    cool_down_hours,
    retraining_causes,
    silent_periods,
    watches_endpoint,
)
from .native_monitoring import NativeMonitoring
from .training_stack import TrainingStack


class MonitoringStack(Stack):
    """Deploys before anything serves: runs without requests say so, and alarms stay off.

    `releases` are the state machines that release versions of the model, that of the endpoint first where there is one;
    the dashboard shows what they did.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        model: Model,
        monitoring: Monitoring,
        foundation: FoundationStack,
        data: DataStack,
        training: TrainingStack,
        releases: Sequence[ModelRelease] = (),
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        self._blueprint, self._model, self._monitoring = blueprint, model, monitoring
        self._endpoint_name = blueprint.name_of(model) if watches_endpoint(model) else None
        self._reports = f"s3://{data.lake.artifacts.bucket_name}/{model.name}/monitoring/reports"
        self._metrics = MonitorMetrics(
            namespace=f"{blueprint.settings.platform.name}/Monitoring",
            environment=blueprint.settings.name,
            model=model.name,
        )
        self.monitor = self._define_monitor(foundation, data, training)
        self.alarms = self._define_alarms(foundation.alarms)
        self.retraining = self._define_retraining(foundation, training)
        self.dashboard = self._define_dashboard(training, releases)
        if monitoring.engine == "native" and self._endpoint_name and self._is_there:
            NativeMonitoring(
                self,
                "Native",
                blueprint=blueprint,
                model=model,
                monitoring=monitoring,
                endpoint_name=self._endpoint_name,
                foundation=foundation,
                lake=data.lake,
                registry=training.registry,
                release=releases[0],
            )
        names = [alarm.alarm_name for alarm in self.alarms.by_cause.values()]
        CfnOutput(self, "PipelineName", value=self.monitor.pipeline_name)
        CfnOutput(self, "Reports", value=self._reports)
        CfnOutput(self, "AlarmNames", value=Fn.join(",", names))
        CfnOutput(self, "DashboardName", value=self.dashboard.dashboard_name)

    def _define_monitor(self, foundation: FoundationStack, data: DataStack, training: TrainingStack) -> ModelMonitor:
        blueprint, model, lake = self._blueprint, self._model, data.lake
        monitor = ModelMonitor(
            self,
            "Monitor",
            pipeline_name=f"{blueprint.name_of(model)}-monitoring",
            image=foundation.image,
            key=foundation.key,
            network=blueprint.network,
        )
        monitor.on_failure("Failed", foundation.alarm_target)
        role, artifacts = monitor.job_role, f"{model.name}/monitoring/"
        settings = JsonAsset(self, "Settings", content=limits_of(model, self._monitoring))
        grant_read_assets([settings], role)
        training.registry.grant_list(role)
        lake.grant_read(role, "artifacts", f"{model.name}/")
        lake.grant_read_write(role, "artifacts", artifacts)
        labels = f"ground-truth/{model.name}"
        if self._monitoring.ground_truth:
            lake.grant_read(role, "capture", f"{labels}/")
        # not the topic's own grant, which opens the key with a star: the role may use the key already
        iam.Grant.add_to_principal(grantee=role, actions=["sns:Publish"], resource_arns=[foundation.alarms.topic_arn])
        surroundings = MonitorSurroundings(
            image_uri=foundation.image.uri,
            role_arn=role.role_arn,
            kms_key_arn=foundation.key.key_arn,
            group_name=training.registry.group_name,
            source=self._source(monitor, data),
            settings=settings.s3_object_url,
            reports=self._reports,
            artifacts=f"s3://{lake.artifacts.bucket_name}/{model.name}/monitoring/runs",
            topic_arn=foundation.alarms.topic_arn,
            ground_truth=f"s3://{lake.capture.bucket_name}/{labels}" if self._monitoring.ground_truth else None,
            metrics=self._metrics.variables(),
            network=blueprint.network,
        )
        monitor.define(
            monitoring_definition(model, self._monitoring, surroundings), description=f"Monitors: {model.description}"
        )
        schedule = monitor.on_schedule("Schedule", self._monitoring.schedule)
        CfnOutput(self, "ScheduleName", value=schedule.ref)
        return monitor

    @property
    def _is_there(self) -> bool:
        return self._model.serving is not None and self._model.serving.enabled

    def _source(self, monitor: ModelMonitor, data: DataStack) -> CapturedRequests | PredictedDays:
        model, lake, role = self._model, data.lake, monitor.job_role
        if self._endpoint_name:
            monitor.grant_look_at_endpoint(self._endpoint_name)
            lake.grant_read(role, "capture", f"{self._endpoint_name}/")
            return CapturedRequests(endpoint_name=self._endpoint_name, captures=f"s3://{lake.capture.bucket_name}")
        predictions = f"predictions/{model.name}"
        lake.grant_read(role, "curated", f"{model.data.dataset}/", f"{predictions}/")
        return PredictedDays(
            predictions=f"s3://{lake.curated.bucket_name}/{predictions}",
            manifest=f"s3://{lake.curated.bucket_name}/{model.data.dataset}/manifest.json",
            key=data.datasets[model.data.dataset].key,
        )

    def _limits(self) -> MonitorLimits:
        monitoring, checked = self._monitoring, causes_of(self._model)
        steady = monitoring.retrain or Retrain(datapoints=1, of=1)
        return MonitorLimits(
            moved_features=monitoring.drift.moved_features,
            quality_loss=monitoring.quality.maximum_loss if monitoring.quality else None,
            bias="bias" in checked,
            minimum_ndcg=monitoring.attributions.minimum_ndcg if monitoring.attributions else None,
            period=Duration.hours(monitoring.period_hours),
            datapoints=steady.datapoints,
            of=steady.of,
        )

    def _define_alarms(self, topic: sns.ITopic) -> MonitorAlarms:
        alarms = MonitorAlarms(self, "Alarms", metrics=self._metrics, limits=self._limits(), topic=topic)
        periods = silent_periods(self._monitoring.schedule)
        if self._endpoint_name and self._is_there and periods:
            alarms.watch_silence(self._endpoint_name, VARIANT, periods)
        return alarms

    def _define_dashboard(self, training: TrainingStack, releases: Sequence[ModelRelease]) -> ModelDashboard:
        model, name = self._model, self._blueprint.name_of(self._model)
        ignored = self._monitoring.drift.ignore
        endpoint = self._endpoint_name
        return ModelDashboard(
            self,
            "Dashboard",
            dashboard_name=f"{self._blueprint.settings.platform.name}-{name}",
            shown=ShownModel(
                metrics=self._metrics,
                limits=self._limits(),
                features=[each for each in model.data.features if each not in ignored],
                alarms=list(self.alarms.by_cause.values()),
                quality_metric=model.gate.metric,
                reports=self._reports,
                endpoint=ShownEndpoint(endpoint_name=endpoint, variant_name=VARIANT) if endpoint else None,
                pipelines={training.training.pipeline_name: "training", self.monitor.pipeline_name: "monitor"},
                release_logs=[each.log_group_name for each in releases],
            ),
        )

    def _define_retraining(self, foundation: FoundationStack, training: TrainingStack) -> RetrainingLoop | None:
        settings, causes = self._monitoring.retrain, retraining_causes(self._model)
        if settings is None or not causes:
            return None
        loop = RetrainingLoop(
            self,
            "Retraining",
            name=self._blueprint.name_of(self._model),
            alarms=[self.alarms.by_cause[cause] for cause in causes],
            pipeline=training.training,
            trigger=training.trigger,
            registry=training.registry,
            topic=foundation.alarms,
            key=foundation.key,
            reports=self._reports,
            cool_down=Duration.hours(cool_down_hours(self._model)),
            stop_after=settings.stop_after,
            logs=self._blueprint.logs,
        )
        loop.on_failure("Failed", foundation.alarm_target)
        CfnOutput(self, "RetrainingArn", value=loop.state_machine_arn)
        return loop
