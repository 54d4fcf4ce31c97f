"""`mlops model versions`: the versions of a model, and where each comes from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import boto3
import typer
from rich.table import Table

from mlops_cli import local
from mlops_cli.deployment import Deployment, DeploymentError, dashed
from mlops_cli.repository import declaration

SHORT_COMMIT = 12


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version in the registry; what it was registered without is empty.

    `stage` is the stage of its life cycle and how it stands there, `data` the manifest that it was made from, `code`
    the file of its code and `runtime` the image that trained it.
    """

    version: int
    arn: str
    made: str
    approval: str
    stage: str
    gate: str
    commit: str
    data: str
    first_day: str
    last_day: str
    code: str
    runtime: str


def versions_of(sagemaker: Any, group: str, most: int) -> list[Version]:
    """The newest versions of a group, at most so many, the newest first. Raises DeploymentError when there is none."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group,
        SortBy="CreationTime",
        SortOrder="Descending",
        PaginationConfig={"MaxItems": most},
    )
    arns = [each["ModelPackageArn"] for page in pages for each in page["ModelPackageSummaryList"]]
    if not arns:
        raise DeploymentError(f"{group} has no version yet: train the model first")
    return [_version(sagemaker.describe_model_package(ModelPackageName=arn)) for arn in arns]


def _version(package: dict[str, Any]) -> Version:
    noted = package.get("CustomerMetadataProperties", {})
    stage = package.get("ModelLifeCycle", {})
    return Version(
        version=package["ModelPackageVersion"],
        arn=package["ModelPackageArn"],
        made=package["CreationTime"].isoformat(timespec="seconds"),
        approval=package["ModelApprovalStatus"],
        stage=" ".join(stage[name] for name in ("Stage", "StageStatus") if name in stage),
        **{name.lower(): noted.get(name, "") for name in ("Gate", "Commit", "Data", "Code", "Runtime")},
        first_day=noted.get("FirstDay", ""),
        last_day=noted.get("LastDay", ""),
    )


def versions(
    model: Annotated[str, typer.Argument(help="The model's name, as its folder in ml_code/models.")],
    environment: Annotated[str, typer.Option("--environment", "-e")] = "dev",
    most: Annotated[int, typer.Option("--most", "-n", help="How many to show, the newest ones.", min=1)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with everything that is known.")] = False,
) -> None:
    """List the versions of a model: approval, stage, what the gate said, and the commit and data of each."""
    declaration(model)
    deployment = Deployment(environment, boto3.session.Session())
    group = deployment.outputs(f"{dashed(model)}-training")["ModelPackageGroupName"]
    found = versions_of(deployment.client("sagemaker"), group, most)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=1))
        return
    table = Table(title=group)
    for column in ("#", "made", "approval", "stage", "gate", "commit", "data"):
        table.add_column(column, justify="right" if column == "#" else "left")
    for each in found:
        data = each.data.rpartition("/")[2].removesuffix(".json")
        table.add_row(
            str(each.version), each.made, each.approval, each.stage, each.gate, _short(each.commit), data[:SHORT_COMMIT]
        )
    local.wide_console().print(table)


def _short(commit: str) -> str:
    name, dirty, _ = commit.partition("-dirty")
    return name[:SHORT_COMMIT] + dirty
