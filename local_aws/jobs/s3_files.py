"""Objects of S3 as files of a job's directory, and back."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

TRANSFER_THREADS = 4
# uploads of files fail with errors of boto3 itself
S3_ERRORS = (ClientError, BotoCoreError, Boto3Error)


@dataclass(frozen=True)
class S3Uri:
    """`s3://bucket/key`; the key may be empty."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Split a URI; ValueError names one that isn't of S3."""
        for scheme in ("s3://", "s3a://", "s3n://"):
            if text.startswith(scheme):
                bucket, _, key = text.removeprefix(scheme).partition("/")
                if bucket:
                    return cls(bucket, key)
        raise ValueError(f"not an S3 URI: {text!r}")

    def child(self, relative: str) -> S3Uri:
        """Return the URI of a name below this one."""
        return S3Uri(self.bucket, f"{self.key.rstrip('/')}/{relative}".lstrip("/") if relative else self.key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class RemoteFile:
    """An object, and where it belongs below the directory that it is downloaded to; its ETag when it was listed."""

    key: str
    relative: str
    etag: str = ""


def list_keys(client: Any, uri: S3Uri) -> Iterator[str]:
    """List the keys that start with the URI's key."""
    for entry in _entries(client, uri.bucket, uri.key):
        yield entry["Key"]


def list_prefix(client: Any, uri: S3Uri) -> list[RemoteFile]:
    """List what SageMaker downloads for an S3Prefix: every object whose key starts with the URI's key.

    So `s3://lake/dir` is also the prefix of `dir2/x`. Names are relative to the last slash of the prefix (`dir/a` and
    `dir2/x`), but when all objects lie below `dir/` they are relative to that, as SageMaker lays out a folder: `a`.
    """
    keys = [key for key in list_keys(client, uri) if not key.endswith("/")]
    folder = _folder(uri)
    base = len(folder) if all(key.startswith(folder) for key in keys) else uri.key.rfind("/") + 1
    return [RemoteFile(key, key[base:]) for key in keys]


def list_folder(client: Any, uri: S3Uri) -> list[RemoteFile]:
    """List what a path of a file system means: the object with exactly that key, else those below `key/`."""
    exact = find_file(client, uri)
    if exact is not None:
        return [exact]
    folder = _folder(uri)
    return [
        RemoteFile(entry["Key"], entry["Key"][len(folder) :], entry["ETag"])
        for entry in _entries(client, uri.bucket, folder)
        if not entry["Key"].endswith("/")
    ]


def find_file(client: Any, uri: S3Uri) -> RemoteFile | None:
    """Return the object with exactly this key, if there is one. A key that ends in a slash is no file's."""
    if not uri.key or uri.key.endswith("/"):
        return None
    # of all keys with a prefix the prefix itself comes first
    first = client.list_objects_v2(Bucket=uri.bucket, Prefix=uri.key, MaxKeys=1).get("Contents", [])
    if [each["Key"] for each in first] != [uri.key]:
        return None
    return RemoteFile(uri.key, Path(uri.key).name, first[0]["ETag"])


def get_file(client: Any, bucket: str, file: RemoteFile, target: Path) -> str:
    """Write an object to the target; returns its ETag, which may be newer than that of the listing."""
    answer = client.get_object(Bucket=bucket, Key=file.key)
    with target.open("wb") as opened:
        for chunk in answer["Body"].iter_chunks(1024 * 1024):
            opened.write(chunk)
    return str(answer["ETag"])


def download(
    client: Any,
    bucket: str,
    files: Iterable[RemoteFile],
    directory: Path,
    get: Callable[[Any, str, RemoteFile, Path], object] = get_file,
) -> list[Path]:
    """Download the files below the directory, several at a time; `get` brings one of them to its place.

    ValueError for keys that point out of it, and for one that is also the folder of another.
    """
    targets: list[tuple[RemoteFile, Path]] = []
    root = directory.resolve()
    for file in files:
        target = (root / file.relative).resolve()
        if not target.is_relative_to(root):
            raise ValueError(f"s3://{bucket}/{file.key}: the key leaves the directory it is downloaded to")
        targets.append((file, target))
    folders = {folder for _, target in targets for folder in target.parents}
    for file, target in targets:
        if target in folders:
            raise ValueError(
                f"s3://{bucket}/{file.key}: an object and a folder of the same name can't both be downloaded"
            )
    for folder in {target.parent for _, target in targets}:
        folder.mkdir(parents=True, exist_ok=True)

    def fetch(item: tuple[RemoteFile, Path]) -> Path:
        get(client, bucket, *item)
        return item[1]

    with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
        return list(pool.map(fetch, targets))


def upload_directory(client: Any, directory: Path, uri: S3Uri, *, kms_key: str | None = None) -> None:
    """Upload every regular file below the directory (no symbolic links, as SageMaker)."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink()]
    with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
        list(
            pool.map(
                lambda path: upload_file(client, path, uri.child(path.relative_to(directory).as_posix()), kms_key),
                files,
            )
        )


def upload_file(client: Any, path: Path, uri: S3Uri, kms_key: str | None = None) -> None:
    """Upload one file, encrypted with the key if one is given."""
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
    client.upload_file(str(path), uri.bucket, uri.key, ExtraArgs=encryption)


def write_archive(directory: Path, archive: Path) -> None:
    """Pack the directory's contents as SageMaker packs a model: a gzipped tar with paths relative to it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, arcname=path.name)


def unpack_archive(archive: Path, directory: Path) -> None:
    """Unpack a gzipped tar; tarfile.TarError for a broken one, or one with members that leave the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "r:*") as tar:
        tar.extractall(directory, filter="data")


def _folder(uri: S3Uri) -> str:
    return uri.key.rstrip("/") + "/" if uri.key else ""


def _entries(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])
