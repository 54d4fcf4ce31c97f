"""Days as they come, good and bad: no row is lost, no bad one gets through, and each has its reason."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyspark.sql import SparkSession

from dataset_job.errors import DatasetError
from dataset_job.preparation import Outcome
from flights.etl import transform
from tests.datasets.lake import DAY, DAYS, FLIGHTS, Lake, declared

Change = Callable[[str], str | bytes]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Lake:
    """Three days, landed and prepared; tests that change something work on a copy."""
    lake = Lake(tmp_path_factory.mktemp("lake") / "lake", spark)
    lake.land()
    outcomes = lake.prepare()
    assert not [outcome for outcome in outcomes.values() if outcome.held or outcome.quarantined or outcome.notes]
    return lake


@pytest.fixture
def lake(prepared: Lake, tmp_path: Path) -> Lake:
    return prepared.copy(tmp_path / "lake")


def test_every_flight_comes_out_once_with_the_declared_columns(prepared: Lake) -> None:
    rows = prepared.rows()
    landed = [prepared.landed(f"flights/day={day}/flights.csv") for day in DAYS]
    assert rows.group_by("day").len().sort("day")["len"].to_list() == landed
    assert set(rows.columns) == {column.name for column in prepared.dataset.columns} | {"day"}
    assert rows["temperature"].null_count() < 10
    assert rows["day"].dtype == pl.Date
    assert 0 < rows["late"].mean() < 1  # type: ignore[operator]


def test_each_day_lies_in_a_folder_of_its_load(prepared: Lake) -> None:
    folders = {path.parent.relative_to(prepared.curated).as_posix() for path in prepared.curated.rglob("*.parquet")}
    assert folders == {f"load=one/day={day}" for day in DAYS}


def in_row(pattern: str, new: str) -> Change:
    """Change the file's tenth line."""

    def change(text: str) -> str:
        lines = text.splitlines()
        lines[9], count = re.subn(pattern, new, lines[9], count=1)
        assert count == 1
        return "\n".join(lines) + "\n"

    return change


BAD_ROWS: Mapping[str, tuple[Change, str]] = {
    "a value too many": (in_row("^", "4,"), "the row has too many or too few values"),
    "a value too few": (in_row("^2013,", ""), "the row has too many or too few values"),
    "a word for a number": (in_row(r"^(2013,\d+,\d+,)", r"\1soon"), "dep_time isn't a whole number: soon"),
    "no date": (in_row("T", "?"), "time_hour isn't a time: DAY?"),
    "a missing value": (in_row(r"^2013,\d+,", "2013,NA,"), "month is missing"),
    "a row of another day": (
        in_row(r"^2013,\d+,\d+,", "2013,7,5,"),
        "the row is of 2013-07-05, it lies in the folder of DAY",
    ),
    "a row of no day": (in_row(r"^2013,\d+,", "2013,13,"), "the row is of no day, it lies in the folder of DAY"),
    "bytes that are no text": (
        lambda text: text.encode().replace(b",EWR,", b",E\xff\xfe,", 1),
        "the row isn't UTF-8 text",
    ),
}


BAD_FILES: Mapping[str, tuple[Change, str]] = {
    "half a file": (lambda text: text[: len(text) // 2], "the file ends in the middle of a row"),
    "a renamed column": (lambda text: text.replace("dep_delay", "delay", 1), "the header misses dep_delay"),
    "no header": (lambda text: text.partition("\n")[2], "the header misses year, month"),
    "a column left out": (
        lambda text: "\n".join(line.rpartition(",")[0] for line in text.splitlines()),
        "the header misses time_hour; it has year, month",
    ),
    "a column twice": (lambda text: text.replace("\n", ",year\n", 1), "the header has year twice"),
    "another encoding": (lambda text: text.encode("utf-16"), "the header isn't UTF-8 text"),
    "another kind of file": (lambda _: "<html>\n503\n</html>\n", "the header misses year"),
    "binary junk": (lambda _: random.Random(4).randbytes(4000), "the header "),
    "nothing in it": (lambda _: "", "the file is empty, it doesn't even have a header"),
}


FIRST_BAD_DAY = date(2013, 8, 1)
SPOILED = {bad: FIRST_BAD_DAY + timedelta(days=2 * number) for number, bad in enumerate([*BAD_ROWS, *BAD_FILES])}


@pytest.fixture(scope="module")
def spoiled(prepared: Lake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Mapping[date, Outcome]]:
    """A day for each thing that may be wrong with one, with a sound day after it, prepared in one run."""
    lake = prepared.copy(tmp_path_factory.mktemp("spoiled") / "lake")
    days = []
    for bad, day in SPOILED.items():
        change, _ = (BAD_ROWS | BAD_FILES)[bad]
        for each in (day, day + timedelta(days=1)):
            for path in (FLIGHTS, f"weather/day={DAY}/weather.csv"):
                text = lake.read(path).replace(f"2013,7,{DAY.day},", f"2013,{each.month},{each.day},")
                text = text.replace(f"{DAY}T", f"{each}T")
                spoils = each == day and path == FLIGHTS
                lake.write(path.replace(str(DAY), str(each)), change(text) if spoils else text)
            days.append(each)
    return lake, lake.prepare(days, "two")


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_row_with(bad: str, spoiled: tuple[Lake, Mapping[date, Outcome]]) -> None:
    """... goes to quarantine with the line and the reason; the day goes on without it."""
    lake, outcomes = spoiled
    day, reason = SPOILED[bad], BAD_ROWS[bad][1]
    landed = lake.landed(FLIGHTS)
    assert (outcomes[day].rows, outcomes[day].quarantined, outcomes[day].held) == (landed - 1, 1, None)
    (row,) = lake.bad().filter(pl.col("day") == day).iter_rows(named=True)
    assert row["reason"].startswith(reason.replace("DAY", str(day)))
    assert row["file"].endswith(f"flights/day={day}/flights.csv")
    assert row["source_table"] == "flights"
    assert row["row"].encode()[:20] in (lake.raw / f"flights/day={day}/flights.csv").read_bytes()
    assert sum(outcomes[day].reasons.values()) == 1
    assert lake.rows("two").filter(pl.col("day") == day).height == landed - 1


@pytest.mark.parametrize("bad", BAD_FILES)
def test_day_of_a_file_with(bad: str, spoiled: tuple[Lake, Mapping[date, Outcome]]) -> None:
    """... is held with the reason, and nothing of it is staged."""
    lake, outcomes = spoiled
    day = SPOILED[bad]
    assert f"flights/day={day}/flights.csv: {BAD_FILES[bad][1]}" in (outcomes[day].held or "")
    assert not (lake.curated / "load=two" / f"day={day}").exists()


def test_bad_days_leave_the_others_alone(spoiled: tuple[Lake, Mapping[date, Outcome]]) -> None:
    lake, outcomes = spoiled
    sound = [day + timedelta(days=1) for day in SPOILED.values()]
    for day in sound:
        outcome = outcomes[day]
        assert (outcome.rows, outcome.quarantined, outcome.held) == (lake.landed(FLIGHTS), 0, None)


def test_file_with_its_columns_in_another_order_and_one_more_is_read_by_name(prepared: Lake, lake: Lake) -> None:
    lines = [line.split(",") for line in lake.read(FLIGHTS).splitlines()]
    lake.write(
        FLIGHTS, "\n".join(",".join([*reversed(line), "gate" if not i else "B7"]) for i, line in enumerate(lines))
    )
    outcome = lake.prepare([DAY], "two")[DAY]
    assert outcome.held is None
    (note,) = outcome.notes
    assert note.endswith("flights.csv: not declared, so ignored: gate")
    assert lake.rows("two").equals(prepared.rows().filter(pl.col("day") == DAY))


def test_equal_rows_count_once_and_the_copies_are_in_quarantine(prepared: Lake, lake: Lake) -> None:
    lines = lake.read(FLIGHTS).splitlines()
    lake.write(FLIGHTS, "\n".join([*lines, lines[3], lines[5]]) + "\n")
    outcome = lake.prepare([DAY], "two")[DAY]
    assert (outcome.quarantined, outcome.held) == (2, None)
    assert sorted(lake.bad()["row"]) == sorted([lines[3], lines[5]])
    assert lake.bad()["reason"].str.starts_with("the row is there already (year, month, day").all()
    assert lake.rows("two").equals(prepared.rows().filter(pl.col("day") == DAY))


def test_rows_that_contradict_each_other_are_all_in_quarantine(lake: Lake) -> None:
    lines = lake.read(FLIGHTS).splitlines()
    lake.write(FLIGHTS, "\n".join([*lines, lines[3].rpartition(",")[0] + ",2013-07-04T23:00:00Z"]) + "\n")
    outcome = lake.prepare([DAY], "two")[DAY]
    assert outcome.quarantined == 2
    assert set(lake.bad()["reason"].str.head(36)) == {"2 different rows for one key (year, "}
    assert outcome.rows == len(lines) - 2


def test_duplicates_in_two_files_of_a_day_are_found(lake: Lake) -> None:
    lines = lake.read(FLIGHTS).splitlines()
    lake.write(FLIGHTS.replace("flights.csv", "late.csv"), f"{lines[0]}\n{lines[7]}\n")
    outcome = lake.prepare([DAY], "two")[DAY]
    assert (outcome.rows, outcome.quarantined) == (len(lines) - 1, 1)


def test_day_with_too_many_bad_rows_is_held_with_the_share(lake: Lake) -> None:
    lines = lake.read(FLIGHTS).splitlines()
    lake.write(
        FLIGHTS, "\n".join(line.replace("2013,7,4,", "2013,7,4,x") if i < 9 else line for i, line in enumerate(lines))
    )
    outcome = lake.prepare([DAY], "two")[DAY]
    assert outcome.quarantined == 8
    assert outcome.held is not None
    assert outcome.held.startswith(f"8 of {len(lines) - 1} rows of flights are bad (")
    assert "at most 5 % may be), most often: dep_time isn't a whole number" in outcome.held


def test_bad_weather_row_is_found_in_its_own_table(lake: Lake) -> None:
    path = f"weather/day={DAY}/weather.csv"
    text = lake.read(path).splitlines()
    text[4] = text[4].replace("EWR", "EWR,EWR", 1)
    lake.write(path, "\n".join(text) + "\n")
    outcomes = lake.prepare(load="two")
    assert [outcome.quarantined for outcome in outcomes.values()] == [0, 1, 0]
    assert list(outcomes[DAY].reasons) == ["weather: the row has too many or too few values"]


def test_weather_of_the_day_before_that_cannot_be_read_does_not_hold_the_day(lake: Lake) -> None:
    lake.write(f"weather/day={DAYS[0]}/weather.csv", "")
    assert lake.prepare([DAY], "two")[DAY].held is None


def test_reference_table_that_cannot_be_read_ends_the_run(lake: Lake) -> None:
    lake.write("planes/planes.csv", "tailnum\nN1\n")
    with pytest.raises(DatasetError, match=r"planes/planes.csv: the header misses year, type"):
        lake.prepare([DAY], "two")


def test_reference_table_with_too_many_bad_rows_ends_the_run(lake: Lake) -> None:
    lines = lake.read("planes/planes.csv").splitlines()
    lake.write("planes/planes.csv", "\n".join([*lines, *lines[1:]]) + "\n")
    with pytest.raises(DatasetError, match=r"rows of planes are bad .* most often: the row is there already"):
        lake.prepare([DAY], "two")


def test_reference_table_with_a_key_twice_does_not_double_flights(prepared: Lake, lake: Lake) -> None:
    lines = lake.read("planes/planes.csv").splitlines()
    flown = {line.split(",")[11] for line in lake.read(FLIGHTS).splitlines()}
    again = [line for line in lines[1:] if line.split(",")[0] in flown]
    assert again
    lake.write("planes/planes.csv", "\n".join([*lines, *again]) + "\n")
    outcome = lake.prepare([DAY], "two")[DAY]
    assert lake.rows("two").equals(prepared.rows().filter(pl.col("day") == DAY))
    assert outcome.reasons == {"planes: the row is there already (tailnum)": len(again)}


def test_day_prepared_by_itself_is_what_it_is_among_others(prepared: Lake, lake: Lake) -> None:
    shutil.rmtree(lake.curated)
    for day in DAYS:
        lake.prepare([day], day.isoformat())
    together = pl.concat(lake.rows(day.isoformat()) for day in DAYS)
    assert together.equals(prepared.rows())


def test_flight_just_after_midnight_sees_the_weather_of_the_evening_before(lake: Lake) -> None:
    header, flight = lake.read(FLIGHTS).splitlines()[:2]
    columns = header.split(",")
    values = dict(zip(columns, flight.split(","), strict=True))
    at_night = values | {"sched_dep_time": "20", "hour": "0", "minute": "20", "time_hour": "2013-07-04T04:00:00Z"}
    lake.write(FLIGHTS, f"{header}\n{','.join(at_night[name] for name in columns)}\n")
    evening = pl.read_csv(lake.raw / f"weather/day={DAYS[0]}/weather.csv", null_values="NA").filter(
        pl.col("origin") == values["origin"], pl.col("hour") == 23
    )
    lake.prepare([DAY], "two")
    (row,) = lake.rows("two").iter_rows(named=True)
    assert row["departure_minute"] == 20
    assert row["temperature"] == pytest.approx(evening["temp"].item(), rel=1e-6)


def test_block_minutes_take_time_zones_and_summer_time_out(prepared: Lake) -> None:
    rows = prepared.rows().filter(pl.col("route").is_in(["JFK-LAX", "EWR-PHX", "JFK-BQN", "JFK-HNL"]))
    assert rows.height
    hours = {"LAX": (5, 7), "PHX": (4.5, 6), "BQN": (3, 4.5), "HNL": (10, 12)}
    for row in rows.iter_rows(named=True):
        shortest, longest = hours[row["route"][4:]]
        if row["scheduled_block_minutes"] is not None:  # the register has no time zone for BQN
            assert shortest * 60 <= row["scheduled_block_minutes"] <= longest * 60, row


def test_transform_that_returns_other_columns_is_told_which(lake: Lake) -> None:
    def other(*arguments: object) -> object:
        return transform(*arguments).drop("late").withColumnRenamed("seats", "chairs")  # type: ignore[arg-type]

    with pytest.raises(DatasetError, match="differ: seats is missing; late is missing; chairs isn't declared"):
        lake.prepare([DAY], "two", other)


def test_dataset_without_a_daily_table_is_refused() -> None:
    with pytest.raises(DatasetError, match="has no daily table"):
        declared(tables={"planes": {"columns": {"tailnum": {"type": "string"}}}})


def test_declaration_that_cannot_be_read_is_told() -> None:
    with pytest.raises(DatasetError, match="the dataset's declaration can't be read: KeyError: 'columns'"):
        declared(tables={"planes": {}})


def test_run_without_a_single_sound_row_holds_its_day_and_keeps_the_rows(lake: Lake) -> None:
    lines = lake.read(FLIGHTS).splitlines()
    lake.write(FLIGHTS, "\n".join([lines[0], *(line.replace("2013,7,4,", "2013,7,5,") for line in lines[1:])]) + "\n")
    outcome = lake.prepare([DAY], "two")[DAY]
    assert (outcome.rows, outcome.quarantined) == (0, len(lines) - 1)
    assert outcome.held is not None
    assert lake.bad().height == len(lines) - 1


def test_table_that_transform_does_not_use_is_checked_all_the_same(lake: Lake) -> None:
    def without_planes(spark: SparkSession, tables: dict[str, Any], days: list[date]) -> Any:
        return transform(spark, tables | {"planes": tables["planes"].sparkSession.createDataFrame(
            [("N1", 2000, 100)], "tailnum string, year int, seats int"
        )}, days)  # fmt: skip

    lines = lake.read("planes/planes.csv").splitlines()
    lake.write("planes/planes.csv", "\n".join([*lines, "N1,soon"]) + "\n")
    outcome = lake.prepare([DAY], "two", without_planes)[DAY]
    assert outcome.reasons == {"planes: the row has too many or too few values": 1}


VALUES = {
    "name": {"type": "string"},
    "at": {"type": "timestamp"},
    "on": {"type": "date"},
    "size": {"type": "double"},
    "day": {"type": "date", "required": True},
}
DECLARED = {
    "tables": {"values": {"daily": True, "day": "day", "key": ["name"], "columns": VALUES}},
    "prepared": {"key": ["name"], "columns": {name: VALUES[name] for name in ("name", "at", "on", "size")}},
    "quarantine": {"maximum_percent": 100},
}
SOUND = [
    ('"He said ""hi"""', 'He said "hi"'),
    ('"a ""b"", c"', 'a "b", c'),
    ('"C:\\"', "C:\\"),
    ("plain", "plain"),
]
UNSOUND = {
    "x1,10:00,2013-07-04,1,2013-07-04": "at isn't a time: 10:00",
    "x2,2013,2013-07-04,1,2013-07-04": "at isn't a time: 2013",
    "x3,2013-07-04T10:00:00,2013-07-04,1,2013-07-04": "at isn't a time: 2013-07-04T10:00:00",
    "x4,2013-07-04T10:00:00Z,4 July,1,2013-07-04": "on isn't a date: 4 July",
    "x5,2013-07-04T10:00:00Z,2013-07-04,NaN,2013-07-04": "size isn't a number: NaN",
    "x6,2013-07-04T10:00:00Z,2013-07-04,1e400,2013-07-04": "size isn't a number: 1e400",
}


def test_values_are_read_as_they_are_meant_or_not_at_all(tmp_path: Path, spark: SparkSession) -> None:
    lake = Lake(tmp_path / "lake", spark, declared(**DECLARED))
    rest = "2013-07-04T10:00:00Z,2013-07-04,1.5,2013-07-04"
    lines = ["name,at,on,size,day", *(f"{written},{rest}" for written, _ in SOUND), *UNSOUND]
    lake.write(f"values/day={DAY}/values.csv", "\n".join(lines) + "\n")
    # a name may come again on another day
    lake.write(f"values/day={DAYS[2]}/values.csv", f"{lines[0]}\nplain,{rest[:-1]}5\nplain,{rest[:-1]}5\n")
    outcomes = lake.prepare(DAYS[1:], "two", lambda _, tables, __: tables["values"])
    rows = pl.read_parquet(lake.curated / "load=two" / "**/*.parquet")
    assert sorted(rows["name"]) == sorted([*(meant for _, meant in SOUND), "plain"])
    told = dict(zip(lake.bad()["row"], lake.bad()["reason"], strict=True))
    assert UNSOUND.items() <= told.items()
    assert (outcomes[DAY].rows, outcomes[DAYS[2]].rows) == (4, 1)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("flights[1].csv", lambda text: text, "which Spark takes for a pattern: rename it"),
        ("flights.csv", lambda text: text.replace("\n", ",Year\n", 1), "the header has year twice"),
    ],
)
def test_name_that_spark_would_stumble_over_holds_its_day_alone(
    lake: Lake, name: str, change: Change, reason: str
) -> None:
    lake.write(FLIGHTS.replace("flights.csv", name), change(lake.read(FLIGHTS)))
    outcomes = lake.prepare(load="two")
    assert reason in (outcomes[DAY].held or "")
    assert [outcomes[day].held for day in (DAYS[0], DAYS[2])] == [None, None]


def test_hash_in_the_name_of_a_file_is_no_matter(lake: Lake) -> None:
    (lake.raw / FLIGHTS).rename((lake.raw / FLIGHTS).with_name("flights#1.csv"))
    assert lake.prepare([DAY], "two")[DAY].held is None
