"""Objects of S3, or files of a folder where there is no S3: notebooks, tests and benchmarks.

Spark reads and writes the data itself; this is for what is small: listings, the ends of files, tags, manifests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

THREADS = 16
REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
"""The codes of S3's errors when an object has changed since it was read, so that it isn't replaced."""


@dataclass(frozen=True)
class StoredObject:
    """An object: its URI, its key below the listed URI, bytes, and a tag that changes with its content."""

    uri: str
    key: str
    size: int
    tag: str


class Storage(Protocol):
    """What the jobs need of a store."""

    def list(self, uri: str) -> list[StoredObject]:
        """Every object below a folder's URI, keys relative to it."""

    def read(self, uri: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`, less at the object's end."""

    def supersede(self, uris: Iterable[str]) -> None:
        """Mark objects as replaced: a lifecycle rule deletes them when nobody can be reading them any more."""

    def delete(self, uris: Iterable[str]) -> None:
        """Delete objects."""


class S3Storage:
    """Objects of S3, through a boto3 client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def list(self, uri: str) -> list[StoredObject]:
        """One flat listing: a listing for each day would take minutes for years of data."""
        bucket, prefix = _split(uri)
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        return [
            StoredObject(f"s3://{bucket}/{entry['Key']}", entry["Key"][len(folder) :], entry["Size"], entry["ETag"])
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
            for entry in page.get("Contents", [])
            if not entry["Key"].endswith(("/", "_$folder$"))
        ]

    def read(self, uri: str, start: int, length: int) -> bytes:
        """A ranged GET."""
        bucket, key = _split(uri)
        answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")
        body: bytes = answer["Body"].read()
        return body

    def supersede(self, uris: Iterable[str]) -> None:
        """Tag them `superseded=true`, by a copy onto themselves: a lifecycle rule counts from an object's creation."""

        def tag(uri: str) -> None:
            bucket, key = _split(uri)
            self._client.copy_object(
                Bucket=bucket,
                Key=key,
                CopySource={"Bucket": bucket, "Key": key},
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",
                Tagging="superseded=true",
            )

        in_parallel(tag, uris)

    def delete(self, uris: Iterable[str]) -> None:
        """One by one: a batch of deletions needs a checksum that older clients don't send."""

        def remove(uri: str) -> None:
            bucket, key = _split(uri)
            self._client.delete_object(Bucket=bucket, Key=key)

        in_parallel(remove, uris)


class FileStorage:
    """Files below file:// URIs; what is superseded is deleted at once."""

    def list(self, uri: str) -> list[StoredObject]:
        """Every file below the folder but Hadoop's own."""
        return sorted(self._files(_path(uri)), key=lambda found: found.key)

    def _files(self, folder: Path) -> Iterator[StoredObject]:
        for path in folder.rglob("*"):
            if path.is_file() and not path.name.startswith((".", "_")):
                state = path.stat()
                yield StoredObject(
                    f"file://{path}", path.relative_to(folder).as_posix(), state.st_size, str(state.st_mtime_ns)
                )

    def read(self, uri: str, start: int, length: int) -> bytes:
        """A part of a file."""
        with _path(uri).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def supersede(self, uris: Iterable[str]) -> None:
        """Delete them."""
        self.delete(uris)

    def delete(self, uris: Iterable[str]) -> None:
        """Delete them."""
        for uri in uris:
            _path(uri).unlink(missing_ok=True)


def in_parallel(work: Any, items: Iterable[Any]) -> list[Any]:
    """Call `work` with each item, some at a time; the results in order, or the first error."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))
