"""One dataset: its tables, the checks of its days, and the jobs that prepare and publish it and tell its labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from aws_cdk import Duration
from constructs import Construct

from mlops_constructs.data_catalog import CatalogTable, DataCatalog, TableSchema
from mlops_constructs.data_lake import DataLake
from mlops_constructs.data_quality import DataQuality
from mlops_constructs.data_workflow import DataWorkflow, Landing
from mlops_constructs.feature_job import FeatureJob
from mlops_constructs.glue_job import (
    GlueJob,
    JobSecurity,
    JsonAsset,
    PackageAsset,
    ScriptAsset,
    SparkCode,
    SparkSizing,
)
from mlops_constructs.grants import grant_tag_objects

from . import lake_tables
from .blueprint import Blueprint
from .dataset_settings import PARTITION, Dataset
from .dqdl import referenced
from .model_settings import Model

_LONGEST_PUBLICATION = Duration.hours(8)  # years of days, each checked for a minute or two


class DatasetPipeline(Construct):
    """Raw files become prepared days, which are checked in the staged table and published in the curated one."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        dataset: Dataset,
        readers: Sequence[Model],
        lake: DataLake,
        catalog: DataCatalog,
        security: JobSecurity,
    ) -> None:
        super().__init__(scope, construct_id)
        self._blueprint = blueprint
        self._dataset = dataset
        self.key = dataset.prepared.key
        """The columns that tell the rows of a day apart."""
        self.inference_id_columns = [PARTITION, *self.key]
        """The columns whose values an inference id is made of."""
        self._lake = lake
        self._security = security
        raw = self._define_raw(catalog)
        curated = lake.curated.bucket_name
        self.prepared = self._add_table(catalog, "", lake_tables.prepared_table(dataset, curated))
        self.staged = self._add_table(catalog, "_staged", lake_tables.prepared_table(dataset, curated, staged=True))
        self.quarantine = self._add_table(
            catalog, "_quarantine", lake_tables.quarantine_table(dataset, lake.quarantine.bucket_name)
        )
        rules = [*dataset.rules, *(rule for model in readers for rule in model.data.rules)]
        self._references = {name: raw[name] for name in referenced(rules, dataset.reference_tables)}
        self.quality = self._define_quality(readers)
        self._jobs_package = PackageAsset(self, "JobPackage", library=blueprint.repository.glue, package="dataset_job")
        self.prepare, self.publish = self._define_jobs(rules, catalog)
        self._labelled = [model for model in readers if model.monitoring and model.monitoring.ground_truth]
        self.labels = self._define_labels(catalog) if self._labelled else None
        """Tells what became of rows for the models whose monitoring wants it; None where none does."""
        self.workflow = self._define_workflow()
        self._grant()

    def _define_raw(self, catalog: DataCatalog) -> dict[str, CatalogTable]:
        bucket, owner = self._lake.raw.bucket_name, self._dataset.owner
        schemas = {name: lake_tables.raw_table(self._dataset, name, bucket) for name in self._dataset.tables}
        return {
            name: catalog.add_table(_pascal(f"raw_{name}"), name=f"raw_{name}", schema=schema, owner=owner)
            for name, schema in schemas.items()
        }

    def _add_table(self, catalog: DataCatalog, suffix: str, schema: TableSchema) -> CatalogTable:
        name = f"{self._dataset.name}{suffix}"
        return catalog.add_table(_pascal(name), name=name, schema=schema, owner=self._dataset.owner)

    def _define_quality(self, readers: Sequence[Model]) -> DataQuality:
        dataset = self._dataset
        quality = DataQuality(self, "Quality", table=self.staged)
        quality.add_ruleset(
            "Rules",
            name=self._blueprint.name_of(dataset),
            description=f"What every day of {dataset.name} keeps",
            rules=dataset.rules,
        )
        for model in readers:
            if model.data.rules:
                quality.add_ruleset(
                    f"{model.title}Rules",
                    name=self._blueprint.name_of(model),
                    description=f"What the model {model.name} expects of {dataset.name}",
                    rules=model.data.rules,
                )
        return quality

    def _define_jobs(self, rules: Sequence[str], catalog: DataCatalog) -> tuple[FeatureJob, GlueJob]:
        dataset, lake, repository = self._dataset, self._lake, self._blueprint.repository
        prepare = ScriptAsset(self, "PrepareScript", script=repository.glue / "prepare.py")
        publish = ScriptAsset(self, "PublishScript", script=repository.glue / "publish.py")
        jobs = self._jobs_package
        own = PackageAsset(self, "Package", library=repository.datasets, package=dataset.name, without=["*.yaml"])
        declaration = JsonAsset(self, "Declaration", content=dataset.declaration())
        hashes = [each.asset_hash for each in (prepare, publish, jobs, own, declaration)]
        references = ",".join(f"{name}={table.table_name}" for name, table in self._references.items())
        both = {
            "--dataset": dataset.name,
            "--database": catalog.database_name,
            "--version": _version([*hashes, *rules]),
        }
        return (
            FeatureJob(
                self,
                "Prepare",
                code=SparkCode(script=prepare, packages=[jobs, own], data=[declaration]),
                security=self._security,
                arguments={
                    **both,
                    "--declaration": declaration.s3_object_url,
                    "--raw": f"s3://{lake.raw.bucket_name}",
                    "--curated": f"s3://{lake.curated.bucket_name}/{dataset.name}",
                    "--quarantine": f"s3://{lake.quarantine.bucket_name}/{dataset.name}",
                },
                sizing=self._sizing(),
                logs=self._blueprint.logs,
                event_logs=lake.artifacts if dataset.etl.spark_ui else None,
                event_logs_name=dataset.name,
            ),
            GlueJob(
                self,
                "Publish",
                code=SparkCode(script=publish, packages=[jobs]),
                security=self._security,
                arguments={
                    **both,
                    "--curated_bucket": lake.curated.bucket_name,
                    "--rulesets": ",".join(self.quality.ruleset_names),
                    "--check_role": self.quality.role.role_arn,
                    "--check_workers": str(dataset.checks.workers),
                    "--parallel_checks": str(dataset.checks.parallel),
                    **({"--references": references} if references else {}),
                },
                sizing=SparkSizing(timeout=_LONGEST_PUBLICATION),
                logs=self._blueprint.logs,
            ),
        )

    def _define_labels(self, catalog: DataCatalog) -> GlueJob:
        script = ScriptAsset(self, "LabelsScript", script=self._blueprint.repository.glue / "labels.py")
        return GlueJob(
            self,
            "Labels",
            code=SparkCode(script=script, packages=[self._jobs_package]),
            security=self._security,
            arguments={
                "--dataset": self._dataset.name,
                "--database": catalog.database_name,
                "--curated_bucket": self._lake.curated.bucket_name,
                "--truth_bucket": self._lake.capture.bucket_name,
                "--key": ",".join(self.key),
                "--models": ",".join(f"{model.name}={model.data.label}={model.problem}" for model in self._labelled),
            },
            # runs that cross would both tell the days that neither has noted yet; one that waits finds them noted
            sizing=SparkSizing(concurrent_runs=1),
            logs=self._blueprint.logs,
        )

    def _sizing(self) -> SparkSizing:
        etl = self._dataset.etl
        return SparkSizing(
            worker_type=etl.worker_type,
            workers=etl.workers,
            autoscaling=etl.autoscaling,
            flex=etl.flex,
            timeout=Duration.minutes(etl.timeout_minutes),
            retries=etl.retries,
        )

    def _define_workflow(self) -> DataWorkflow:
        dataset, trigger = self._dataset, self._dataset.trigger
        return DataWorkflow(
            self,
            "Workflow",
            workflow_name=self._blueprint.name_of(dataset),
            dataset_name=dataset.name,
            description=dataset.description,
            prepare=self.prepare,
            publish=self.publish,
            labels=self.labels,
            landing=Landing(
                bucket=self._lake.raw,
                prefixes=[f"{table}/" for table in dataset.tables],
                batch_size=trigger.batch_size,
                window_seconds=trigger.window_seconds,
            ),
            schedule=trigger.schedule,
        )

    def _grant(self) -> None:
        lake, folder = self._lake, f"{self._dataset.name}/"
        prepare, publish = self.prepare.role, self.publish.role
        lake.grant_read(prepare, "raw", *(f"{table}/" for table in self._dataset.tables))
        lake.grant_read_write(prepare, "curated", folder)
        lake.grant_read_write(prepare, "quarantine", folder)
        grant_tag_objects(lake.curated, prepare, folder)
        self.prepared.grant_read(prepare)
        self.staged.grant_register(prepare)

        lake.grant_read_write(publish, "curated", folder)
        grant_tag_objects(lake.curated, publish, folder)
        self.prepared.grant_register(publish)
        self.staged.grant_register(publish)
        self.quality.grant_evaluate(publish)

        if self.labels:
            lake.grant_read(self.labels.role, "curated", folder)
            lake.grant_write(self.labels.role, "curated", f"{folder}labels/")
            lake.grant_write(self.labels.role, "capture", *(f"ground-truth/{model.name}/" for model in self._labelled))
            self.prepared.grant_read(self.labels.role)

        lake.grant_read(self.quality.role, "curated", folder)
        if self._references:
            lake.grant_read(self.quality.role, "raw", *(f"{name}/" for name in self._references))
        for table in self._references.values():
            table.grant_read(self.quality.role)


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _version(parts: Sequence[str]) -> str:
    """Changes with the code, the declaration and the rules that days are made and judged by."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
