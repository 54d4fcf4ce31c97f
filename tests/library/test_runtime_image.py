"""The runtime image: a repository whose tags are the hash of what the image is built from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from mlops_constructs.runtime_image import RuntimeImage, content_hash

Find = Callable[..., Any]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM python")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "code.py").write_text("x = 1")
    return tmp_path


def image(stack: Stack, key: kms.Key, source: Path, **options: Any) -> RuntimeImage:
    return RuntimeImage(stack, "Image", repository_name="runtime", source=source, key=key, **options)


def repository(resources: Find) -> dict[str, Any]:
    (found,) = resources("AWS::ECR::Repository").values()
    return dict(found)


def test_tags_never_move_and_images_are_scanned_and_encrypted(
    stack: Stack, key: kms.Key, source: Path, resources: Find
) -> None:
    image(stack, key, source)
    properties = repository(resources)["Properties"]
    assert properties["ImageTagMutability"] == "IMMUTABLE"
    assert properties["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert properties["EncryptionConfiguration"] == {
        "EncryptionType": "KMS",
        "KmsKey": stack.resolve(key.key_arn),
    }


def test_images_outlive_their_stack_unless_told_otherwise(
    stack: Stack, key: kms.Key, source: Path, resources: Find
) -> None:
    image(stack, key, source)
    assert repository(resources)["DeletionPolicy"] == "Retain"
    assert repository(resources)["Properties"].get("EmptyOnDelete", False) is False


def test_images_do_not_keep_a_repository_alive_that_may_go(
    stack: Stack, key: kms.Key, source: Path, resources: Find
) -> None:
    image(stack, key, source, removal=RemovalPolicy.DESTROY)
    assert repository(resources)["DeletionPolicy"] == "Delete"
    assert repository(resources)["Properties"]["EmptyOnDelete"] is True


def test_any_change_of_a_file_s_name_or_content_makes_a_new_tag(source: Path) -> None:
    before = content_hash(source)
    (source / "package" / "code.py").write_text("x = 2")
    changed = content_hash(source)
    (source / "package" / "code.py").rename(source / "package" / "other.py")
    assert len({before, changed, content_hash(source)}) == 3


def test_caches_and_times_make_no_new_tag(source: Path) -> None:
    before = content_hash(source)
    (source / "package" / "__pycache__").mkdir()
    (source / "package" / "__pycache__" / "code.pyc").write_bytes(b"x")
    os.utime(source / "Dockerfile", (0, 0))
    assert content_hash(source) == before


def test_a_content_can_not_move_between_two_files_unnoticed(tmp_path: Path) -> None:
    def tag(folder: str, **files: str) -> str:
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
        return content_hash(tmp_path / folder)

    assert tag("one", a="xb", c="") != tag("two", a="x", b="c")


def test_a_source_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        content_hash(tmp_path / "nowhere")


def test_a_role_may_pull_this_image_alone(stack: Stack, key: kms.Key, source: Path, statements: Find) -> None:
    built = image(stack, key, source)
    built.grant_pull(iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com")))
    allowed = {action: each["Resource"] for each in statements() for action in each["Action"]}
    assert allowed.pop("ecr:GetAuthorizationToken") == ["*"]
    assert {str(resource) for resource in allowed.values()} == {str([stack.resolve(built.repository.repository_arn)])}
    assert not [action for action in allowed if "Put" in action or "Upload" in action]
