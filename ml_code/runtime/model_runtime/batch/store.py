"""What batch inference asks of AWS: objects in S3, and the version that is released."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from model_runtime.champion import Champion, fetch_version
from model_runtime.errors import JobError

MISSING = ("404", "NoSuchKey", "NotFound")


class Store:
    """Objects by their URIs. Every operation raises JobError, with the URI, when S3 refuses it."""

    def __init__(self) -> None:
        self._s3 = boto3.client("s3")

    def read_json(self, uri: str) -> Any:
        """The content of a JSON file; None when it isn't there."""
        with _explained(f"{uri} can't be read"):
            try:
                return json.loads(self._s3.get_object(**_place(uri))["Body"].read())
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    return None
                raise

    def download(self, uri: str, target: Path) -> None:
        """Fetch an object."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with _explained(f"{uri} can't be read"):
            self._s3.download_file(*_place(uri).values(), str(target))

    def notes(self, uri: str) -> Mapping[str, str] | None:
        """What was noted with an object; None when it isn't there."""
        with _explained(f"{uri} can't be looked up"):
            try:
                found: Mapping[str, str] = self._s3.head_object(**_place(uri))["Metadata"]
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    return None
                raise
            return found

    def replace(self, uri: str, file: Path, notes: Mapping[str, str]) -> None:
        """Put an object in the place of another one: readers find either the old one or the new one, whole."""
        with _explained(f"{uri} can't be written"):
            place = _place(uri)
            self._s3.upload_file(str(file), place["Bucket"], place["Key"], ExtraArgs={"Metadata": dict(notes)})


def find_released(arn: str, directory: Path) -> Champion:
    """The version of a model package's ARN, its artifact fetched into `directory`.

    Raises JobError when the registry doesn't show it, or its artifact can't be read.
    """
    with _explained(f"the released version {arn} can't be fetched"):
        package = boto3.client("sagemaker").describe_model_package(ModelPackageName=arn)
        return fetch_version(package, directory)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error, JobError, LookupError, ValueError, OSError) as error:
        raise JobError(f"{what}: {' '.join(str(error).split())}") from error


def _place(uri: str) -> dict[str, str]:
    place = urlsplit(uri)
    return {"Bucket": place.netloc, "Key": place.path.lstrip("/")}
