"""Labels of published days become ground truth: once for each load of a day, and under the ids of predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from io import BytesIO
from typing import Any

import boto3
import polars as pl
import pytest
from moto import mock_aws

from dataset_job.catalog import Catalog, DayRecord
from dataset_job.errors import DatasetError
from dataset_job.inference_ids import id_columns, inference_id
from dataset_job.labels import Labelled, LabelsJob
from dataset_job.told_days import ToldDays
from mlops_cli import scoring
from model_runtime import inference_ids as runtime

CURATED, CAPTURE, DATABASE, DATASET = "curated", "capture", "mlops_dev", "flights"
KEY = ["flight", "route"]
LATE = Labelled("flight_delay", "late", "binary_classification")
MINUTES = Labelled("block_time", "minutes", "regression")
DAY, NEXT = date(2013, 7, 4), date(2013, 7, 5)
LATER = datetime(2100, 7, 6, 9, 30, tzinfo=UTC)
"""A moment that the machine's own clock hasn't reached: files are named by it."""


class Lake:
    """Published days, and what is told of them. `puts` are the keys of ground truth in the order of writing."""

    def __init__(self) -> None:
        self.s3, glue = boto3.client("s3"), boto3.client("glue")
        for bucket in (CURATED, CAPTURE):
            self.s3.create_bucket(Bucket=bucket)
        glue.create_database(DatabaseInput={"Name": DATABASE})
        descriptor = {"Columns": [{"Name": "late", "Type": "int"}], "Location": f"s3://{CURATED}/{DATASET}/"}
        table = {"Name": DATASET, "StorageDescriptor": descriptor, "PartitionKeys": [{"Name": "day", "Type": "date"}]}
        glue.create_table(DatabaseName=DATABASE, TableInput=table)
        self.catalog = Catalog(glue, DATABASE, DATASET)

    def publish(self, day: date = DAY, load: str = "l1", **columns: list[Any]) -> None:
        rows = {
            "flight": ["UA 1", "B6 725"],
            "route": ["EWR-IAH", "JFK-BQN"],
            "late": [1, 0],
            "minutes": [227.0, 180.5],
        }
        folder = f"{DATASET}/load={load}/day={day}"
        body = BytesIO()
        pl.DataFrame(rows | columns).write_parquet(body)
        self.s3.put_object(Bucket=CURATED, Key=f"{folder}/part-0.parquet", Body=body.getvalue())
        self.catalog.publish([DayRecord(day, f"s3://{CURATED}/{folder}", {"load": load})])

    def told(self, model: str) -> ToldDays:
        return ToldDays(self.s3, CURATED, f"{DATASET}/labels/{model}.json")

    def tell(self, *models: Labelled, at: datetime = LATER, told: Callable[[str], ToldDays] | None = None) -> None:
        job = LabelsJob(self.catalog, self.s3, told or self.told, KEY, CAPTURE, at)
        job.go(models or (LATE,))

    def files(self) -> list[str]:
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=CAPTURE).get("Contents", [])]

    def lines(self, *keys: str) -> list[dict[str, Any]]:
        bodies = [self.s3.get_object(Bucket=CAPTURE, Key=key)["Body"].read() for key in keys or self.files()]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    def labels(self) -> dict[str, str]:
        """As a monitor takes them: the last file has the last word."""
        return {line["eventMetadata"]["eventId"]: line["groundTruthData"]["data"] for line in self.lines()}


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Lake()


def test_a_row_with_a_label_is_a_line_under_its_inference_id(lake: Lake) -> None:
    lake.publish()
    lake.tell()
    assert lake.files() == ["ground-truth/flight_delay/2100/07/06/09/30-00-000-2013-07-04-l1.jsonl"]
    assert lake.lines()[0] == {
        "groundTruthData": {"data": "1", "encoding": "CSV"},
        "eventMetadata": {"eventId": "2013-07-04/UA%201/EWR-IAH"},
        "eventVersion": "0",
    }
    assert lake.labels() == {"2013-07-04/UA%201/EWR-IAH": "1", "2013-07-04/B6%20725/JFK-BQN": "0"}


def test_files_carry_the_time_of_writing_where_the_clock_has_passed_the_run_s_start(lake: Lake) -> None:
    lake.publish()
    before = datetime.now(UTC)
    lake.tell(at=datetime(2013, 7, 6, tzinfo=UTC))
    (key,) = lake.files()
    assert f"{before:%Y/%m/%d/%H}" <= key.removeprefix("ground-truth/flight_delay/")[:13]


def test_rows_without_a_label_have_no_line(lake: Lake) -> None:
    lake.publish(late=[None, 1])
    lake.publish(NEXT, late=[None, None])
    lake.tell()
    assert lake.labels() == {"2013-07-04/B6%20725/JFK-BQN": "1"}
    assert lake.told("flight_delay").read() == {DAY: "l1", NEXT: "l1"}


def test_a_number_that_is_none_is_no_label(lake: Lake) -> None:
    lake.publish(minutes=[float("nan"), 180.0])
    lake.tell(MINUTES)
    assert list(lake.labels().values()) == ["180"]


def test_each_model_has_its_own_labels_classes_as_1_and_0_and_numbers_as_they_are(lake: Lake) -> None:
    lake.publish(late=[1.0, 0.0], minutes=[227.25, 180.0])
    lake.tell(LATE, MINUTES)
    by_model: dict[str, list[str]] = {"flight_delay": [], "block_time": []}
    for key in lake.files():
        by_model[key.split("/")[1]] += [line["groundTruthData"]["data"] for line in lake.lines(key)]
    assert by_model == {"flight_delay": ["1", "0"], "block_time": ["227.25", "180"]}


def test_nothing_is_told_twice(lake: Lake) -> None:
    lake.publish()
    lake.tell()
    lake.publish(NEXT)
    lake.tell(at=LATER + timedelta(hours=1))
    lake.tell(at=LATER + timedelta(hours=2))
    names = [key.rpartition("/")[2] for key in lake.files()]
    assert names == ["30-00-000-2013-07-04-l1.jsonl", "30-00-000-2013-07-05-l1.jsonl"]


def test_a_day_that_is_published_anew_is_told_anew_and_its_last_file_has_the_new_labels(lake: Lake) -> None:
    lake.publish(late=[0, None])
    lake.tell()
    lake.publish(load="l2", late=[1, 1])
    lake.tell(at=LATER + timedelta(minutes=1))
    assert len(lake.files()) == 2
    assert set(lake.labels().values()) == {"1"}


def test_a_run_that_is_killed_before_it_has_written_down_what_it_told_loses_nothing(lake: Lake) -> None:
    class Killed(ToldDays):
        def add(self, loads: Any) -> None:
            raise KeyboardInterrupt

    lake.publish()
    lake.publish(NEXT)
    with pytest.raises(KeyboardInterrupt):
        lake.tell(told=lambda model: Killed(lake.s3, CURATED, f"{DATASET}/labels/{model}.json"))
    lake.tell(at=LATER + timedelta(hours=1))
    assert len(lake.labels()) == 4
    assert len(lake.lines()) == 8  # told again, under the same ids
    assert lake.told("flight_delay").read() == {DAY: "l1", NEXT: "l1"}


def test_days_that_another_run_tells_at_the_same_moment_stay_written_down(lake: Lake) -> None:
    mine, other = lake.told("flight_delay"), lake.told("flight_delay")
    read, raced = mine._read, []

    def race() -> Any:
        found = read()
        if not raced:
            raced.append(True)
            other.add({NEXT: "l7"})
        return found

    mine._read = race  # type: ignore[method-assign]
    mine.add({DAY: "l1"})
    assert mine.read() == {DAY: "l1", NEXT: "l7"}


def test_a_model_that_cant_be_told_doesnt_hold_the_others_up(lake: Lake) -> None:
    lake.publish(late=[1, 2])
    with pytest.raises(DatasetError, match=r"flight_delay: the label late .* must be 0 or 1, the row 2013-.* has 2"):
        lake.tell(LATE, MINUTES)
    assert {key.split("/")[1] for key in lake.files()} == {"block_time"}
    assert lake.told("flight_delay").read() == {}


def test_a_day_of_another_version_without_the_label_is_named_with_the_fix(lake: Lake) -> None:
    lake.publish()
    missing = Labelled("gate_delay", "gate", "regression")
    with pytest.raises(DatasetError, match=r"gate_delay: s3://curated/.*part-0.parquet has no column gate.*--redo all"):
        lake.tell(missing)


def test_a_broken_list_of_what_is_told_is_named_with_the_fix(lake: Lake) -> None:
    lake.s3.put_object(Bucket=CURATED, Key=f"{DATASET}/labels/flight_delay.json", Body=b"[]")
    with pytest.raises(DatasetError, match=r"s3://curated/flights/labels/flight_delay.json must hold .* delete it"):
        lake.tell()


def test_large_days_are_cut_into_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_job.labels.LINES", 2)
    lake.publish(flight=["a", "b", "c"], route=["x"] * 3, late=[1, 0, 1], minutes=[1.0] * 3)
    lake.tell()
    assert [len(lake.lines(key)) for key in lake.files()] == [1, 2]
    assert len(lake.labels()) == 3


NEW_YORK = timezone(timedelta(hours=-4))
VALUES = [
    ("UA 1", "UA%201"),
    ("50%/é", "50%25%2F%C3%A9"),
    (" ", "%20"),
    (725, "725"),
    (-3, "-3"),
    (725.0, "725"),
    (0.5, "0.5"),
    (True, "true"),
    (None, ""),
    (DAY, "2013-07-04"),
    (datetime(2013, 7, 4, 6, 30), "2013-07-04T06%3A30%3A00Z"),
    (datetime(2013, 7, 4, 6, 30, 0, 250_000), "2013-07-04T06%3A30%3A00.250000Z"),
    (datetime(2013, 7, 4, 6, 30, tzinfo=NEW_YORK), "2013-07-04T10%3A30%3A00Z"),
]


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_whoever_names_a_row_gives_it_the_same_id(lake: Lake, value: Any, text: str) -> None:
    rows = pl.DataFrame({"flight": [value], "route": ["EWR-IAH"]})
    expected = f"2013-07-04/{text}/EWR-IAH"
    dated = rows.with_columns(day=pl.lit(DAY))
    assert scoring.inference_ids(dated, KEY).to_list() == [expected]
    assert runtime.inference_ids(dated, KEY).to_list() == [expected]
    assert inference_id([DAY, value, "EWR-IAH"]) == expected
    lake.publish(**{name: rows[name] for name in KEY}, late=[1], minutes=[1.0])  # type: ignore[arg-type]
    lake.tell()
    assert list(lake.labels()) == [expected]


def test_the_finest_times_are_the_same_too(lake: Lake) -> None:
    fine = pl.Series([1_372_919_400_000_000_001]).cast(pl.Datetime("ns"))
    rows = pl.DataFrame({"flight": fine, "route": ["x"]})
    (mine,) = scoring.inference_ids(rows.with_columns(day=pl.lit(DAY)), KEY).to_list()
    lake.publish(flight=fine, route=["x"], late=[1], minutes=[1.0])  # type: ignore[arg-type]
    lake.tell()
    assert list(lake.labels()) == [mine]


def test_the_day_has_its_place_in_a_key_that_names_it() -> None:
    assert id_columns(KEY) == ["day", "flight", "route"]
    assert id_columns(["flight", "day"]) == ["flight", "day"]


def test_ids_that_cant_be_sent_are_refused_before_they_are() -> None:
    rows = pl.DataFrame({"day": [DAY], "flight": ["x" * 60]})
    with pytest.raises(ValueError, match=r"64 characters at most, got '2013-07-04/xxx"):
        scoring.inference_ids(rows, ["flight"])
    with pytest.raises(ValueError, match="made of day, flight: the rows miss day"):
        scoring.inference_ids(rows.drop("day"), ["flight"])
