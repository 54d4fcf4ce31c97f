"""Emptying an environment, so that `cdk destroy` can take it away.

CloudFormation deletes no bucket with objects, no repository with images and no package group with packages. What is
emptied are the resources that the stacks would delete: those that their templates retain are left alone. Runs of Glue
workflows are stopped and buckets stop writing access logs first; AWS delivers those of the last hours late, so a bucket
of access logs may fill once more. Glue's tables go with their partitions, and Athena's workgroup with its history.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_cli.deployment import Deployment, DeploymentError

Report = Callable[[str], None]
OBJECTS_A_CALL = 1000
IMAGES_A_CALL = 100
STOP_SECONDS, STOP_POLL_SECONDS = 300, 1


@dataclass(frozen=True)
class Store:
    """A resource whose contents, or whose runs, keep CloudFormation from deleting its stack."""

    stack: str
    type: str
    name: str


def stores(deployment: Deployment) -> list[Store]:
    """The environment's buckets, repositories, package groups and workflows that go when their stacks go.

    Raises DeploymentError when the environment has no stacks.
    """
    cloudformation = deployment.client("cloudformation")
    stacks = deployment.stacks()
    if not stacks:
        raise DeploymentError(
            f"{deployment.platform} has no stacks for the environment {deployment.environment!r}: there is nothing to "
            "empty"
        )
    found = []
    for stack in stacks:
        body = cloudformation.get_template(StackName=stack)["TemplateBody"]
        declared = (json.loads(body) if isinstance(body, str) else body)["Resources"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
            for resource in page["StackResourceSummaries"]:
                kind, name = resource["ResourceType"], resource.get("PhysicalResourceId")
                policy = declared.get(resource["LogicalResourceId"], {}).get("DeletionPolicy", "Delete")
                if kind in _EMPTIERS and name and policy == "Delete":
                    found.append(Store(stack, kind, name))
    return found


def empty(deployment: Deployment, found: Sequence[Store], report: Report) -> int:
    """Delete what the stores hold; returns how many things.

    Raises DeploymentError for an object that can't be deleted, or a workflow run that doesn't stop.
    """
    for store in found:
        if store.type == "AWS::S3::Bucket":
            # else the access logs of the deletions fill the bucket of access logs again
            deployment.client("s3").put_bucket_logging(Bucket=store.name, BucketLoggingStatus={})
    count = 0
    # what still runs would go on to write into the buckets
    for store in sorted(found, key=lambda each: each.type != WORKFLOW):
        deleted = _EMPTIERS[store.type](deployment, store.name)
        report(f"{store.name}: {deleted:,} {'stopped' if store.type == WORKFLOW else 'deleted'}")
        count += deleted
    return count


def _empty_bucket(deployment: Deployment, bucket: str) -> int:
    s3 = deployment.client("s3")
    count = 0
    while True:
        # always the first page: what was listed is gone by the next call
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=OBJECTS_A_CALL)
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for item in page.get(kind, [])
        ]
        if not found:
            return count
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
        for error in answer.get("Errors", []):
            raise DeploymentError(f"s3://{bucket}/{error['Key']} can't be deleted: {error['Message']}")
        count += len(found)


def _empty_repository(deployment: Deployment, repository: str) -> int:
    ecr = deployment.client("ecr")
    pages = ecr.get_paginator("list_images").paginate(repositoryName=repository)
    images = [image for page in pages for image in page["imageIds"]]
    for start in range(0, len(images), IMAGES_A_CALL):
        ecr.batch_delete_image(repositoryName=repository, imageIds=images[start : start + IMAGES_A_CALL])
    return len(images)


def _empty_group(deployment: Deployment, group: str) -> int:
    sagemaker = deployment.client("sagemaker")
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group.rpartition("/")[2])
    packages = [package["ModelPackageArn"] for page in pages for package in page["ModelPackageSummaryList"]]
    for package in packages:
        sagemaker.delete_model_package(ModelPackageName=package)
    # people pin versions, and no stack knows of it
    name = f"/{group.rpartition('/')[2]}/pinned-version"
    pins = deployment.client("ssm").delete_parameters(Names=[name])["DeletedParameters"]
    return len(packages) + len(pins)


def _stop_runs(deployment: Deployment, workflow: str) -> int:
    glue = deployment.client("glue")
    stopped: set[str] = set()
    deadline = time.monotonic() + STOP_SECONDS
    while live := [run for run in _runs(glue, workflow) if run["Status"] in ("RUNNING", "STOPPING")]:
        if time.monotonic() > deadline:
            raise DeploymentError(f"the run {live[0]['WorkflowRunId']} of {workflow} hasn't stopped: try again later")
        for run in live:
            if run["Status"] == "RUNNING":
                glue.stop_workflow_run(Name=workflow, RunId=run["WorkflowRunId"])
                stopped.add(run["WorkflowRunId"])
        time.sleep(STOP_POLL_SECONDS)
    return len(stopped)


def _runs(glue: Any, workflow: str) -> Iterator[dict[str, Any]]:
    request = {"Name": workflow}
    while True:
        page = glue.get_workflow_runs(**request)
        yield from page.get("Runs", [])
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


WORKFLOW = "AWS::Glue::Workflow"
_EMPTIERS: dict[str, Callable[[Deployment, str], int]] = {
    WORKFLOW: _stop_runs,
    "AWS::S3::Bucket": _empty_bucket,
    "AWS::ECR::Repository": _empty_repository,
    "AWS::SageMaker::ModelPackageGroup": _empty_group,
}
