"""Reading what is published, through the manifest: never a folder, which may hold rows that nobody has checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
from botocore.exceptions import ClientError

from mlops_cli.data.dataset import Dataset
from mlops_cli.deployment import Deployment


def files(s3: Any, dataset: Dataset) -> list[tuple[str, str]]:
    """Return the published files as pairs of bucket and key, in the order of their days.

    Raises FileNotFoundError when nothing is published yet.
    """
    try:
        body = s3.get_object(Bucket=dataset.curated_bucket, Key=dataset.manifest_key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
            raise
        raise FileNotFoundError(
            f"nothing of {dataset.name} is published in {dataset.environment} yet: `mlops data status {dataset.name}`"
        ) from error
    head, *keys = json.loads(body)
    bucket, _, prefix = head["prefix"].removeprefix("s3://").partition("/")
    # a file's path names its load before its day, so the day is what to sort by
    return [(bucket, f"{prefix}{key}") for key in sorted(keys, key=lambda key: key.split("/")[1:])]


def newest_rows(deployment: Deployment, dataset: Dataset, count: int) -> pl.DataFrame:
    """Return the first rows of the newest published day, going on with the days before when it has fewer."""
    s3 = deployment.client("s3")
    parts: list[pl.DataFrame] = []
    for part in _newest_first(s3, dataset):
        parts.append(part.head(count - sum(each.height for each in parts)))
        if sum(each.height for each in parts) == count:
            break
    return pl.concat(parts)


def _newest_first(s3: Any, dataset: Dataset) -> Iterator[pl.DataFrame]:
    for bucket, key in reversed(files(s3, dataset)):
        yield pl.read_parquet(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
