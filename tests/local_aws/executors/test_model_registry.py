"""The model registry: versions, approval, what is found and what stays protected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1"
SPECIFICATION = {
    "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://lake/m.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}


@pytest.fixture
def register(sagemaker: Any) -> Callable[..., str]:
    sagemaker.create_model_package_group(ModelPackageGroupName="delay", ModelPackageGroupDescription="is it late?")

    def create(group: str = "delay", **members: Any) -> str:
        request = {"ModelPackageGroupName": group, "InferenceSpecification": SPECIFICATION, **members}
        return str(sagemaker.create_model_package(**request)["ModelPackageArn"])

    return create


def listed(sagemaker: Any, **request: Any) -> list[int]:
    found = sagemaker.list_model_packages(ModelPackageGroupName="delay", **request)["ModelPackageSummaryList"]
    return [package["ModelPackageVersion"] for package in found]


def test_versions_count_up_and_are_never_used_again(sagemaker: Any, register: Callable[..., str]) -> None:
    first, second = register(), register()
    assert first.endswith(":model-package/delay/1")
    described = sagemaker.describe_model_package(ModelPackageName=second)
    assert described["ModelPackageVersion"] == 2
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["InferenceSpecification"]["Containers"][0]["Image"] == IMAGE
    sagemaker.delete_model_package(ModelPackageName=second)
    assert register().endswith("delay/3")
    assert listed(sagemaker) == [3, 1]


def test_approval_is_kept_listed_and_announced(server: Any, sagemaker: Any, register: Callable[..., str]) -> None:
    arn = register()
    register(ModelApprovalStatus="Rejected")
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="better than the champion"
    )
    assert listed(sagemaker, ModelApprovalStatus="Approved") == [1]
    assert listed(sagemaker, ModelApprovalStatus="PendingManualApproval") == []
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ApprovalDescription"] == "better than the champion"
    detail = server.event(ModelApprovalStatus="Approved")
    assert (detail["ModelPackageGroupName"], detail["ModelPackageArn"]) == ("delay", arn)
    assert {(source, kind) for source, kind, _ in server.events} == {
        ("aws.sagemaker", "SageMaker Model Package State Change")
    }


def test_metadata_can_be_added_and_removed(sagemaker: Any, register: Callable[..., str]) -> None:
    arn = register(CustomerMetadataProperties={"commit": "abc", "auc": "0.7"})
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"auc": "0.8"},
        CustomerMetadataPropertiesToRemove=["commit"],
    )
    assert sagemaker.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"] == {"auc": "0.8"}


def test_packages_are_listed_in_pages_and_in_either_order(sagemaker: Any, register: Callable[..., str]) -> None:
    for _ in range(3):
        register()
    assert listed(sagemaker) == [3, 2, 1]
    assert listed(sagemaker, SortOrder="Ascending") == [1, 2, 3]
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName="delay", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["ModelPackageSummaryList"]) for page in pages] == [2, 1]


def test_unversioned_packages_have_names_and_no_approval(sagemaker: Any, register: Callable[..., str]) -> None:
    register()
    arn = sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)[
        "ModelPackageArn"
    ]
    with pytest.raises(ClientError, match="already exists"):
        sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)
    assert sagemaker.describe_model_package(ModelPackageName="alone")["ModelPackageArn"] == arn
    (found,) = sagemaker.list_model_packages()["ModelPackageSummaryList"]
    assert found["ModelPackageName"] == "alone"
    assert len(sagemaker.list_model_packages(ModelPackageType="Both")["ModelPackageSummaryList"]) == 2
    with pytest.raises(ClientError, match="Only versioned model packages have an approval"):
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")


def test_group_with_packages_is_not_deleted(sagemaker: Any, register: Callable[..., str]) -> None:
    arn = register()
    with pytest.raises(ClientError, match="contains model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName="delay")
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName="delay")
    assert sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
    with pytest.raises(ClientError, match="ModelPackageGroup delay does not exist"):
        register()


def test_groups_are_unique_found_by_name_or_arn_and_hold_a_policy(sagemaker: Any, register: Callable[..., str]) -> None:
    with pytest.raises(ClientError, match="already exists"):
        sagemaker.create_model_package_group(ModelPackageGroupName="delay")
    group = sagemaker.describe_model_package_group(ModelPackageGroupName="delay")
    assert group["ModelPackageGroupDescription"] == "is it late?"
    assert group["ModelPackageGroupStatus"] == "Completed"
    assert register(group=group["ModelPackageGroupArn"]).endswith("delay/1")
    with pytest.raises(ClientError, match="Cannot find resource policy"):
        sagemaker.get_model_package_group_policy(ModelPackageGroupName="delay")
    sagemaker.put_model_package_group_policy(ModelPackageGroupName="delay", ResourcePolicy="{}")
    assert sagemaker.get_model_package_group_policy(ModelPackageGroupName="delay")["ResourcePolicy"] == "{}"
    sagemaker.delete_model_package_group_policy(ModelPackageGroupName="delay")
    with pytest.raises(ClientError, match="Cannot find resource policy"):
        sagemaker.get_model_package_group_policy(ModelPackageGroupName="delay")


def test_package_needs_exactly_one_of_name_and_group(sagemaker: Any, register: Callable[..., str]) -> None:
    with pytest.raises(ClientError, match="Exactly one of"):
        sagemaker.create_model_package(InferenceSpecification=SPECIFICATION)
    with pytest.raises(ClientError, match="Exactly one of"):
        register(ModelPackageName="both")
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package(ModelPackageName="nothing")


def test_tags_go_with_their_resource(sagemaker: Any, register: Callable[..., str]) -> None:
    arn = sagemaker.describe_model_package_group(ModelPackageGroupName="delay")["ModelPackageGroupArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "ml"}, {"Key": "cost", "Value": "1"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["cost"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "ml"}]
    sagemaker.delete_model_package_group(ModelPackageGroupName="delay")
    sagemaker.create_model_package_group(ModelPackageGroupName="delay")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("a model", "it is no JSON: "),
        ('{"evaluation_details": [{"name": "x", "metadata": {"rows": NaN}}]}', "NaN is no number of JSON"),
        ('{"model_overview": {"model_name": "delay"}}', "model_overview: .*'model_name' was unexpected"),
        ('{"intended_uses": {"risk_rating": "none"}}', "intended_uses.risk_rating: 'none' is not one of"),
        (
            '{"evaluation_details": [{"name": "x", "metric_groups": [{"name": "y", "metric_data": ['
            '{"name": "auc", "type": "bar_chart", "value": [0.9, "high"]}]}]}]}',
            r"evaluation_details\[0\].metric_groups\[0\].metric_data\[0\].value\[1\]: 'high' is not of type 'number'",
        ),
        (
            '{"additional_information": {"custom_details": {"rows": 3}}}',
            "custom_details.rows: 3 is not of type 'string'",
        ),
    ],
)
def test_a_card_that_is_not_of_the_schema_of_packages_is_refused_with_its_path(
    sagemaker: Any, register: Callable[..., str], card: str, reason: str
) -> None:
    told = {"ModelCardContent": card, "ModelCardStatus": "Draft"}
    with pytest.raises(ClientError, match=reason):
        register(ModelCard=told)
    arn = register(ModelCard={"ModelCardContent": '{"model_overview": {}}', "ModelCardStatus": "Draft"})
    with pytest.raises(ClientError, match=reason):
        sagemaker.update_model_package(ModelPackageArn=arn, ModelCard=told)
