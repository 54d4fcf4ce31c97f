"""Which load of each day a model's labels were told of: one JSON object, `{"2013-07-04": "<load>"}`.

It lies in the curated bucket, since ground truth itself is only kept for a time, and would be told again otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from dataset_job.errors import DatasetError
from dataset_job.storage import REFUSED

ATTEMPTS = 20


class ToldDays:
    """The object under a key of a bucket; several runs may add to it at the same time."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._key = key

    def read(self) -> dict[date, str]:
        """The loads that were told, by day. Raises DatasetError for an object that can't be read."""
        return self._read()[0]

    def add(self, loads: Mapping[date, str]) -> None:
        """Add loads, or replace those of the same days: what others add at this moment stays."""
        for _ in range(ATTEMPTS):
            before, tag = self._read()
            if self._replace({**before, **loads}, tag):
                return
        raise DatasetError(f"{self._uri} was changed by others {ATTEMPTS} times while it was written")

    @property
    def _uri(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def _read(self) -> tuple[dict[date, str], str | None]:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=self._key)
        except self._s3.exceptions.NoSuchKey:
            return {}, None
        try:
            told = {date.fromisoformat(day): str(load) for day, load in json.loads(found["Body"].read()).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise DatasetError(
                f"{self._uri} must hold a JSON object of loads by day: {error}; delete it to have all days told again"
            ) from error
        return told, found["ETag"]

    def _replace(self, told: Mapping[date, str], tag: str | None) -> bool:
        body = json.dumps({str(day): told[day] for day in sorted(told)}, indent=0).encode()
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            self._s3.put_object(
                Bucket=self._bucket, Key=self._key, Body=body, ContentType="application/json", **condition
            )
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in REFUSED:
                return False
            raise
        return True
