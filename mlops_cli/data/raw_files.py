"""What has landed: the raw objects of each day, and the fingerprint that tells whether they have changed since."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

FINGERPRINT_DIGITS = 16
DAY_OF_KEY = re.compile(r"^[^/]+/day=(\d{4}-\d{2}-\d{2})/")


@dataclass(frozen=True)
class RawFile:
    """An object in the raw bucket: its key, bytes, and the ETag that changes with its content."""

    key: str
    size: int
    tag: str


@dataclass(frozen=True)
class Landing:
    """The raw files of a range of days, by table and day.

    `daily` maps each daily table to its number of earlier days that a day reads; `absent` are the reference tables
    without a file, which every day waits for.
    """

    daily: Mapping[str, int]
    files_by_day: Mapping[tuple[str, date], Sequence[RawFile]]
    absent: Sequence[str] = ()

    def days(self) -> list[date]:
        """Return the days with a file of any daily table, oldest first."""
        return sorted({day for _, day in self.files_by_day})

    def files(self, day: date) -> list[RawFile]:
        """Return the files that landed for a day."""
        return [file for table in self.daily for file in self.files_by_day.get((table, day), [])]

    def missing(self, day: date) -> list[str]:
        """Return the tables that a day still waits for."""
        return [*(table for table in self.daily if (table, day) not in self.files_by_day), *self.absent]

    def fingerprint(self, day: date) -> str:
        """Return the fingerprint of what a day is made from: its own files, and those of earlier days that it reads."""
        earlier = [
            file
            for table, days_before in self.daily.items()
            for offset in range(1, days_before + 1)
            for file in self.files_by_day.get((table, day - timedelta(days=offset)), [])
        ]
        return fingerprint([*self.files(day), *earlier])


def fingerprint(files: Iterable[RawFile]) -> str:
    """Return 16 hex digits that change when a file comes, goes or gets another content; the order doesn't matter.

    The prepare job writes the same into the partitions that it makes.
    """
    lines = sorted(f"{file.key} {file.size} {file.tag}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:FINGERPRINT_DIGITS]


def landing(
    s3: Any,
    bucket: str,
    daily: Mapping[str, int],
    reference: Iterable[str] = (),
    first_day: date | None = None,
    last_day: date | None = None,
) -> Landing:
    """List what has landed from the first to the last day, both included; all days when they are left out.

    The files of the days before that the first days read are listed too.
    """
    files: dict[tuple[str, date], list[RawFile]] = defaultdict(list)
    for table, days_before in daily.items():
        request = {"Bucket": bucket, "Prefix": f"{table}/"}
        if first_day is not None:
            # keys sort as their days do, so a listing may start and end in the middle
            request["StartAfter"] = f"{table}/day={first_day - timedelta(days=days_before)}"
        for day, file in _daily_files(s3, request):
            if last_day is not None and day > last_day:
                break
            files[table, day].append(file)
    absent = [table for table in reference if not _has_file(s3, bucket, table)]
    return Landing(daily, dict(files), absent)


def _daily_files(s3: Any, request: Mapping[str, str]) -> Iterable[tuple[date, RawFile]]:
    for page in s3.get_paginator("list_objects_v2").paginate(**request):
        for entry in page.get("Contents", []):
            day = _day_of(entry["Key"])
            if day is not None and _is_data(entry["Key"]):
                yield day, RawFile(entry["Key"], int(entry["Size"]), entry["ETag"])


def _day_of(key: str) -> date | None:
    found = DAY_OF_KEY.match(key)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _has_file(s3: Any, bucket: str, table: str) -> bool:
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{table}/").get("Contents", [])
    return any(_is_data(entry["Key"]) for entry in listed)


def _is_data(key: str) -> bool:
    """Whether a key is neither a folder's marker nor hidden, as Spark understands it."""
    name = key.rpartition("/")[2]
    return bool(name) and not name.startswith(("_", ".")) and not name.endswith("_$folder$")
