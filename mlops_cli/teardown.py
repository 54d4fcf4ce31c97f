"""Emptying an environment, so that `cdk destroy` can take it away.

CloudFormation deletes no bucket with objects, no repository with images and no package group with packages. What is
emptied are the resources that the stacks would delete: those that their templates retain are left alone. Buckets stop
writing access logs first; AWS delivers those of the last hours late, so a bucket of access logs may fill once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from mlops_cli.deployment import Deployment, DeploymentError

Report = Callable[[str], None]
OBJECTS_A_CALL = 1000
IMAGES_A_CALL = 100


def empty(deployment: Deployment, report: Report) -> int:
    """Delete the contents of the environment's buckets, repositories and package groups; returns how many things.

    Raises DeploymentError when the environment has no stacks.
    """
    emptiers: dict[str, Callable[[Deployment, str], int]] = {
        "AWS::S3::Bucket": _empty_bucket,
        "AWS::ECR::Repository": _empty_repository,
        "AWS::SageMaker::ModelPackageGroup": _empty_group,
    }
    count = 0
    resources = [resource for resource in _deletable(deployment) if resource["ResourceType"] in emptiers]
    for resource in resources:
        if resource["ResourceType"] == "AWS::S3::Bucket":
            # else the access logs of the deletions fill the bucket of access logs again
            deployment.client("s3").put_bucket_logging(Bucket=resource["PhysicalResourceId"], BucketLoggingStatus={})
    for resource in resources:
        emptier = emptiers[resource["ResourceType"]]
        name = resource["PhysicalResourceId"]
        deleted = emptier(deployment, name)
        report(f"{name}: {deleted:,} deleted")
        count += deleted
    return count


def _deletable(deployment: Deployment) -> Iterator[dict[str, Any]]:
    """Every resource of the environment's stacks that goes when its stack goes."""
    cloudformation = deployment.client("cloudformation")
    stacks = deployment.stacks()
    if not stacks:
        raise DeploymentError(f"the environment {deployment.environment!r} has no stacks: there is nothing to empty")
    for stack in stacks:
        body = cloudformation.get_template(StackName=stack)["TemplateBody"]
        template = json.loads(body) if isinstance(body, str) else body
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
            for resource in page["StackResourceSummaries"]:
                declared = template["Resources"].get(resource["LogicalResourceId"], {})
                if declared.get("DeletionPolicy", "Delete") == "Delete" and "PhysicalResourceId" in resource:
                    yield resource


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
    return len(packages)
