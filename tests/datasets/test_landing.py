"""What has landed: which days are complete, what they are made from, and when that has changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dataset_job.csv_files import CsvFile, FileProblem, inspect
from dataset_job.declaration import RawTable
from dataset_job.landing import Landing, look
from dataset_job.storage import FileStorage
from tests.datasets.lake import declared

DAY, NEXT = date(2013, 7, 4), date(2013, 7, 5)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for path in ("planes/planes.csv", "airports/airports.csv"):
        put(tmp_path, path)
    for day in (DAY, NEXT):
        for table in ("flights", "weather"):
            put(tmp_path, f"{table}/day={day}/{table}.csv")
    return tmp_path


def put(raw: Path, path: str, text: str = "x\n") -> Path:
    file = raw / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def landing(raw: Path) -> Landing:
    return look(FileStorage(), declared(), f"file://{raw}")


def test_day_lacks_the_tables_that_have_not_landed(raw: Path) -> None:
    put(raw, "flights/day=2013-07-06/flights.csv")
    assert landing(raw).missing(DAY) == []
    assert landing(raw).missing(date(2013, 7, 6)) == ["weather"]
    (raw / "planes" / "planes.csv").unlink()
    assert landing(raw).missing(DAY) == ["planes"]


def test_fingerprint_changes_with_every_file_that_the_day_is_made_from(raw: Path) -> None:
    seen = [landing(raw).fingerprint(NEXT)]
    put(raw, f"flights/day={NEXT}/late.csv")
    seen.append(landing(raw).fingerprint(NEXT))
    put(raw, f"flights/day={NEXT}/late.csv", "y\nz\n")
    seen.append(landing(raw).fingerprint(NEXT))
    # its flights just after midnight see the weather of the evening before
    put(raw, f"weather/day={DAY}/weather.csv", "corrected\n")
    seen.append(landing(raw).fingerprint(NEXT))
    (raw / f"flights/day={NEXT}/late.csv").unlink()
    seen.append(landing(raw).fingerprint(NEXT))
    assert len(set(seen)) == len(seen)


def test_fingerprint_stays_when_other_days_and_reference_tables_change(raw: Path) -> None:
    before = landing(raw).fingerprint(DAY)
    put(raw, "planes/planes.csv", "more\nplanes\n")
    put(raw, f"flights/day={NEXT}/flights.csv", "more\n")
    put(raw, f"weather/day={NEXT}/weather.csv", "more\n")
    assert landing(raw).fingerprint(DAY) == before


def test_first_day_is_made_without_the_day_before(raw: Path) -> None:
    found = landing(raw).objects(landing(raw).dataset.tables["weather"], DAY)
    assert list(found) == [DAY]
    assert list(landing(raw).objects(landing(raw).dataset.tables["weather"], NEXT)) == [NEXT, DAY]


def test_file_in_no_folder_of_a_day_is_a_stray(raw: Path) -> None:
    put(raw, "flights/today/flights.csv")
    put(raw, "flights/day=2013-02-30/flights.csv")
    put(raw, "flights/day=2013-07-04/_SUCCESS")
    assert sorted(each.key for each in landing(raw).strays) == ["day=2013-02-30/flights.csv", "today/flights.csv"]
    assert landing(raw).days() == [DAY, NEXT]


TABLE = declared().tables["airports"]
HEADER = "faa,name,lat,lon,alt,tz,dst,tzone"
ROW = "EWR,Newark,40.7,-74.2,18,-5,A,America/New_York"


def look_at(tmp_path: Path, content: str | bytes, table: RawTable = TABLE) -> CsvFile | FileProblem:
    file = tmp_path / "airports" / "airports.csv"
    file.parent.mkdir()
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    (found,) = inspect(FileStorage(), table, FileStorage().list(f"file://{tmp_path}/airports"))
    return found


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{ROW}\n",
        f"{HEADER}\n{ROW}",
        f"{HEADER}\r\n{ROW}\r\n",
        f"\ufeff{HEADER}\n{ROW}\n",
        ",".join(f'"{name}"' for name in HEADER.split(",")) + f"\n{ROW}\n",
        f'{HEADER}\nEWR,"Newark, Liberty",40.7,-74.2,18,-5,A,America/New_York',
        f"{HEADER}\n",
        HEADER,
    ],
)
def test_file_is_whole_whatever_its_line_breaks_quotes_and_mark(tmp_path: Path, content: str) -> None:
    found = look_at(tmp_path, content)
    assert isinstance(found, CsvFile)
    assert found.header == tuple(HEADER.split(","))


@pytest.mark.parametrize("cut", [1, 9, 20, 31])
def test_file_that_ends_within_a_row_is_not_whole(tmp_path: Path, cut: int) -> None:
    found = look_at(tmp_path, f"{HEADER}\n{ROW}\n{ROW[:-cut]}" if cut > 17 else f"{HEADER}\n{ROW}\n{ROW[:cut]}")
    assert isinstance(found, FileProblem)
    assert "only a part of it has arrived" in found.reason


def test_problem_names_the_file(tmp_path: Path) -> None:
    assert str(look_at(tmp_path, "")) == (
        f"file://{tmp_path}/airports/airports.csv: the file is empty, it doesn't even have a header"
    )
