"""SageMaker Model Monitor's schedules of a model's endpoint: what each kind is told, and what its jobs may do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from aws_cdk import Annotations, CfnCondition, CfnOutput, CfnParameter, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from mlops_constructs.data_lake import DataLake
from mlops_constructs.glue_job import JsonAsset
from mlops_constructs.grants import grant_encrypt_decrypt, grant_read_assets
from mlops_constructs.job_role import JobRole
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.model_release import ModelRelease
from mlops_constructs.native_baseline_copies import NativeBaselineCopies
from mlops_constructs.native_baselines import EXPLAINED, SWITCH
from mlops_constructs.native_grants import grant_ask_models, grant_pull_image
from mlops_constructs.native_monitor import NativeJob, NativeMonitor
from mlops_constructs.pipeline_steps import JobResources

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .model_settings import Model
from .monitoring_settings import Monitoring, native_schedule
from .native_settings import CLOSED, Native

_THRESHOLD = 0.5
_SHAP_SAMPLES = 200
_NAMESPACES = [
    # AWS's pages spell them in several ways
    f"{start}aws/sagemaker/{place}/{kind}-metric{end}"
    for start in ("", "/")
    for place in ("Endpoint", "Endpoints")
    for kind in ("data", "model", "bias", "explainability")
    for end in ("", "s")
]
PREPROCESSOR = '''"""Names the values of a captured request, as SageMaker Model Monitor asks for it."""

FEATURES = {features!r}


def preprocess_handler(inference_record):
    """The features of a request by their names; a list of that for several rows. The answer isn't looked at."""
    lines = inference_record.endpoint_input.data.strip().splitlines()
    rows = [dict(zip(FEATURES, line.split(","))) for line in lines]
    return rows[0] if len(rows) == 1 else rows
'''


class NativeMonitoring(Construct):
    """Definitions and schedules, and the state machine that gives them the baselines of the released version.

    Model Monitor wants an endpoint that is there. So nothing of it is made until the stack's parameter says on, which
    the state machine sets after the first release, or after the stack's first deployment where a version serves then.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        model: Model,
        monitoring: Monitoring,
        endpoint_name: str,
        foundation: FoundationStack,
        lake: DataLake,
        registry: ModelRegistry,
        release: ModelRelease,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        self._model, self._monitoring, self._lake = model, monitoring, lake
        self._native = blueprint.settings.environment.native or Native()
        self._probe = f"monitor-{endpoint_name}"
        self._prefix = f"{model.name}/monitoring/baseline/"
        switch = CfnParameter(
            stack,
            SWITCH,
            type="String",
            default="off",
            allowed_values=["off", "on"],
            description="on once there is an endpoint for Model Monitor's schedules; a state machine sets it",
        )
        is_on = CfnCondition(self, "IsOn", expression=Fn.condition_equals(switch.value_as_string, "on"))
        role = self._define_role(endpoint_name, foundation)
        if blueprint.network:
            role.grant_network(blueprint.network)
        self.monitor = NativeMonitor(
            self,
            "Monitor",
            name=endpoint_name,
            endpoint_name=endpoint_name,
            jobs=self._jobs(role),
            schedule=native_schedule(monitoring.schedule) or "",
            role=role,
            resources=JobResources(
                instance_type=monitoring.instance_type, max_runtime_seconds=monitoring.max_runtime_minutes * 60
            ),
            output=f"s3://{lake.artifacts.bucket_name}/{model.name}/monitoring/native",
            kms_key_arn=foundation.key.key_arn,
            condition=is_on,
            network=blueprint.network,
        )
        copies = NativeBaselineCopies(
            self,
            "Baselines",
            name=blueprint.name_of(model),
            endpoint_name=endpoint_name,
            release=release,
            registry=registry,
            artifacts=lake.artifacts,
            source=f"{model.name}/",
            prefix=self._prefix,
            files=self._files(),
            explanation=self._explanation(),
            key=foundation.key,
            logs=blueprint.logs,
        )
        copies.on_failure("Failed", foundation.alarm_target)
        CfnOutput(stack, "NativeScheduleNames", value=",".join(self.monitor.schedule_names), condition=is_on)
        Annotations.of(stack).add_info_v2(
            "mlops:native-monitoring",
            f"{model.name} asks for SageMaker Model Monitor, which is closed to new customers since {CLOSED}: an "
            "account that hasn't used it before refuses its schedules",
        )

    def _define_role(self, endpoint_name: str, foundation: FoundationStack) -> JobRole:
        model = self._model
        role = JobRole(
            self,
            "JobRole",
            service="sagemaker.amazonaws.com",
            log_groups="/aws/sagemaker/ProcessingJobs",
            metrics_namespaces=["/aws/sagemaker/ProcessingJobs", *_NAMESPACES],
        )
        for image in sorted({self._native.monitor_image or "", self._native.clarify_image or ""}):
            grant_pull_image(role, image)
        grant_encrypt_decrypt(foundation.key, role)
        role.grant_disk_encryption(foundation.key)
        self._lake.grant_read(role, "capture", f"{endpoint_name}/", f"ground-truth/{model.name}/")
        self._lake.grant_read(role, "artifacts", self._prefix)
        self._lake.grant_read_write(role, "artifacts", f"{model.name}/monitoring/native/")
        # Clarify explains by an endpoint of its own; the one that serves is only looked at, as AWS's own samples let it
        grant_ask_models(role, [self._probe])
        endpoints = [
            Stack.of(self).format_arn(service="sagemaker", resource="endpoint", resource_name=name)
            for name in sorted({endpoint_name, endpoint_name.lower()})
        ]
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:DescribeEndpoint"], resources=endpoints))
        return role

    @property
    def _is_classifier(self) -> bool:
        return self._model.problem == "binary_classification"

    @property
    def _judges_bias(self) -> bool:
        fair = self._monitoring.fairness and bool(self._model.fairness.facets)
        return self._monitoring.ground_truth and self._is_classifier and fair

    def _jobs(self, role: JobRole) -> list[NativeJob]:
        monitor, clarify = self._native.monitor_image or "", self._native.clarify_image or ""
        preprocessor = self._define_preprocessor()
        grant_read_assets([preprocessor], role)
        jobs = [
            NativeJob(
                kind="DataQuality",
                application={"ImageUri": monitor, "RecordPreprocessorSourceUri": preprocessor.s3_object_url},
                baseline={
                    "ConstraintsResource": {"S3Uri": self._baseline("data_quality_constraints.json")},
                    "StatisticsResource": {"S3Uri": self._baseline("data_quality_statistics.json")},
                },
            )
        ]
        labels = f"s3://{self._lake.capture.bucket_name}/ground-truth/{self._model.name}"
        if self._monitoring.ground_truth:
            kind = "BinaryClassification" if self._is_classifier else "Regression"
            quality = NativeJob(
                kind="ModelQuality",
                application={"ImageUri": monitor, "ProblemType": kind},
                baseline={"ConstraintsResource": {"S3Uri": self._baseline("model_quality_constraints.json")}},
                endpoint={**self._answer(judged=True), **self._window()},
                ground_truth=labels,
            )
            jobs.append(quality)
        if self._judges_bias:
            analysis = JsonAsset(self, "BiasAnalysis", content=self._bias())
            grant_read_assets([analysis], role)
            bias = NativeJob(
                kind="ModelBias",
                application={"ImageUri": clarify, "ConfigUri": analysis.s3_object_url},
                baseline={"ConstraintsResource": {"S3Uri": self._baseline("bias_constraints.json")}},
                endpoint={**self._answer(judged=True), **self._window()},
                ground_truth=labels,
            )
            jobs.append(bias)
        explained = NativeJob(
            kind="ModelExplainability",
            application={"ImageUri": clarify, "ConfigUri": self._baseline(EXPLAINED)},
            baseline={"ConstraintsResource": {"S3Uri": self._baseline("explainability_constraints.json")}},
            endpoint=self._answer(judged=False),
        )
        return [*jobs, explained]

    def _files(self) -> list[str]:
        found = ["data_quality_statistics.json", "data_quality_constraints.json", "explainability_constraints.json"]
        if self._monitoring.ground_truth:
            found.append("model_quality_constraints.json")
        if self._judges_bias:
            found.append("bias_constraints.json")
        return found

    def _baseline(self, file: str) -> str:
        return f"s3://{self._lake.artifacts.bucket_name}/{self._prefix}{file}"

    def _answer(self, *, judged: bool) -> dict[str, Any]:
        """Where the answer's number is: the only column of the CSV that the endpoint answers with."""
        if not self._is_classifier:
            return {"InferenceAttribute": "0"}
        return {"ProbabilityAttribute": "0", **({"ProbabilityThresholdAttribute": _THRESHOLD} if judged else {})}

    def _window(self) -> dict[str, str]:
        """The hours of one run, so long ago that their labels have come."""
        quality = self._monitoring.quality
        late = quality.labels_within_hours if quality else 0
        return {"StartTimeOffset": f"-PT{late + self._monitoring.period_hours}H", "EndTimeOffset": f"-PT{late}H"}

    def _bias(self) -> dict[str, Any]:
        facets = [
            {"name_or_index": each.feature, "value_or_threshold": each.values if each.above is None else [each.above]}
            for each in self._model.fairness.facets
        ]
        return {
            "version": "1.0",
            "dataset_type": "text/csv",
            "headers": [*self._model.data.features, self._model.data.label],
            "label": self._model.data.label,
            "label_values_or_threshold": [1],
            "facet": facets,
            "methods": {"post_training_bias": {"methods": "all"}},
        }

    def _explanation(self) -> dict[str, Any]:
        serving = self._model.serving
        machine = serving.instance_type if serving else self._monitoring.instance_type
        return {
            "version": "1.0",
            "dataset_type": "text/csv",
            "headers": list(self._model.data.features),
            "predictor": {
                "endpoint_name_prefix": self._probe,
                "instance_type": machine,
                "initial_instance_count": 1,
                "content_type": "text/csv",
                "accept_type": "text/csv",
            },
            "methods": {"shap": {"num_samples": _SHAP_SAMPLES, "agg_method": "mean_abs", "seed": 0}},
        }

    def _define_preprocessor(self) -> assets.Asset:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "preprocessor.py"
            file.write_text(PREPROCESSOR.format(features=list(self._model.data.features)), encoding="utf-8")
            return assets.Asset(self, "Preprocessor", path=str(file))
