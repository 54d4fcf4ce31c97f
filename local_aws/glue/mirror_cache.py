"""Objects that job runs have downloaded, kept for the next run."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.jobs.s3_files import RemoteFile, S3Uri, get_file


@dataclass(frozen=True)
class _Cached:
    etag: str
    path: Path


class MirrorCache:
    """The newest known content of objects, each in a file of its own; runs of all jobs share it.

    Runs get copies, not links: Hadoop's local file system writes some files in place, `_SUCCESS` for one, and so may a
    script, which would change the content for every other run; the mode of a file keeps no root user from that. To copy
    a small object takes a fiftieth of its download. The cache holds no more than what S3 holds: objects that are found
    gone or changed are dropped. It is empty at the start, as S3 is.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._cached: dict[str, dict[str, _Cached]] = {}
        shutil.rmtree(directory, ignore_errors=True)

    def get(self, client: Any, bucket: str, file: RemoteFile, target: Path) -> None:
        """Bring a listed object to the target, downloading it if this content isn't known yet."""
        with self._lock:
            cached = self._cached.get(bucket, {}).get(file.key)
        try:
            if cached is not None and cached.etag == file.etag:
                shutil.copyfile(cached.path, target)
                return
        except FileNotFoundError:  # another run has seen a newer listing meanwhile
            pass
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = self._directory / uuid.uuid4().hex
        etag = get_file(client, bucket, file, fresh)
        shutil.copyfile(fresh, target)
        with self._lock:
            replaced = self._cached.setdefault(bucket, {}).get(file.key)
            self._cached[bucket][file.key] = _Cached(etag, fresh)
        if replaced is not None:
            replaced.path.unlink(missing_ok=True)

    def keep_only(self, uri: S3Uri, keys: Set[str]) -> None:
        """Drop the objects at and below a URI that aren't among the keys, which are all that a listing has found."""
        with self._lock:
            gone = [key for key in self._cached.get(uri.bucket, {}) if covers(uri, key) and key not in keys]
        for key in gone:
            self.forget(uri.bucket, key)

    def forget(self, bucket: str, key: str) -> None:
        """Drop an object."""
        with self._lock:
            cached = self._cached.get(bucket, {}).pop(key, None)
        if cached is not None:
            cached.path.unlink(missing_ok=True)


def covers(uri: S3Uri, key: str) -> bool:
    """Say whether a key is at or below a URI."""
    prefix = uri.key.rstrip("/")
    return not prefix or key == uri.key or key.startswith(prefix + "/")
