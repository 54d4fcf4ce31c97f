"""Permissions on keys and objects, action by action: the CDK's own grants use wildcards."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets

from .findings import acknowledge

_LISTING = ("s3:GetBucketLocation", "s3:ListBucket")


def grant_decrypt(key: kms.IKey, role: iam.IRole) -> None:
    """Let a role read what a key encrypts."""
    key.grant(role, "kms:Decrypt", "kms:DescribeKey")


def grant_encrypt_decrypt(key: kms.IKey, role: iam.IRole) -> None:
    """Let a role read and write what a key encrypts."""
    key.grant(role, "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")


def grant_read_objects(bucket: s3.IBucket, role: iam.IRole, *prefixes: str) -> None:
    """Let a role list a bucket and read the objects under some prefixes, everything when left out.

    A prefix that ends with a slash is a folder: what Hadoop's file systems ask and keep about it lies beside it.
    """
    _grant_objects(bucket, role, prefixes, ["s3:GetObject"], folders=True)
    _allow(role, _LISTING, [bucket.bucket_arn])


def grant_read_write_objects(bucket: s3.IBucket, role: iam.IRole, *prefixes: str) -> None:
    """Let a role list a bucket, and read, write and delete the objects under some prefixes and their folders."""
    writing = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    _grant_objects(bucket, role, prefixes, ["s3:GetObject", *writing], folders=True)
    _allow(role, [*_LISTING, "s3:ListBucketMultipartUploads"], [bucket.bucket_arn])


def grant_write_objects(bucket: s3.IBucket, role: iam.IRole, *prefixes: str) -> None:
    """Let a role write objects under some prefixes, without reading them."""
    _grant_objects(bucket, role, prefixes, ["s3:PutObject", "s3:AbortMultipartUpload"])


def grant_read_assets(found: Sequence[assets.Asset], role: iam.IRole) -> None:
    """Let a role read assets and no others: an asset's own grant opens the assets of every app in the account."""
    arn = found[0].bucket.bucket_arn  # all assets of a stack lie in one bucket
    _allow(role, ["s3:GetObject"], [f"{arn}/{each.s3_object_key}" for each in found])
    _allow(role, _LISTING, [arn])


def grant_tag_objects(bucket: s3.IBucket, role: iam.IRole, *prefixes: str) -> None:
    """Let a role put tags on the objects under some prefixes, as lifecycle rules look at them."""
    _grant_objects(bucket, role, prefixes, ["s3:PutObjectTagging"])


def _grant_objects(
    bucket: s3.IBucket, role: iam.IRole, prefixes: Sequence[str], actions: Sequence[str], *, folders: bool = False
) -> None:
    prefixes = prefixes or ("",)
    keys = [f"{prefix}*" for prefix in prefixes]
    if folders:
        keys += [key for prefix in prefixes for key in _folder_keys(prefix)]
    _allow(role, actions, [f"{bucket.bucket_arn}/{key}" for key in keys])
    reason = "Jobs name their objects; the role is held to one prefix of one bucket"
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::*/{prefix}*]": reason for prefix in prefixes})


def _folder_keys(prefix: str) -> tuple[str, ...]:
    """The keys by which Hadoop's S3 file systems know the folder itself.

    Whether `lake/late` exists they ask with a HEAD of that key, which S3 answers with 403 instead of 404 when the role
    may not read it; EMRFS, which Glue uses, also marks folders with an object beside them.
    """
    folder = prefix.rstrip("/")
    return (folder, f"{folder}_$folder$") if folder != prefix else ()


def _allow(role: iam.IRole, actions: Sequence[str], resources: Sequence[str]) -> None:
    iam.Grant.add_to_principal(grantee=role, actions=list(actions), resource_arns=list(resources))
