"""The data of an environment: the lake and one feature job per model."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_kms as kms
from constructs import Construct

from mlops_constructs.data_lake import DataLake
from mlops_constructs.feature_job import FeatureJob, SparkCode, SparkSizing

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .settings import Model


class DataStack(Stack):
    """Raw data comes in, features come out, and serving and training leave their captures and artifacts."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        foundation: FoundationStack,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        settings = blueprint.settings
        self.lake = DataLake(
            self,
            "Lake",
            key=foundation.key,
            access_logs=foundation.access_logs,
            removal=blueprint.removal,
            capture_retention=Duration.days(settings.environment.capture_retention_days),
        )
        for model in settings.models:
            features = self._define_features(model, blueprint, foundation.key)
            features.on_failure("Failed", foundation.alarm_target)
            self.lake.grant_read(features.role, "raw", *(f"{table}/" for table in model.data.tables))
            self.lake.grant_read_write(features.role, "curated", f"{model.name}/")
            CfnOutput(self, f"{model.title}FeatureJobName", value=features.job_name)
        self._export()
        CfnOutput(self, "RawBucketName", value=self.lake.raw.bucket_name)
        CfnOutput(self, "CuratedBucketName", value=self.lake.curated.bucket_name)
        CfnOutput(self, "CaptureBucketName", value=self.lake.capture.bucket_name)
        CfnOutput(self, "ArtifactsBucketName", value=self.lake.artifacts.bucket_name)

    def _export(self) -> None:
        # Whether a model uses them or not: an export that went with its last use would be refused as still imported,
        # because this stack is updated before the ones that import it.
        for bucket in (self.lake.curated, self.lake.capture, self.lake.artifacts):
            self.export_value(bucket.bucket_arn)
            self.export_value(bucket.bucket_name)

    def _define_features(self, model: Model, blueprint: Blueprint, key: kms.IKey) -> FeatureJob:
        repository = blueprint.repository
        return FeatureJob(
            self,
            f"{model.title}Features",
            code=SparkCode(script=repository.etl_script, library=repository.models, package=model.name),
            key=key,
            arguments={
                "--model": model.name,
                "--raw": f"s3://{self.lake.raw.bucket_name}",
                "--curated": f"s3://{self.lake.curated.bucket_name}/{model.name}",
            },
            sizing=SparkSizing(
                worker_type=model.etl.worker_type,
                workers=model.etl.workers,
                timeout=Duration.minutes(model.etl.timeout_minutes),
            ),
            logs=blueprint.logs,
        )
