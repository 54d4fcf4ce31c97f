"""Manifests: lists of the objects that a job of SageMaker reads, `[{"prefix": "s3://bucket/some/"}, "key", ...]`."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from local_aws.jobs.s3_files import RemoteFile, S3Uri, list_keys


def read_manifest(client: Any, uri: S3Uri) -> tuple[S3Uri, list[RemoteFile]]:
    """Return the prefix that a manifest names, and its objects under the names that it gives them.

    ValueError says what is wrong with a manifest, or which of its objects isn't there.
    """
    try:
        content = client.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
            raise ValueError(f"there is no manifest {uri}") from error
        raise
    prefix, names = _parsed(content)
    present = set(list_keys(client, prefix))
    missing = [name for name in names if prefix.key + name not in present]
    if missing:
        first = S3Uri(prefix.bucket, prefix.key + missing[0])
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f'No S3 objects found under S3 URL "{first}"{more}, which the manifest names')
    return prefix, [RemoteFile(prefix.key + name, name) for name in names]


def _parsed(content: bytes) -> tuple[S3Uri, list[str]]:
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ValueError(f"the manifest is not JSON: {error}") from error
    if not isinstance(manifest, list) or not manifest or not _is_prefix(manifest[0]):
        raise ValueError('the manifest must be a list that starts with {"prefix": "s3://<bucket>/<key>"}')
    names = manifest[1:]
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong:
        raise ValueError(f"the manifest must list keys below its prefix, got {json.dumps(wrong[0])}")
    if not names:
        raise ValueError("the manifest lists no objects")
    return S3Uri.parse(manifest[0]["prefix"]), list(dict.fromkeys(names))


def _is_prefix(entry: Any) -> bool:
    return isinstance(entry, dict) and list(entry) == ["prefix"] and isinstance(entry["prefix"], str)
