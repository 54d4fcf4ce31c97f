"""The sample data lands day by day, as CSV files that the airline's systems would send."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from mlops_cli import flights


class Bucket:
    """The two S3 operations that landing uses."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.order: list[str] = []

    def list_objects_v2(self, Bucket: str, Prefix: str) -> dict[str, Any]:
        return {"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        self.objects[Key] = Body
        self.order.append(Key)


def test_days_land_in_order_with_reference_tables_once() -> None:
    bucket: Any = Bucket()
    heard: list[flights.Landed] = []
    landed = flights.land(bucket, "raw", date(2013, 1, 1), date(2013, 1, 2), heard.append)
    assert landed == 842 + 943
    assert bucket.order == [
        "planes/planes.csv",
        "airports/airports.csv",
        "airlines/airlines.csv",
        "weather/day=2013-01-01/weather.csv",
        "flights/day=2013-01-01/flights.csv",
        "weather/day=2013-01-02/weather.csv",
        "flights/day=2013-01-02/flights.csv",
    ]
    assert [item.key for item in heard] == bucket.order
    assert heard[4].rows == 842
    lines = bucket.objects["flights/day=2013-01-02/flights.csv"].decode().splitlines()
    assert lines[0].startswith("year,month,day,dep_time")
    assert all(line.startswith("2013,1,2,") for line in lines[1:])

    flights.land(bucket, "raw", date(2013, 1, 3), date(2013, 1, 3))
    assert bucket.order[7:] == ["weather/day=2013-01-03/weather.csv", "flights/day=2013-01-03/flights.csv"]


def test_every_flight_of_the_year_has_a_day() -> None:
    days = flights.daily_table("flights").days
    assert len(days) == 365
    assert sum(map(len, days.values())) == 336_776


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2012, 12, 31), date(2013, 1, 2)),
        (date(2013, 1, 2), date(2013, 1, 1)),
        (date(2013, 1, 1), date(2014, 1, 1)),
    ],
)
def test_days_outside_the_data_are_refused(first: date, last: date) -> None:
    with pytest.raises(ValueError, match="2013-01-01 to 2013-12-31"):
        flights.land(Bucket(), "raw", first, last)
