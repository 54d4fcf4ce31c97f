"""What the feature job may do in S3, judged as IAM does: the calls that Spark makes, and those that must fail."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.deployment.assemblies import Templates

Allowed = Callable[[str, str], bool]

RAW, CURATED, CAPTURE, ARTIFACTS = "raw", "curated", "capture", "artifacts"
PART = "flight_delay/day=2013-01-01/part-00000.snappy.parquet"


def text_of(resource: Any) -> str:
    """A resource of a policy as text, with `raw` for the ARN of the raw bucket."""
    if isinstance(resource, str):
        return resource
    ((function, argument),) = resource.items()
    if function == "Fn::Join":
        return str(argument[0].join(text_of(part) for part in argument[1]))
    name = argument[0] if function == "Fn::GetAtt" else argument
    zones = [zone for zone in (RAW, CURATED, CAPTURE, ARTIFACTS) if str(name).startswith(f"Lake{zone.capitalize()}")]
    return zones[0] if zones else f"<{name}>"


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture
def allowed(templates: Templates) -> Allowed:
    """Whether the role of the feature job may do something: an action, and a bucket or `bucket/key`."""
    resources = templates["dev/data"]["Resources"]
    role = resources["FlightDelayFeaturesJobECB3327C"]["Properties"]["Role"]["Fn::GetAtt"][0]
    statements = [
        statement
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": role} in resource["Properties"]["Roles"]
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert {statement["Effect"] for statement in statements} == {"Allow"}

    def judge(action: str, resource: str) -> bool:
        return any(
            any(fnmatchcase(action, each) for each in as_list(statement["Action"]))
            and any(fnmatchcase(resource, text_of(each)) for each in as_list(statement["Resource"]))
            for statement in statements
        )

    return judge


@pytest.mark.parametrize("table", ["flights", "weather", "planes", "airports"])
def test_spark_can_read_a_raw_table(table: str, allowed: Allowed) -> None:
    assert allowed("s3:ListBucket", RAW)
    # A HEAD needs s3:GetObject: without it S3 answers 403 where Hadoop expects 404.
    for key in (table, f"{table}/", f"{table}_$folder$", f"{table}/day=2013-01-01/{table}.csv"):
        assert allowed("s3:GetObject", f"{RAW}/{key}"), key


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
@pytest.mark.parametrize(
    "key",
    [
        "flight_delay",
        "flight_delay/",
        "flight_delay_$folder$",
        "flight_delay/_temporary/0/_temporary_$folder$",
        "flight_delay/_SUCCESS",
        PART,
    ],
)
def test_spark_can_write_its_model_s_features(action: str, key: str, allowed: Allowed) -> None:
    assert allowed(action, f"{CURATED}/{key}")


def test_spark_can_upload_in_parts_and_clean_up(allowed: Allowed) -> None:
    assert allowed("s3:ListBucket", CURATED)
    assert allowed("s3:ListBucketMultipartUploads", CURATED)
    for action in ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"):
        assert allowed(action, f"{CURATED}/{PART}")


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
@pytest.mark.parametrize(
    "resource",
    [
        f"{CURATED}/other_model/{PART}",
        f"{CURATED}/flight_delay_v2",
        f"{CURATED}/flight_delay_v2/part.parquet",
        f"{CURATED}/flight_delay_v2_$folder$",
        f"{CURATED}/flight",
        f"{RAW}/flights_old/flights.csv",
        f"{RAW}/bookings/bookings.csv",
        f"{CAPTURE}/dev-flight-delay/live/one.jsonl",
        f"{ARTIFACTS}/flight_delay/model.tar.gz",
    ],
)
def test_the_job_reaches_no_other_folder(action: str, resource: str, allowed: Allowed) -> None:
    assert not allowed(action, resource)


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject"])
@pytest.mark.parametrize("key", ["flights", "flights_$folder$", "flights/day=2013-01-01/flights.csv"])
def test_raw_data_can_only_be_read(action: str, key: str, allowed: Allowed) -> None:
    assert not allowed(action, f"{RAW}/{key}")
    assert not allowed("s3:ListBucketMultipartUploads", RAW)
