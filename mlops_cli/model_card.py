"""`mlops model card`: the page of what a version was judged by."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import boto3
import typer
from botocore.exceptions import ClientError

from mlops_cli.deployment import Deployment, DeploymentError, dashed
from mlops_cli.repository import declaration

PAGE = "model_card.html"


def card(
    model: Annotated[str, typer.Argument(help="The model's name, as its folder in ml_code/models.")],
    version: Annotated[int, typer.Option("--version", "-v", help="The version; the newest if left out.", min=0)] = 0,
    page: Annotated[Path | None, typer.Option(help="Where to write the page.", dir_okay=False)] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    environment: Annotated[str, typer.Option("--environment", "-e")] = "dev",
) -> None:
    """Copy the model card of a version: ROC, calibration, attributions, fairness, and the gate's verdict, as a page."""
    declaration(model)
    deployment = Deployment(environment, boto3.session.Session())
    package = _package(deployment, model, version)
    target = page or Path(f"{model}-{package['ModelPackageVersion']}.html")
    target.write_bytes(_page(deployment, package))
    status = package["ModelApprovalStatus"]
    verdict = package.get("CustomerMetadataProperties", {}).get("Gate", "no gate")
    typer.echo(f"{target}: version {package['ModelPackageVersion']} of {model}, {status}; {verdict}")
    if browse:
        webbrowser.open(target.resolve().as_uri())


def _package(deployment: Deployment, model: str, version: int) -> dict[str, Any]:
    group = deployment.outputs(f"{dashed(model)}-training")["ModelPackageGroupName"]
    registry = deployment.client("sagemaker")
    pages = registry.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending"
    )
    found = [each for page in pages for each in page["ModelPackageSummaryList"]]
    if not found:
        raise DeploymentError(f"{group} has no version yet: train the model first")
    chosen = next((each for each in found if not version or each["ModelPackageVersion"] == version), None)
    if chosen is None:
        known = ", ".join(str(each["ModelPackageVersion"]) for each in found)
        raise DeploymentError(f"{group} has no version {version}; it has {known}")
    described: dict[str, Any] = registry.describe_model_package(ModelPackageName=chosen["ModelPackageArn"])
    return described


def _page(deployment: Deployment, package: Mapping[str, Any]) -> bytes:
    try:
        report = urlsplit(str(package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]))
    except KeyError:
        raise DeploymentError(f"{package['ModelPackageArn']} was registered without reports") from None
    key = f"{report.path.lstrip('/').rpartition('/')[0]}/{PAGE}"
    try:
        body: bytes = deployment.client("s3").get_object(Bucket=report.netloc, Key=key)["Body"].read()
    except ClientError as error:
        raise DeploymentError(f"the page isn't there: s3://{report.netloc}/{key}: {error}") from error
    return body
