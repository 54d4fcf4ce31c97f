"""What the roles of a dataset may do, judged as IAM does: the calls that its jobs make, and those that must fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.deployment.assemblies import Template, Templates

Allowed = Callable[[str, str, str], bool]

RAW, CURATED, QUARANTINE, CAPTURE, ARTIFACTS = "raw", "curated", "quarantine", "capture", "artifacts"
PREPARE, PUBLISH, CHECK, LABELS, TRAIN = "prepare", "publish", "check", "labels", "train"
ROLES = {
    PREPARE: ("dev/data", "FlightsDatasetPrepareRole"),
    PUBLISH: ("dev/data", "FlightsDatasetPublishRole"),
    CHECK: ("dev/data", "FlightsDatasetQualityRole"),
    LABELS: ("dev/data", "FlightsDatasetLabelsRole"),
    TRAIN: ("dev/flight-delay-training", "TrainingJobRole"),
}
PART = "flights/load=20130102T030405-ab12/day=2013-01-01/part-0.parquet"
BAD = "flights/day=2013-01-01/load=20130102T030405-ab12/part-0.parquet"
WRITING = ("s3:PutObject", "s3:DeleteObject")
REGISTERING = ("glue:BatchCreatePartition", "glue:BatchUpdatePartition", "glue:BatchDeletePartition")


def text_of(resource: Any) -> str:
    """A resource of a policy as text, with `raw` for the ARN of the raw bucket."""
    if isinstance(resource, str):
        return resource
    ((function, argument),) = resource.items()
    if function == "Fn::Join":
        return str(argument[0].join(text_of(part) for part in argument[1]))
    name = str(argument[0] if function == "Fn::GetAtt" else argument)
    zones = [zone for zone in (RAW, CURATED, QUARANTINE, CAPTURE, ARTIFACTS) if f"Lake{zone.capitalize()}" in name]
    return zones[0] if zones else f"<{name}>"


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements_of(template: Template, role: str) -> list[Mapping[str, Any]]:
    (name,) = [
        key for key, each in template["Resources"].items() if each["Type"] == "AWS::IAM::Role" and key.startswith(role)
    ]
    return [
        statement
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": name} in resource["Properties"]["Roles"]
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]


@pytest.fixture
def allowed(templates: Templates) -> Allowed:
    """Whether a role may do something: the role, an action, and a bucket, `bucket/key` or the end of an ARN."""

    def judge(role: str, action: str, resource: str) -> bool:
        stack, logical_id = ROLES[role]
        statements = statements_of(templates[stack], logical_id)
        assert {statement["Effect"] for statement in statements} == {"Allow"}
        return any(
            any(fnmatchcase(action, each) for each in as_list(statement["Action"]))
            and any(fnmatchcase(resource, text_of(each).rpartition(">:")[2]) for each in as_list(statement["Resource"]))
            for statement in statements
        )

    return judge


@pytest.mark.parametrize("table", ["flights", "weather", "planes", "airports"])
def test_spark_can_read_a_raw_table(table: str, allowed: Allowed) -> None:
    assert allowed(PREPARE, "s3:ListBucket", RAW)
    # A HEAD needs s3:GetObject: without it S3 answers 403 where Hadoop expects 404.
    for key in (table, f"{table}/", f"{table}_$folder$", f"{table}/day=2013-01-01/{table}.csv"):
        assert allowed(PREPARE, "s3:GetObject", f"{RAW}/{key}"), key


@pytest.mark.parametrize("action", ["s3:GetObject", *WRITING])
@pytest.mark.parametrize("key", ["flights", "flights/", "flights_$folder$", "flights/load=x/_temporary/0/one", PART])
def test_spark_can_write_days(action: str, key: str, allowed: Allowed) -> None:
    assert allowed(PREPARE, action, f"{CURATED}/{key}")


@pytest.mark.parametrize("action", WRITING)
def test_spark_can_put_bad_rows_into_quarantine_and_take_them_back(action: str, allowed: Allowed) -> None:
    assert allowed(PREPARE, action, f"{QUARANTINE}/{BAD}")


@pytest.mark.parametrize("bucket", [CURATED, QUARANTINE])
def test_spark_can_upload_in_parts_and_clean_up(bucket: str, allowed: Allowed) -> None:
    assert allowed(PREPARE, "s3:ListBucket", bucket)
    assert allowed(PREPARE, "s3:ListBucketMultipartUploads", bucket)
    for action in ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"):
        assert allowed(PREPARE, action, f"{bucket}/{PART}")


@pytest.mark.parametrize("role", [PREPARE, PUBLISH, CHECK])
@pytest.mark.parametrize("action", ["s3:GetObject", *WRITING])
@pytest.mark.parametrize(
    "resource",
    [
        f"{CURATED}/other/{PART}",
        f"{CURATED}/predictions/flight_delay/day=2013-01-01/part-0.parquet",
        f"{CURATED}/flights_v2",
        f"{CURATED}/flights_v2/part.parquet",
        f"{CURATED}/flight",
        f"{QUARANTINE}/other/{BAD}",
        f"{RAW}/flights_old/flights.csv",
        f"{RAW}/bookings/bookings.csv",
        f"{CAPTURE}/dev-flight-delay/live/one.jsonl",
        f"{ARTIFACTS}/flight_delay/model.tar.gz",
    ],
)
def test_no_role_of_the_dataset_reaches_another_folder(role: str, action: str, resource: str, allowed: Allowed) -> None:
    assert not allowed(role, action, resource)


@pytest.mark.parametrize("action", WRITING)
@pytest.mark.parametrize("key", ["flights", "flights_$folder$", "flights/day=2013-01-01/flights.csv"])
def test_raw_data_can_only_be_read(action: str, key: str, allowed: Allowed) -> None:
    for role in ROLES:
        assert not allowed(role, action, f"{RAW}/{key}")
    assert not allowed(PREPARE, "s3:ListBucketMultipartUploads", RAW)


def table(name: str) -> str:
    return f"table/mlops_dev/{name}"


@pytest.mark.parametrize("action", REGISTERING)
def test_preparing_claims_days_and_publishes_none(action: str, allowed: Allowed) -> None:
    assert allowed(PREPARE, action, table("flights_staged"))
    assert allowed(PREPARE, "glue:GetPartitions", table("flights"))
    assert not allowed(PREPARE, action, table("flights"))


@pytest.mark.parametrize("action", [*REGISTERING, "glue:GetPartitions"])
def test_publishing_changes_the_two_tables_of_its_dataset_alone(action: str, allowed: Allowed) -> None:
    for name in ("flights", "flights_staged"):
        assert allowed(PUBLISH, action, table(name))
    for name in ("flights_quarantine", "raw_flights", "flight_delay_predictions", "other", "other_staged"):
        assert not allowed(PUBLISH, action, table(name))


def test_nobody_changes_a_table_itself(allowed: Allowed) -> None:
    for role in ROLES:
        for action in ("glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"):
            assert not allowed(role, action, table("flights"))


def test_both_jobs_mark_what_they_replace_and_one_writes_the_manifest(allowed: Allowed) -> None:
    for role in (PREPARE, PUBLISH):
        # a copy onto itself with a tag
        for action in ("s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"):
            assert allowed(role, action, f"{CURATED}/{PART}")
    for name in ("manifest.json", "manifest.json.version", "manifests/0123abcd.json.version"):
        assert allowed(PUBLISH, "s3:PutObject", f"{CURATED}/flights/{name}")
    for key in (PART, BAD):
        assert not allowed(PUBLISH, "s3:GetObject", f"{QUARANTINE}/{key}")


def test_labels_read_published_days_and_write_what_became_of_them(allowed: Allowed) -> None:
    assert allowed(LABELS, "s3:GetObject", f"{CURATED}/{PART}")
    assert allowed(LABELS, "s3:ListBucket", CURATED)
    assert allowed(LABELS, "glue:GetPartitions", table("flights"))
    assert allowed(LABELS, "s3:PutObject", f"{CURATED}/flights/labels/flight_delay.json")
    assert allowed(LABELS, "s3:PutObject", f"{CAPTURE}/ground-truth/flight_delay/2013/07/05/06/one.jsonl")


def test_labels_change_nothing_else(allowed: Allowed) -> None:
    for key in (PART, "flights/manifest.json", "predictions/flight_delay/day=2013-01-01/part-0.parquet"):
        assert not allowed(LABELS, "s3:PutObject", f"{CURATED}/{key}")
    for key in ("dev-flight-delay/live/one.jsonl", "ground-truth/other/one.jsonl", "async/flight_delay/one"):
        assert not allowed(LABELS, "s3:PutObject", f"{CAPTURE}/{key}")
    assert not allowed(LABELS, "s3:GetObject", f"{CAPTURE}/ground-truth/flight_delay/one.jsonl")
    for resource in (f"{CURATED}/flights/labels/flight_delay.json", f"{CAPTURE}/ground-truth/flight_delay/one.jsonl"):
        assert not allowed(LABELS, "s3:DeleteObject", resource)
    for action in REGISTERING:
        assert not allowed(LABELS, action, table("flights"))


def test_checks_read_staged_days_and_write_nothing(allowed: Allowed) -> None:
    assert allowed(CHECK, "s3:GetObject", f"{CURATED}/{PART}")
    assert allowed(CHECK, "glue:GetPartitions", table("flights_staged"))
    assert not allowed(CHECK, "glue:GetPartitions", table("flights"))
    for action in (*REGISTERING, "glue:StartDataQualityRulesetEvaluationRun", "glue:UpdateDataQualityRuleset"):
        assert not allowed(CHECK, action, table("flights_staged"))
        assert not allowed(CHECK, action, "dataQualityRuleset/dev-flights")
    for action in WRITING:
        assert not allowed(CHECK, action, f"{CURATED}/{PART}")


def test_the_program_of_a_check_comes_out_of_glue_s_own_bucket(templates: Templates) -> None:
    read = [
        text_of(resource)
        for statement in statements_of(templates["dev/data"], "FlightsDatasetQualityRole")
        if "s3:GetObject" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    program = "arn:<AWS::Partition>:s3:::aws-glue-ml-data-quality-assets-<AWS::Region>/*"
    assert sorted(read) == sorted([program, "curated/flights", "curated/flights/*", "curated/flights_$folder$"])


def test_publishing_hands_the_role_of_checks_to_glue_and_to_nobody_else(templates: Templates) -> None:
    passing = [
        statement
        for statement in statements_of(templates["dev/data"], "FlightsDatasetPublishRole")
        if "iam:PassRole" in as_list(statement["Action"])
    ]
    (only,) = passing
    assert text_of(only["Resource"]).startswith("<FlightsDatasetQualityRole")
    assert only["Condition"] == {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}


def test_publishing_tells_as_the_data_platform_and_on_the_default_bus_only(templates: Templates) -> None:
    (tells,) = [
        statement
        for statement in statements_of(templates["dev/data"], "FlightsDatasetPublishRole")
        if "events:PutEvents" in as_list(statement["Action"])
    ]
    assert text_of(tells["Resource"]).endswith(":event-bus/default")
    assert tells["Condition"] == {"StringEquals": {"events:source": "mlops.data"}}


@pytest.mark.parametrize("action", ["glue:GetWorkflowRun", "glue:GetWorkflowRunProperties"])
def test_jobs_look_at_runs_of_their_own_workflow(action: str, allowed: Allowed) -> None:
    for role in (PREPARE, PUBLISH):
        assert allowed(role, action, "workflow/dev-flights")
        assert not allowed(role, action, "workflow/dev-other")
        assert not allowed(role, "glue:StartWorkflowRun", "workflow/dev-flights")


def test_training_sees_no_days_but_those_of_the_manifest_in_the_catalog_s_place(allowed: Allowed) -> None:
    assert allowed(TRAIN, "s3:GetObject", f"{CURATED}/flights/manifest.json")
    assert allowed(TRAIN, "s3:GetObject", f"{CURATED}/flights/manifests/0123abcd.json")
    for action in ("glue:GetTable", "glue:GetPartition", "glue:GetPartitions"):
        for name in ("flights", "flights_staged", "flights_quarantine"):
            assert not allowed(TRAIN, action, table(name))


def test_training_reads_no_bad_rows_and_changes_no_days(allowed: Allowed) -> None:
    assert not allowed(TRAIN, "s3:GetObject", f"{QUARANTINE}/{BAD}")
    assert not allowed(TRAIN, "s3:ListBucket", QUARANTINE)
    for action in WRITING:
        assert not allowed(TRAIN, action, f"{CURATED}/{PART}")
