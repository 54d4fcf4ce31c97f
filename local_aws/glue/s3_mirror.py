"""A Glue job's view of S3: the prefixes it works on as a folder, mounted under their s3:// URIs in Spark.

Spark's `ViewFileSystemOverloadScheme` serves `s3://bucket/...` from the mirror, so a script runs unchanged. What the
script changed goes back to S3 when it has succeeded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local_aws.glue.mirror_cache import MirrorCache, covers
from local_aws.jobs.s3_files import TRANSFER_THREADS, RemoteFile, S3Uri, download, list_folder, upload_file

_S3_URI = re.compile(r"s3[an]?://[^\s,;\"']+")
_PATTERN = re.compile(r"(?<=/)[^/]*[*?\[{].*$")
# what Spark and Hadoop leave beside data on a local disk, but not in S3
_LOCAL_ONLY = re.compile(r"^(\..*\.crc|_temporary|\.spark-staging.*)$")


def uris_in(text: str) -> list[S3Uri]:
    """Return every S3 URI that an argument's value holds; of a pattern such as `s3://lake/raw/*.csv`, its folder."""
    return [S3Uri.parse(_PATTERN.sub("", found)) for found in _S3_URI.findall(text)]


class S3Mirror:
    """Local copies of what lies at and below S3 URIs, and what changed in them since they were taken."""

    def __init__(self, client: Any, directory: Path, cache: MirrorCache, uris: Iterable[S3Uri]) -> None:
        self._client = client
        self._directory = directory
        self._cache = cache
        self._prefixes = _outermost(uris)
        self._before: dict[str, tuple[int, int]] = {}

    def pull(self) -> None:
        """Copy the objects."""
        for uri in self._prefixes:
            root = self._bucket_directory(uri.bucket)
            root.mkdir(parents=True, exist_ok=True)
            files = [RemoteFile(file.key, file.key, file.etag) for file in list_folder(self._client, uri)]
            self._cache.keep_only(uri, {file.key for file in files})
            download(self._client, uri.bucket, files, root, self._cache.get)
        self._before = dict(self._snapshot())

    def push(self) -> tuple[int, int]:
        """Upload new and changed files and delete removed ones; returns how many of each."""
        now = dict(self._snapshot())
        changed = [name for name, state in now.items() if self._before.get(name) != state]
        removed = [name for name in self._before if name not in now]
        with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
            list(pool.map(self._upload, changed))
            list(pool.map(self._delete, removed))
        self._before = now
        return len(changed), len(removed)

    def spark_settings(self) -> dict[str, str]:
        """Return the Spark configuration under which the mirrored buckets are found at their s3:// URIs."""
        view = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
        settings = {f"spark.hadoop.fs.{scheme}.impl": view for scheme in ("s3", "s3a", "s3n")}
        settings["spark.hadoop.fs.viewfs.overload.scheme.target.file.impl"] = "org.apache.hadoop.fs.LocalFileSystem"
        for bucket in {uri.bucket for uri in self._prefixes}:
            target = self._bucket_directory(bucket).as_uri()
            settings[f"spark.hadoop.fs.viewfs.mounttable.{bucket}.linkFallback"] = target
        return settings

    def _bucket_directory(self, bucket: str) -> Path:
        return self._directory / bucket

    def _snapshot(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for path in self._directory.rglob("*"):
            relative = path.relative_to(self._directory)
            if path.is_file() and not any(_LOCAL_ONLY.match(part) for part in relative.parts):
                state = path.stat()
                yield relative.as_posix(), (state.st_size, state.st_mtime_ns)

    def _upload(self, name: str) -> None:
        bucket, _, key = name.partition("/")
        upload_file(self._client, self._directory / name, S3Uri(bucket, key))

    def _delete(self, name: str) -> None:
        bucket, _, key = name.partition("/")
        self._client.delete_object(Bucket=bucket, Key=key)
        self._cache.forget(bucket, key)


def _outermost(uris: Iterable[S3Uri]) -> list[S3Uri]:
    kept: list[S3Uri] = []
    for uri in sorted(set(uris), key=lambda uri: (uri.bucket, uri.key)):
        if not any(other.bucket == uri.bucket and covers(other, uri.key) for other in kept):
            kept.append(uri)
    return kept
