"""Registered and projected partitions, and which of them a query reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
DAYS = ("2013-01-01", "2013-01-02", "2013-01-03")


@pytest.fixture(scope="module")
def sizes(lake: Any) -> dict[str, int]:
    """Tables `flights` and `planes` with the same three registered days; the size of each day's file."""
    found = {}
    for number, day in enumerate(DAYS):
        rows = f"SELECT range::BIGINT AS id FROM range({100 * (number + 1)})"
        found[day] = lake.put_parquet(f"elsewhere/load={number}/day={day}/part-0.parquet", rows)
    for table in ("flights", "planes"):
        lake.table(table, {"id": "bigint"}, keys={"day": "date"})
        for number, day in enumerate(DAYS):
            lake.partition(table, [day], f"s3://lake/elsewhere/load={number}/day={day}/")
    lake.put("elsewhere/load=9/day=2013-01-01/part-0.parquet", "staged: not registered")
    return found


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("day = date '2013-01-02'", DAYS[1:2]),
        ("day >= date '2013-01-02'", DAYS[1:]),
        ("day BETWEEN date '2013-01-01' AND date '2013-01-02' AND id < 5", DAYS[:2]),
        ("day IN (date '2013-01-01', date '2013-01-03')", (DAYS[0], DAYS[2])),
        ("(day = date '2013-01-01' OR day = date '2013-01-02')", DAYS[:2]),
        ("day = date '2013-01-01' OR id = 7", DAYS),
        ("NOT day = date '2013-01-01'", DAYS[1:]),
        ("day_of_week(day) = 3", DAYS[1:2]),
        ("day > date '2020-01-01'", ()),
    ],
)
def test_only_the_days_that_a_condition_leaves_are_read(
    lake: Any, sizes: dict[str, int], condition: str, days: tuple[str, ...]
) -> None:
    assert lake.scanned(f"SELECT count(*) FROM flights WHERE {condition}") == sum(sizes[day] for day in days)


def test_partitions_that_are_not_registered_are_invisible(lake: Any, sizes: dict[str, int]) -> None:
    assert lake.rows("SELECT day, count(*) FROM flights GROUP BY 1 ORDER BY 1") == [
        ["2013-01-01", "100"],
        ["2013-01-02", "200"],
        ["2013-01-03", "300"],
    ]


def test_each_reference_of_a_table_reads_its_own_days(lake: Any, sizes: dict[str, int]) -> None:
    query = (
        "SELECT count(*) FROM flights a JOIN flights b ON a.id = b.id AND b.day = date '2013-01-01' "
        "WHERE a.day = date '2013-01-02'"
    )

    assert lake.scanned(query) == sizes[DAYS[0]] + sizes[DAYS[1]]
    assert lake.rows(query) == [["100"]]


def test_the_optional_side_of_an_outer_join_is_not_pruned_by_where(lake: Any, sizes: dict[str, int]) -> None:
    query = "SELECT count(*) FROM flights a LEFT JOIN planes b ON a.id = b.id WHERE b.day IS NULL"

    assert lake.rows(query) == [["0"]]


def test_conditions_inside_of_a_common_table_expression_count(lake: Any, sizes: dict[str, int]) -> None:
    query = "WITH one AS (SELECT * FROM flights WHERE day = date '2013-01-01') SELECT count(*) FROM one"

    assert lake.scanned(query) == sizes[DAYS[0]]


def test_path_names_the_object_of_a_row(lake: Any, sizes: dict[str, int]) -> None:
    rows = lake.rows("SELECT DISTINCT \"$path\" FROM flights WHERE day = date '2013-01-02'")

    assert rows == [["s3://lake/elsewhere/load=1/day=2013-01-02/part-0.parquet"]]


def test_a_date_projection_follows_its_range_and_template(lake: Any) -> None:
    today = datetime.now(UTC).date()
    for days_ago in (0, 1, 40):
        lake.put(f"raw/{today - timedelta(days=days_ago)}/a.csv", f"{days_ago}\n")
    lake.table(
        "raw",
        {"n": "int"},
        serde=LAZY,
        keys={"day": "date"},
        parameters={
            "projection.enabled": "true",
            "projection.day.type": "date",
            "projection.day.format": "yyyy-MM-dd",
            "projection.day.range": "NOW-30DAYS,NOW",
            "storage.location.template": "s3://lake/raw/${day}/",
        },
    )

    assert lake.rows("SELECT n FROM raw ORDER BY n") == [["0"], ["1"]]
    assert lake.scanned("SELECT n FROM raw WHERE day < current_date") == 2


def test_enums_and_integers_are_projected_with_their_digits(lake: Any) -> None:
    for region, hour in (("eu", "07"), ("us", "07"), ("us", "23")):
        lake.put(f"events/region={region}/hour={hour}/a.csv", f"{region}{hour}\n")
    lake.table(
        "events",
        {"name": "string"},
        serde=LAZY,
        keys={"region": "string", "hour": "int"},
        parameters={
            "projection.enabled": "true",
            "projection.region.type": "enum",
            "projection.region.values": "eu,us",
            "projection.hour.type": "integer",
            "projection.hour.range": "0,23",
            "projection.hour.digits": "2",
        },
    )

    assert lake.rows("SELECT region, hour, name FROM events ORDER BY name") == [
        ["eu", "7", "eu07"],
        ["us", "7", "us07"],
        ["us", "23", "us23"],
    ]
    assert lake.scanned("SELECT * FROM events WHERE hour = 7 AND region IN ('us', 'ap')") == 5


def test_an_injected_key_takes_its_values_from_the_query(lake: Any) -> None:
    lake.put("devices/a1/x.csv", "1\n")
    lake.put("devices/b2/x.csv", "2\n")
    lake.table(
        "devices",
        {"n": "int"},
        serde=LAZY,
        keys={"device": "string"},
        parameters={
            "projection.enabled": "true",
            "projection.device.type": "injected",
            "storage.location.template": "s3://lake/devices/${device}/",
        },
    )

    assert lake.rows("SELECT n FROM devices WHERE device = 'b2'") == [["2"]]
    assert lake.failure("SELECT n FROM devices").startswith("CONSTRAINT_VIOLATION")


def test_a_projection_finer_than_days_needs_its_step(lake: Any) -> None:
    lake.put("hourly/2013/01/01/05/a.csv", "1\n")
    parameters = {
        "projection.enabled": "true",
        "projection.at.type": "date",
        "projection.at.format": "yyyy/MM/dd/HH",
        "projection.at.range": "2013/01/01/00,2013/01/02/00",
        "storage.location.template": "s3://lake/hourly/${at}/",
    }
    lake.table("hourly_unknown", {"n": "int"}, serde=LAZY, keys={"at": "string"}, parameters=parameters)
    steps = {"projection.at.interval": "1", "projection.at.interval.unit": "HOURS"}
    lake.table("hourly", {"n": "int"}, serde=LAZY, keys={"at": "string"}, parameters=parameters | steps)

    assert "projection.at.interval.unit" in lake.failure("SELECT * FROM hourly_unknown")
    assert lake.rows("SELECT * FROM hourly WHERE at = '2013/01/01/05'") == [["1", "2013/01/01/05"]]


def test_too_many_projected_partitions_are_refused(lake: Any) -> None:
    parameters = {"projection.enabled": "true"}
    for key in ("a", "b"):
        parameters |= {f"projection.{key}.type": "integer", f"projection.{key}.range": "0,9999"}
    lake.table("vast", {"n": "int"}, serde=LAZY, keys={"a": "int", "b": "int"}, parameters=parameters)

    assert lake.failure("SELECT * FROM vast").startswith("HIVE_EXCEEDED_PARTITION_LIMIT")
    assert lake.rows("SELECT * FROM vast WHERE a = 1 AND b = 2") == []
