"""A deployed dataset: its names from the stack's outputs, its tables and version from its prepare job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from mlops_cli.deployment import Deployment, DeploymentError, camel

SUFFIX = "WorkflowName"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What the days of a dataset are judged by: everything is read from what is deployed, nothing from the checkout.

    `daily` maps each daily table to its number of earlier days that a day reads, `reference` are the other tables, and
    `version` is that of the newest code, declaration and rules.
    """

    name: str
    environment: str
    workflow: str
    prepare_job: str
    publish_job: str
    labels_job: str = ""
    """Empty where no model wants ground truth."""
    database: str
    raw_bucket: str
    curated_bucket: str
    version: str
    daily: Mapping[str, int]
    reference: Sequence[str]

    @property
    def staged_table(self) -> str:
        """The table of the days that are being prepared or held back."""
        return f"{self.name}_staged"

    @property
    def manifest_key(self) -> str:
        """The object, in the curated bucket, that lists the published files."""
        return f"{self.name}/manifest.json"


def deployed_dataset(deployment: Deployment, name: str = "") -> Dataset:
    """Return a dataset of the environment, the only one if no name is given.

    Raises DeploymentError, with the datasets that there are, for an unknown name or when one has to be named.
    """
    outputs = deployment.outputs("data")
    # by the name as outputs write it
    known = {output.removesuffix(SUFFIX): outputs[output] for output in outputs if output.endswith(SUFFIX)}
    if not known:
        raise DeploymentError(f"{deployment.environment} has no dataset: declare one and deploy")
    there = _listed(deployment, known)
    if name and camel(name) not in known:
        raise DeploymentError(f"no dataset {name!r} in {deployment.environment}; there are: {there}")
    if not name and len(known) > 1:
        raise DeploymentError(f"name one of the datasets of {deployment.environment}: {there}")
    output_name = camel(name) if name else next(iter(known))
    prepare_job = outputs[f"{output_name}PrepareJobName"]
    arguments = deployment.client("glue").get_job(JobName=prepare_job)["Job"]["DefaultArguments"]
    tables = _declaration(deployment, arguments["--declaration"])["tables"]
    return Dataset(
        name=arguments["--dataset"],
        environment=deployment.environment,
        workflow=known[output_name],
        prepare_job=prepare_job,
        publish_job=outputs[f"{output_name}PublishJobName"],
        labels_job=outputs.get(f"{output_name}LabelsJobName", ""),
        database=outputs["DatabaseName"],
        raw_bucket=outputs["RawBucketName"],
        curated_bucket=outputs["CuratedBucketName"],
        version=arguments["--version"],
        daily={table: each.get("days_before") or 0 for table, each in tables.items() if each.get("daily")},
        reference=[table for table, each in tables.items() if not each.get("daily")],
    )


def _listed(deployment: Deployment, known: Mapping[str, str]) -> str:
    prefix = f"{deployment.environment}-"
    return ", ".join(sorted(workflow.removeprefix(prefix).replace("-", "_") for workflow in known.values()))


def _declaration(deployment: Deployment, uri: str) -> dict[str, Any]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body = deployment.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        raise DeploymentError(f"can't read the dataset's declaration {uri}: {error}") from error
    declared: dict[str, Any] = json.loads(body)
    return declared
