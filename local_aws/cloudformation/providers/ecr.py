"""AWS::ECR::Repository."""

from __future__ import annotations

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Setting, Tagging

REPOSITORY = ApiResource(
    type="AWS::ECR::Repository",
    service="ecr",
    name_property="RepositoryName",
    name_length=256,
    name_lower=True,
    create_operation=Operation("CreateRepository", body=""),
    delete_operation=Operation("DeleteRepository", {"repositoryName": "id", "force": "properties.EmptyOnDelete"}),
    physical_id="properties.RepositoryName",
    read_operation=Operation("DescribeRepositories", {"repositoryNames": "[id]"}),
    attributes={"Arn": "read.repositories[0].repositoryArn", "RepositoryUri": "read.repositories[0].repositoryUri"},
    settings=(
        Setting(
            "ImageTagMutability",
            Operation("PutImageTagMutability", {"repositoryName": "id", "imageTagMutability": "value"}),
            default="MUTABLE",
        ),
        Setting(
            "ImageScanningConfiguration",
            Operation("PutImageScanningConfiguration", {"repositoryName": "id", "imageScanningConfiguration": "value"}),
            default={"ScanOnPush": False},
        ),
        Setting(
            "LifecyclePolicy",
            Operation(
                "PutLifecyclePolicy", {"repositoryName": "id", "lifecyclePolicyText": "value.LifecyclePolicyText"}
            ),
            remove=Operation("DeleteLifecyclePolicy", {"repositoryName": "id"}),
        ),
        Setting(
            "RepositoryPolicyText",
            Operation("SetRepositoryPolicy", {"repositoryName": "id", "policyText": "value"}),
            remove=Operation("DeleteRepositoryPolicy", {"repositoryName": "id"}),
        ),
    ),
    tagging=Tagging(
        Operation("TagResource", {"resourceArn": "attributes.Arn", "tags": "value"}),
        Operation("UntagResource", {"resourceArn": "attributes.Arn", "tagKeys": "value"}),
    ),
    ignored=frozenset({"EmptyOnDelete"}),
)
