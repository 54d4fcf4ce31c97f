"""Objects of S3 as the monitor reads and writes them: what lies in the folders of some hours, streamed line by line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from model_runtime.batch.store import MISSING, Store
from model_runtime.errors import JobError

SMALL = 8 * 2**20
"""Files up to so many bytes are read at once, several at a time; larger ones go to the disk first."""
AT_A_TIME = 8
ATTEMPTS = 3
LONGEST_LINE = 64 * 2**20
"""No request is so large: SageMaker takes bodies up to 25 MB."""
HOUR = timedelta(hours=1)
LINES = ".jsonl"


@dataclass(frozen=True, order=True)
class HourFile:
    """A file of lines in the folder of an hour (UTC): an S3 URI, or a path in the container."""

    hour: datetime
    name: str
    size: int

    @property
    def is_object(self) -> bool:
        """Whether it lies in S3."""
        return self.name.startswith("s3://")


def folders_between(start: datetime, end: datetime) -> Iterator[str]:
    """The fewest folders `yyyy`, `yyyy/mm` and `yyyy/mm/dd` with all days from that of `start` on, before `end`."""
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    while day < end:
        month = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
        year = day.replace(year=day.year + 1, month=1, day=1)
        if day.day == day.month == 1 and year <= end:
            yield f"{day:%Y}"
            day = year
        elif day.day == 1 and month <= end:
            yield f"{day:%Y/%m}"
            day = month
        else:
            yield f"{day:%Y/%m/%d}"
            day += timedelta(days=1)


def hour_of(folder: str) -> datetime | None:
    """The hour that the end of a folder's name says (`.../2013/07/04/23`); None when it says none."""
    try:
        year, month, day, hour = (int(part) for part in folder.rstrip("/").split("/")[-4:])
        return datetime(year, month, day, hour, tzinfo=UTC)
    except ValueError:
        return None


def hour_floor(moment: datetime) -> datetime:
    """The beginning of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


class Lake(Store):
    """Objects by their URIs. Every operation raises JobError, with the URI, when S3 refuses it."""

    def hour_files(self, uri: str, start: datetime, end: datetime) -> list[HourFile]:
        """The files `<uri>/yyyy/mm/dd/hh/*.jsonl` of the hours that have a part in [start, end), by hour and name.

        One listing for each day, month or year that is wholly looked at: what lies outside of the days is not.
        """
        found = []
        for folder in folders_between(start, end):
            for name, size in self._listed(f"{uri.rstrip('/')}/{folder}/"):
                hour = hour_of(name.rpartition("/")[0])
                if hour is not None and name.endswith(LINES) and hour < end and hour + HOUR > start:
                    found.append(HourFile(hour, name, size))
        return sorted(found)

    def _listed(self, folder: str) -> Iterator[tuple[str, int]]:
        place = urlsplit(folder)
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=place.netloc, Prefix=place.path[1:])
            for page in pages:
                for each in page.get("Contents", []):
                    yield f"s3://{place.netloc}/{each['Key']}", int(each["Size"])
        except (ClientError, BotoCoreError) as error:
            raise JobError(f"{folder} can't be listed: {' '.join(str(error).split())}") from error

    def open(self, file: HourFile) -> IO[bytes] | None:
        """A file's content; None when it is gone, as a life cycle may have it since it was listed."""
        if not file.is_object:
            return Path(file.name).open("rb")
        place = urlsplit(file.name)
        where = {"Bucket": place.netloc, "Key": place.path[1:]}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if file.size <= SMALL:
                    return BytesIO(self._s3.get_object(**where)["Body"].read())
                target = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
                self._s3.download_fileobj(*where.values(), target)
                target.seek(0)
                return target
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    return None
                raise JobError(f"{file.name} can't be read: {' '.join(str(error).split())}") from error
            except (BotoCoreError, Boto3Error, OSError) as error:
                if attempt == ATTEMPTS:
                    raise JobError(f"{file.name} can't be read: {' '.join(str(error).split())}") from error
        raise AssertionError("unreachable")

    def opened(self, files: Iterable[HourFile]) -> Iterator[tuple[HourFile, IO[bytes] | None]]:
        """Each file with its content, in their order; small ones are fetched a few ahead."""
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="fetch") as pool:
            remaining = iter(files)
            ahead = [(file, pool.submit(self.open, file)) for file in islice(remaining, AT_A_TIME)]
            while ahead:
                file, content = ahead.pop(0)
                yield file, content.result()
                ahead += [(each, pool.submit(self.open, each)) for each in islice(remaining, 1)]

    def write(self, uri: str, content: bytes, content_type: str) -> None:
        """Put an object."""
        place = urlsplit(uri)
        try:
            self._s3.put_object(Bucket=place.netloc, Key=place.path[1:], Body=content, ContentType=content_type)
        except (ClientError, BotoCoreError) as error:
            raise JobError(f"{uri} can't be written: {' '.join(str(error).split())}") from error


def lines_of(content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that aren't empty, with their numbers from 1; of one that is too long only the beginning."""
    number = 0
    while line := content.readline(LONGEST_LINE):
        number += 1
        whole = line.endswith(b"\n")
        while not whole and len(line) == LONGEST_LINE:
            rest = content.readline(LONGEST_LINE)
            whole = not rest or rest.endswith(b"\n") or len(rest) < LONGEST_LINE
        if line.strip():
            yield number, line


def local_files(directory: Path, start: datetime | None, end: datetime | None) -> list[HourFile]:
    """The files below a directory, or the one file: those in folders of hours that have a part in [start, end).

    A file in no such folder is of no hour that could be left out.
    """
    paths = [directory] if directory.is_file() else sorted(each for each in directory.rglob("*") if each.is_file())
    found = []
    for path in paths:
        hour = hour_of(path.parent.as_posix())
        if hour is not None and ((end is not None and hour >= end) or (start is not None and hour + HOUR <= start)):
            continue
        found.append(HourFile(hour or datetime.min.replace(tzinfo=UTC), str(path), path.stat().st_size))
    return sorted(found)


def json_or_none(lake: Lake, uri: Any) -> Any:
    """The content of a JSON file; None when there is no URI, or nothing there."""
    return lake.read_json(uri) if uri else None
