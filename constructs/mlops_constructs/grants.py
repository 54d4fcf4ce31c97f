"""Permissions on keys and objects, action by action: the CDK's own grants use wildcards."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets

from .findings import acknowledge


def grant_decrypt(key: kms.IKey, role: iam.IRole) -> None:
    """Let a role read what a key encrypts."""
    key.grant(role, "kms:Decrypt", "kms:DescribeKey")


def grant_encrypt_decrypt(key: kms.IKey, role: iam.IRole) -> None:
    """Let a role read and write what a key encrypts."""
    key.grant(role, "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")


def grant_read_objects(bucket: s3.IBucket, role: iam.IRole, prefix: str) -> None:
    """Let a role list a bucket and read the objects under a prefix."""
    _grant_bucket(bucket, role)
    _grant_objects(bucket, role, prefix, ["s3:GetObject"])


def grant_read_write_objects(bucket: s3.IBucket, role: iam.IRole, prefix: str) -> None:
    """Let a role list a bucket, and read, write and delete the objects under a prefix."""
    _grant_bucket(bucket, role)
    writing = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    _grant_objects(bucket, role, prefix, ["s3:GetObject", *writing])


def grant_write_objects(bucket: s3.IBucket, role: iam.IRole, prefix: str) -> None:
    """Let a role write objects under a prefix, without reading them."""
    _grant_objects(bucket, role, prefix, ["s3:PutObject", "s3:AbortMultipartUpload"])


def grant_read_asset(asset: assets.Asset, role: iam.IRole) -> None:
    """Let a role read one asset. The asset's own grant opens the assets of every app in the account."""
    _grant_bucket(asset.bucket, role)
    resource = asset.bucket.arn_for_objects(asset.s3_object_key)
    iam.Grant.add_to_principal(grantee=role, actions=["s3:GetObject"], resource_arns=[resource])


def _grant_bucket(bucket: s3.IBucket, role: iam.IRole) -> None:
    actions = ["s3:GetBucketLocation", "s3:ListBucket"]
    iam.Grant.add_to_principal(grantee=role, actions=actions, resource_arns=[bucket.bucket_arn])


def _grant_objects(bucket: s3.IBucket, role: iam.IRole, prefix: str, actions: list[str]) -> None:
    resource = bucket.arn_for_objects(f"{prefix}*")
    iam.Grant.add_to_principal(grantee=role, actions=actions, resource_arns=[resource])
    reason = f"Jobs name their objects; the role is held to the prefix {prefix!r}"
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::*/{prefix}*]": reason})
