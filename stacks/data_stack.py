"""The data of an environment: the lake, its catalog, a pipeline for each dataset, and where people query."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnOutput, Duration, Stack
from constructs import Construct

from mlops_constructs.data_catalog import DataCatalog
from mlops_constructs.data_lake import DataLake
from mlops_constructs.glue_job import JobSecurity
from mlops_constructs.query_workgroup import QueryWorkGroup

from . import lake_queries, lake_tables
from .blueprint import Blueprint
from .dataset_pipeline import DatasetPipeline
from .dataset_settings import Dataset
from .foundation_stack import FoundationStack
from .gate_steps import BASELINE, OUTPUT
from .model_settings import Model

CHECKPOINTS_KEPT = Duration.days(30)
"""How long checkpoints outlive the job that wrote them, for the next one that trains on the same rows."""

BATCHES_KEPT = Duration.days(7)
"""How long the rows and answers of batch inference are kept beside the table that they went into, to look at."""


class DataStack(Stack):
    """Raw files come in, checked days of datasets come out, and models leave captures, predictions and artifacts."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        foundation: FoundationStack,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        self._blueprint = blueprint
        settings = blueprint.settings
        self.lake = self._define_lake(foundation)
        if blueprint.shared_with and settings.models:
            self.lake.share(blueprint.shared_with, "artifacts", *_shared_keys(settings.models))
        self.catalog = DataCatalog(
            self,
            "Catalog",
            database_name=blueprint.place.replace("-", "_"),
            description=f"The data of {settings.platform.name} in {settings.name}",
            removal=blueprint.removal,
        )
        self.queries = QueryWorkGroup(
            self,
            "Queries",
            work_group_name=blueprint.place,
            results=self.lake.artifacts,
            key=foundation.key,
            limit_gb=settings.environment.query_limit_gb,
            removal=blueprint.removal,
        )
        security = JobSecurity(self, "Security", key=foundation.key)
        self.datasets = {each.name: self._define_dataset(each, security, foundation) for each in settings.datasets}
        for dataset in settings.datasets:
            for model in settings.readers_of(dataset):
                self._define_model(model, dataset)
        self._export()
        self._tell()

    def _define_lake(self, foundation: FoundationStack) -> DataLake:
        environment = self._blueprint.settings.environment
        return DataLake(
            self,
            "Lake",
            key=foundation.key,
            access_logs=foundation.access_logs,
            removal=self._blueprint.removal,
            capture_retention=Duration.days(environment.capture_retention_days),
            quarantine_retention=Duration.days(environment.quarantine_retention_days),
            passing={
                "queries/": Duration.days(30),
                "spark-logs/": Duration.days(30),
                **{f"{model.name}/checkpoints/": CHECKPOINTS_KEPT for model in self._blueprint.settings.models},
                **{f"{model.name}/batch/": BATCHES_KEPT for model in self._blueprint.settings.models},
            },
        )

    def _define_dataset(self, dataset: Dataset, security: JobSecurity, foundation: FoundationStack) -> DatasetPipeline:
        pipeline = DatasetPipeline(
            self,
            f"{dataset.title}Dataset",
            blueprint=self._blueprint,
            dataset=dataset,
            readers=self._blueprint.settings.readers_of(dataset),
            lake=self.lake,
            catalog=self.catalog,
            security=security,
        )
        pipeline.workflow.on_failure("Failed", foundation.alarm_target)
        self.queries.add_query(
            f"{dataset.title}Rows",
            name=f"{dataset.name}: rows by day",
            description="How many rows are published, by day",
            table=pipeline.prepared,
            sql=lake_queries.rows_by_day(pipeline.prepared),
        )
        self.queries.add_query(
            f"{dataset.title}Quarantine",
            name=f"{dataset.name}: quarantine",
            description="Why rows are in quarantine",
            table=pipeline.quarantine,
            sql=lake_queries.quarantine_reasons(pipeline.quarantine),
        )
        CfnOutput(self, f"{dataset.title}WorkflowName", value=pipeline.workflow.workflow_name)
        CfnOutput(self, f"{dataset.title}PrepareJobName", value=pipeline.prepare.job_name)
        CfnOutput(self, f"{dataset.title}PublishJobName", value=pipeline.publish.job_name)
        if pipeline.labels:
            CfnOutput(self, f"{dataset.title}LabelsJobName", value=pipeline.labels.job_name)
        CfnOutput(
            self,
            f"{dataset.title}InferenceIdColumns",
            description="What inference ids are made of, so that predictions find their labels",
            value=",".join(pipeline.inference_id_columns),
        )
        return pipeline

    def _define_model(self, model: Model, dataset: Dataset) -> None:
        bucket, prepared = self.lake.curated.bucket_name, self.datasets[dataset.name].prepared
        self.catalog.add_table(
            f"{model.title}Predictions",
            name=f"{model.name}_predictions",
            schema=lake_tables.predictions_table(model, dataset, bucket),
        )
        self.catalog.add_table(
            f"{model.title}GroundTruth",
            name=f"{model.name}_ground_truth",
            schema=lake_tables.ground_truth_table(model, dataset, self.lake.capture.bucket_name),
        )
        self.queries.add_query(
            f"{model.title}Label",
            name=f"{model.name}: label by day",
            description=f"The mean of {model.data.label} by day",
            table=prepared,
            sql=lake_queries.label_by_day(model, prepared),
        )

    def _export(self) -> None:
        # Whether a model uses them or not: an export that went with its last use would be refused as still imported,
        # because this stack is updated before the ones that import it.
        for bucket in (self.lake.curated, self.lake.capture, self.lake.artifacts):
            self.export_value(bucket.bucket_arn)
            self.export_value(bucket.bucket_name)

    def _tell(self) -> None:
        for zone, bucket in (
            ("Raw", self.lake.raw),
            ("Curated", self.lake.curated),
            ("Quarantine", self.lake.quarantine),
            ("Capture", self.lake.capture),
            ("Artifacts", self.lake.artifacts),
        ):
            CfnOutput(self, f"{zone}BucketName", value=bucket.bucket_name)
        CfnOutput(self, "DatabaseName", value=self.catalog.database_name)
        CfnOutput(self, "QueryWorkGroupName", value=self.queries.work_group_name)


def _shared_keys(models: Sequence[Model]) -> list[str]:
    """Objects that a version names: its artifact, its evaluation, and what monitors compare with, but no rows."""
    named = ("model.tar.gz", f"{OUTPUT}/*", f"{BASELINE}/*")
    return [f"{model.name}/*/{what}" for model in models for what in named]
