"""Registries that are shared with other accounts: what these may do, and what they may not."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from stacks.settings import Repository
from tests.deployment.assemblies import Templates
from tests.deployment.declarations import Change, problems
from tests.deployment.permissions import Permissions, as_list

OTHER = "111122223333"
GROUP = "arn:sagemaker:::model-package-group/full-flight-delay"
VERSION = "arn:sagemaker:::model-package/full-flight-delay/7"
PREPARED = "flight_delay/abc123def456/train/part.parquet"


def resources(templates: Templates, stack: str, kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in templates[stack]["Resources"].values() if each["Type"] == kind]


def for_others(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a resource's policy that name another account, and it alone."""
    statements = [each for each in policy["Statement"] if OTHER in json.dumps(each.get("Principal"))]
    for statement in statements:
        assert statement["Principal"] == {"AWS": f"arn:aws:iam::{OTHER}:root"}
    return statements


@pytest.fixture
def group(full: Templates) -> Permissions:
    (group,) = resources(full, "full/flight-delay-training", "AWS::SageMaker::ModelPackageGroup")
    return Permissions(for_others(group["ModelPackageGroupPolicy"]))


def test_another_account_finds_versions_and_makes_models_of_them(group: Permissions) -> None:
    assert group.allows("sagemaker:DescribeModelPackageGroup", GROUP)
    assert group.allows("sagemaker:ListModelPackages", GROUP)
    assert group.allows("sagemaker:DescribeModelPackage", VERSION)
    assert group.allows("sagemaker:CreateModel", VERSION)


def test_it_neither_registers_approves_nor_deletes_and_sees_no_other_model(group: Permissions) -> None:
    assert group.actions() == {
        "sagemaker:CreateModel",
        "sagemaker:DescribeModelPackage",
        "sagemaker:DescribeModelPackageGroup",
        "sagemaker:ListModelPackages",
    }
    assert not group.allows("sagemaker:DescribeModelPackage", "arn:sagemaker:::model-package/full-block-time/1")
    assert not group.allows("sagemaker:DescribeModelPackageGroup", GROUP.replace("delay", "delays"))


def test_it_reads_artifacts_and_reports_but_no_rows(full: Templates) -> None:
    policies = resources(full, "full/data", "AWS::S3::BucketPolicy")
    (statement,) = [each for policy in policies for each in for_others(policy["PolicyDocument"])]
    assert statement["Action"] == "s3:GetObject"
    keys = [each["Fn::Join"][1][-1].removeprefix("/") for each in as_list(statement["Resource"])]
    bucket = {"Fn::GetAtt": [logical_id_of_artifacts(full), "Arn"]}
    assert all(each["Fn::Join"][1][0] == bucket for each in statement["Resource"])

    def readable(key: str) -> bool:
        return any(fnmatchcase(key, pattern) for pattern in keys)

    assert readable("flight_delay/abc123def456/model/pipelines-abc-Train-x/output/model.tar.gz")
    assert readable("flight_delay/abc123def456/evaluation/model_card.html")
    assert readable("block_time/abc123def456/evaluation/evaluation.json")
    assert readable("block_time/abc123def456/baseline/statistics.json")
    assert not readable(PREPARED)
    assert not readable("flight_delay/checkpoints/abc123def456/25.ubj")
    assert not readable("queries/result.csv")


def logical_id_of_artifacts(templates: Templates) -> str:
    found = templates["full/data"]["Resources"].items()
    (logical_id,) = [
        key for key, each in found if each["Type"] == "AWS::S3::Bucket" and key.startswith("LakeArtifacts")
    ]
    return logical_id


def test_the_key_decrypts_for_it_what_s3_lets_it_read_and_nothing_else(full: Templates) -> None:
    (key,) = resources(full, "full/foundation", "AWS::KMS::Key")
    (statement,) = for_others(key["KeyPolicy"])
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Condition"] == {
        "StringEquals": {"kms:ViaService": {"Fn::Join": ["", ["s3.eu-west-1.", {"Ref": "AWS::URLSuffix"}]]}}
    }


def test_it_pulls_the_image_and_pushes_none(full: Templates) -> None:
    (repository,) = resources(full, "full/foundation", "AWS::ECR::Repository")
    (statement,) = for_others(repository["RepositoryPolicyText"])
    assert set(statement["Action"]) == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    }


def test_nothing_is_shared_unless_asked_for(templates: Templates) -> None:
    for name, template in templates.items():
        text = json.dumps(template)
        assert "ModelPackageGroupPolicy" not in text, name
        assert "OtherAccounts" not in text, name


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        ('["12345"]', "registry.shared_with[0]"),
        ("[123456789012]", "registry.shared_with[0]"),
        ('["111122223333", "111122223333"]', "registry.shared_with[1]: '111122223333' is listed twice; remove one"),
        (
            '["111122223333", "123456789012"]',
            "registry.shared_with[1]: '123456789012' is this environment's own account, which its registries are in; "
            "remove it",
        ),
    ],
    ids=["short", "number", "twice", "own"],
)
def test_an_account_that_can_not_be_shared_with_is_named(
    accounts: str, said: str, repository: Repository, change: Change
) -> None:
    own = f'account: "123456789012"\nregion: eu-west-1\nregistry: {{shared_with: {accounts}}}\nremoval: destroy'
    change("config/dev.yaml", "^removal: destroy", own)
    (found,) = problems(repository)
    assert found.startswith("config/dev.yaml:")
    assert said in found


def test_checkpoints_of_every_model_expire(templates: Templates) -> None:
    found = templates["dev/data"]["Resources"][logical_id_of_artifacts({"full/data": templates["dev/data"]})]
    rules = {each.get("Prefix"): each for each in found["Properties"]["LifecycleConfiguration"]["Rules"]}
    for model in ("flight_delay", "block_time"):
        assert rules[f"{model}/checkpoints/"]["ExpirationInDays"] == 30
        assert rules[f"{model}/checkpoints/"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
