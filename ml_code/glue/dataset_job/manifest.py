"""The manifest: the files of all published days, in the form that SageMaker reads as a ManifestFile.

`manifest.json` is the newest; each version also stays under the hash of its content, so that a training can name
exactly what it learnt from. Beside each manifest lies `<its name>.version`, which says which version it is: a pipeline
can read that, but no list. Source of the form: the SageMaker API reference, S3DataSource, ManifestFile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from dataset_job.catalog import Catalog, DayRecord
from dataset_job.errors import DatasetError
from dataset_job.storage import REFUSED, Storage, in_parallel

ATTEMPTS = 20
VERSION_CHARACTERS = 16


@dataclass(frozen=True)
class Change:
    """The URI of a version, the days in which it differs from the one before, and the files that it replaces."""

    uri: str
    days: list[date]
    replaced: list[str]


class Manifest:
    """The manifest of a dataset below `s3://<bucket>/<dataset>/`."""

    def __init__(self, s3: Any, storage: Storage, bucket: str, dataset: str) -> None:
        self._s3 = s3
        self._storage = storage
        self._bucket = bucket
        self._prefix = f"s3://{bucket}/{dataset}/"
        self._dataset = dataset

    def write(self, catalog: Catalog) -> Change | None:
        """Bring the manifest to what the catalog says; returns what that changed, None when it was right.

        Others may do the same at this moment: whoever finds that the manifest has changed since looks at the catalog
        again, so that the last one written knows every day.
        """
        for _ in range(ATTEMPTS):
            before, tag = self._read()
            keys = self._keys(catalog.published(), before)
            body, version = self._version(keys)
            if keys == before:
                if tag:
                    self._name(version)  # whoever wrote it may have ended before
                return None
            self._s3.put_object(Bucket=self._bucket, Key=version, Body=body, ContentType="application/json")
            self._put_name(f"{version}.version", version)
            if self._replace(body, tag):
                self._name(version)
                return self._change(f"s3://{self._bucket}/{version}", before, keys)
        raise DatasetError(f"{self._prefix}manifest.json was changed by others {ATTEMPTS} times while it was written")

    def _version(self, keys: list[str]) -> tuple[bytes, str]:
        """A manifest of some files, and the key that it stays under."""
        body = json.dumps([{"prefix": self._prefix}, *keys], indent=0).encode()
        return body, f"{self._dataset}/manifests/{hashlib.sha256(body).hexdigest()[:VERSION_CHARACTERS]}.json"

    def _name(self, version: str) -> None:
        """Say which version the newest manifest is, which another run may have replaced in the meantime."""
        for _ in range(ATTEMPTS):
            self._put_name(f"{self._dataset}/manifest.json.version", version)
            _, newest = self._version(self._read()[0])
            if newest == version:
                return
            version = newest
        raise DatasetError(f"{self._prefix}manifest.json was changed by others {ATTEMPTS} times while it was named")

    def _put_name(self, key: str, version: str) -> None:
        body = json.dumps({"manifest": f"s3://{self._bucket}/{version}"}).encode()
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")

    def _change(self, uri: str, before: list[str], after: list[str]) -> Change:
        gone, new = set(before) - set(after), set(after) - set(before)
        days = {date.fromisoformat(key.rpartition("day=")[2][:10]) for key in gone | new}
        return Change(uri, sorted(days), [f"{self._prefix}{key}" for key in sorted(gone)])

    def _read(self) -> tuple[list[str], str | None]:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=f"{self._dataset}/manifest.json")
        except self._s3.exceptions.NoSuchKey:
            return [], None
        return [key for key in json.loads(found["Body"].read())[1:] if isinstance(key, str)], found["ETag"]

    def _keys(self, published: Mapping[date, DayRecord], before: list[str]) -> list[str]:
        known: dict[str, list[str]] = {}
        for key in before:
            known.setdefault(key.rpartition("/")[0], []).append(key)

        def of(record: DayRecord) -> list[str]:
            folder = record.location.removeprefix(self._prefix).strip("/")
            if folder not in known:
                return [f"{folder}/{each.key}" for each in self._storage.list(record.location)]
            return known[folder]

        found = in_parallel(of, [published[day] for day in sorted(published)])
        return [key for keys in found for key in sorted(keys)]

    def _replace(self, body: bytes, tag: str | None) -> bool:
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=f"{self._dataset}/manifest.json",
                Body=body,
                ContentType="application/json",
                **condition,
            )
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in REFUSED:
                return False
            raise
        return True
