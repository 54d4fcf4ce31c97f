"""Where the results of queries go."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from local_aws.jobs.s3_files import S3Uri
from local_aws.json_api import ApiError


def with_slash(location: str) -> str:
    """Return an output location as a folder; ApiError for one that isn't of S3."""
    try:
        S3Uri.parse(location)
    except ValueError as error:
        raise ApiError("InvalidRequestException", f"outputLocation is not a valid S3 path: {location}") from error
    return f"{location.rstrip('/')}/"


def check_bucket(s3: Any, location: str) -> None:
    """Refuse a query whose results would have no bucket to go to."""
    bucket = S3Uri.parse(location).bucket
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        raise ApiError("InvalidRequestException", f"Unable to verify/create output bucket {bucket}") from error
