"""The folder of a training job's checkpoints: brought back before it starts, copied to S3 while it runs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, download, list_folder, upload_file

COPY_SECONDS = 1.0


class CheckpointFolder:
    """Copies what is new or has changed below a directory to S3, regularly and when asked.

    What is removed from the directory stays in S3, as with SageMaker.
    """

    def __init__(self, client: Any, uri: S3Uri, directory: Path) -> None:
        self._client = client
        self._uri = uri
        self._directory = directory
        self._copied: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        directory.mkdir(parents=True, exist_ok=True)

    def restore(self) -> int:
        """Bring back what is in S3, and return how many files that are."""
        files = download(self._client, self._uri.bucket, list_folder(self._client, self._uri), self._directory)
        self._copied = {path: _state(path) for path in files}
        return len(files)

    def start(self) -> None:
        """Copy regularly from now on, until `finish`."""
        threading.Thread(target=self._copy_regularly, daemon=True, name=f"checkpoints-of-{self._directory}").start()

    def finish(self) -> None:
        """Copy what is left, and stop."""
        self._ended.set()
        self.copy()

    def copy(self) -> None:
        """Copy what is new or has changed since the last time."""
        with self._lock:
            for path in sorted(self._directory.rglob("*")):
                try:
                    if path.is_symlink() or not path.is_file() or self._copied.get(path) == (state := _state(path)):
                        continue
                    name = path.relative_to(self._directory).as_posix()
                    upload_file(self._client, path, self._uri.child(name))
                except FileNotFoundError:  # renamed or removed meanwhile
                    continue
                self._copied[path] = state

    def _copy_regularly(self) -> None:
        while not self._ended.wait(COPY_SECONDS):
            try:
                self.copy()
            except S3_ERRORS:
                continue  # the last copy says what is wrong


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
