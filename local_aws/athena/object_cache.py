"""Objects that queries have read, kept for the next query."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.jobs.s3_files import TRANSFER_THREADS

LIMIT_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class S3Object:
    """An object as a listing shows it."""

    bucket: str
    key: str
    size: int
    etag: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class ObjectCache:
    """A folder of objects by content. Queries get links, so that throwing an object out doesn't disturb them."""

    def __init__(self, directory: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._directory = directory
        self._limit = limit_bytes
        self._lock = threading.Lock()

    def link(self, s3: Any, wanted: Iterable[tuple[S3Object, Path]]) -> None:
        """Put objects at the given paths."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
            list(pool.map(lambda pair: self._link(s3, *pair), wanted))
        self._shrink()

    def _link(self, s3: Any, item: S3Object, target: Path) -> None:
        identity = f"{s3.meta.region_name}\0{item.bucket}\0{item.key}\0{item.etag}\0{item.size}"
        cached = self._directory / hashlib.sha256(identity.encode()).hexdigest()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.utime(cached)
            target.hardlink_to(cached)
        except FileNotFoundError:
            with target.open("wb") as file:
                for chunk in s3.get_object(Bucket=item.bucket, Key=item.key)["Body"].iter_chunks(1024 * 1024):
                    file.write(chunk)
            try:
                cached.hardlink_to(target)
            except FileExistsError:  # another query was faster
                return

    def _shrink(self) -> None:
        """Throw out what was used longest ago while the folder is larger than its limit."""
        with self._lock:
            found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._directory.iterdir())
            total = sum(size for _, size, _ in found)
            for _, size, path in found:
                if total <= self._limit:
                    return
                path.unlink(missing_ok=True)
                total -= size
