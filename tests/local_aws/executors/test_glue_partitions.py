"""Partitions of catalog tables: batches, expressions on a date, paging, and many writers at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.glue import GlueService

DAYS = [f"2013-07-{day:02}" for day in range(1, 32)]
FLIGHTS = {"DatabaseName": "lake", "TableName": "flights"}


@pytest.fixture
def glue(server: Any) -> Any:
    server.add(GlueService(server.context))
    glue = server.client("glue")
    glue.create_database(DatabaseInput={"Name": "lake"})
    columns = [{"Name": "carrier", "Type": "string"}]
    keys = [{"Name": "day", "Type": "date"}]
    table = {"Name": "flights", "PartitionKeys": keys, "StorageDescriptor": {"Columns": columns}}
    glue.create_table(DatabaseName="lake", TableInput=table)
    return glue


def partition(day: str, load: str = "1") -> dict[str, Any]:
    storage = {"Columns": [{"Name": "carrier", "Type": "string"}], "Location": f"s3://lake/load={load}/day={day}/"}
    return {"Values": [day], "StorageDescriptor": storage, "Parameters": {"load": load}}


def days(glue: Any, **request: Any) -> list[str]:
    pages = glue.get_paginator("get_partitions").paginate(**FLIGHTS, **request)
    return [found["Values"][0] for page in pages for found in page["Partitions"]]


@pytest.fixture
def july(glue: Any) -> None:
    assert glue.batch_create_partition(**FLIGHTS, PartitionInputList=[partition(day) for day in DAYS])["Errors"] == []


@pytest.mark.usefixtures("july")
def test_existing_days_are_errors_and_the_others_of_the_batch_are_created(glue: Any) -> None:
    given = [partition("2013-07-04"), partition("2013-08-01"), {"Values": ["2013-08-02", "JFK"]}]
    taken, odd = glue.batch_create_partition(**FLIGHTS, PartitionInputList=given)["Errors"]
    assert (taken["PartitionValues"], taken["ErrorDetail"]["ErrorCode"]) == (["2013-07-04"], "AlreadyExistsException")
    assert odd["ErrorDetail"]["ErrorMessage"].endswith("the partition keys ['day'] of lake.flights")
    assert days(glue, Expression="day > '2013-07-30'") == ["2013-07-31", "2013-08-01"]


@pytest.mark.usefixtures("july")
def test_update_switches_a_day_and_keeps_when_it_was_made(glue: Any) -> None:
    before = glue.get_partition(**FLIGHTS, PartitionValues=["2013-07-04"])["Partition"]
    entries = [
        {"PartitionValueList": [day], "PartitionInput": partition(day, "2")} for day in ("2013-07-04", "2013-12-24")
    ]
    [missing] = glue.batch_update_partition(**FLIGHTS, Entries=entries)["Errors"]
    assert missing["PartitionValueList"] == ["2013-12-24"]
    assert missing["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    after = glue.get_partition(**FLIGHTS, PartitionValues=["2013-07-04"])["Partition"]
    assert after["StorageDescriptor"]["Location"] == "s3://lake/load=2/day=2013-07-04/"
    assert (after["Parameters"], after["CreationTime"]) == ({"load": "2"}, before["CreationTime"])
    glue.update_partition(**FLIGHTS, PartitionValueList=["2013-07-04"], PartitionInput=partition("2013-07-04", "3"))
    assert glue.get_partition(**FLIGHTS, PartitionValues=["2013-07-04"])["Partition"]["Parameters"] == {"load": "3"}


@pytest.mark.usefixtures("july")
def test_deleted_days_are_gone_and_missing_ones_are_errors(glue: Any) -> None:
    gone = [{"Values": [day]} for day in ("2013-07-04", "2013-12-24")]
    [missing] = glue.batch_delete_partition(**FLIGHTS, PartitionsToDelete=gone)["Errors"]
    assert (missing["PartitionValues"], missing["ErrorDetail"]["ErrorCode"]) == (
        ["2013-12-24"],
        "EntityNotFoundException",
    )
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.get_partition(**FLIGHTS, PartitionValues=["2013-07-04"])
    wanted = [{"Values": [day]} for day in ("2013-07-04", "2013-07-05")]
    answer = glue.batch_get_partition(**FLIGHTS, PartitionsToGet=wanted)
    assert [found["Values"] for found in answer["Partitions"]] == [["2013-07-05"]]


@pytest.mark.usefixtures("july")
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("day = '2013-07-04'", ["2013-07-04"]),
        ("day >= '2013-07-30' and day <= '2013-07-31'", ["2013-07-30", "2013-07-31"]),
        ("day in ('2013-07-01', '2013-07-09', '2014-01-01')", ["2013-07-01", "2013-07-09"]),
        ("(day = '2013-07-04') OR (day between '2013-07-30' and '2013-08-30')", ["2013-07-04", *DAYS[-2:]]),
        ("", DAYS),
    ],
)
def test_expressions_select_days(glue: Any, expression: str, expected: list[str]) -> None:
    assert days(glue, Expression=expression) == expected


@pytest.mark.usefixtures("july")
def test_days_come_in_pages_and_segments(glue: Any) -> None:
    first = glue.get_partitions(**FLIGHTS, MaxResults=10)
    assert [found["Values"][0] for found in first["Partitions"]] == DAYS[:10]
    assert first["Partitions"][0]["CatalogId"] == "123456789012"
    assert days(glue, PaginationConfig={"PageSize": 10}) == DAYS
    segments = [days(glue, Segment={"SegmentNumber": number, "TotalSegments": 3}) for number in range(3)]
    assert sorted(day for segment in segments for day in segment) == DAYS
    plain = glue.get_partitions(**FLIGHTS, ExcludeColumnSchema=True)["Partitions"][0]["StorageDescriptor"]
    assert plain == {"Location": "s3://lake/load=1/day=2013-07-01/"}


@pytest.mark.usefixtures("july")
def test_lists_longer_than_aws_takes_are_refused(glue: Any) -> None:
    with pytest.raises(ClientError, match="less than or equal to 25, not 31"):
        glue.batch_delete_partition(**FLIGHTS, PartitionsToDelete=[{"Values": [day]} for day in DAYS])
    assert days(glue) == DAYS


def test_unknown_table_is_named(glue: Any) -> None:
    with pytest.raises(ClientError, match="Table nothing not found"):
        glue.get_partitions(DatabaseName="lake", TableName="nothing")


def test_many_jobs_work_on_one_table_at_once(glue: Any) -> None:
    def claim(day: str) -> None:
        glue.create_partition(**FLIGHTS, PartitionInput=partition(day))
        glue.get_partitions(**FLIGHTS)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim, DAYS))
    assert sorted(days(glue)) == DAYS


def test_one_of_many_conditional_writes_wins(server: Any) -> None:
    s3 = server.client("s3")
    put = partial(s3.put_object, Bucket="lake", Key="manifest.json")

    def outcome(attempt: Callable[[], Any]) -> int:
        try:
            return int(attempt()["ResponseMetadata"]["HTTPStatusCode"])
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])

    def race(word: str, **condition: str) -> list[int]:
        attempts = [partial(put, Body=f"{word} {each}".encode(), **condition) for each in range(16)]
        with ThreadPoolExecutor(8) as pool:
            return sorted(pool.map(outcome, attempts))

    assert race("first", IfNoneMatch="*") == [200] + [412] * 15
    assert race("second", IfMatch=s3.head_object(Bucket="lake", Key="manifest.json")["ETag"]) == [200] + [412] * 15
    s3.put_object_tagging(Bucket="lake", Key="manifest.json", Tagging={"TagSet": [{"Key": "load", "Value": "1"}]})
    assert s3.get_object_tagging(Bucket="lake", Key="manifest.json")["TagSet"] == [{"Key": "load", "Value": "1"}]
