"""The data lake: private, encrypted, versioned where state matters, and events without a custom resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template

from mlops_constructs.data_lake import DataLake

Find = Callable[..., Any]


@pytest.fixture
def lake(stack: Stack, key: kms.Key, access_logs: s3.Bucket) -> DataLake:
    return DataLake(stack, "Lake", key=key, access_logs=access_logs)


@pytest.fixture
def role(stack: Stack) -> iam.Role:
    return iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))


def zones(resources: Find) -> dict[str, dict[str, Any]]:
    return {key: value for key, value in resources("AWS::S3::Bucket").items() if key.startswith("Lake")}


def zone(resources: Find, name: str) -> dict[str, Any]:
    (found,) = [value["Properties"] for key, value in zones(resources).items() if key.startswith(f"Lake{name}")]
    return dict(found)


def test_every_zone_is_private_and_encrypted_with_the_key(lake: DataLake, stack: Stack, resources: Find) -> None:
    assert len(zones(resources)) == 5
    for bucket in zones(resources).values():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": stack.resolve(lake._key.key_arn),
        }
        assert rule["BucketKeyEnabled"] is True
        assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_plain_http_and_old_tls_are_denied_in_every_zone(lake: DataLake, resources: Find) -> None:
    policies = [each for name, each in resources("AWS::S3::BucketPolicy").items() if name.startswith("Lake")]
    assert len(policies) == 5
    for policy in policies:
        denied = [s["Condition"] for s in policy["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


def test_what_nothing_can_rebuild_is_versioned_and_the_rest_is_not(lake: DataLake, resources: Find) -> None:
    enabled = {"Status": "Enabled"}
    assert zone(resources, "Raw")["VersioningConfiguration"] == enabled
    assert zone(resources, "Artifacts")["VersioningConfiguration"] == enabled
    assert "VersioningConfiguration" not in zone(resources, "Curated")
    assert "VersioningConfiguration" not in zone(resources, "Capture")


def test_events_go_to_eventbridge_without_a_custom_resource(lake: DataLake, stack: Stack, resources: Find) -> None:
    for bucket in zones(resources).values():
        assert bucket["Properties"]["NotificationConfiguration"] == {
            "EventBridgeConfiguration": {"EventBridgeEnabled": True}
        }
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Lambda::Function", 0)
    assert {each["Type"] for each in template.to_json()["Resources"].values()} == {
        "AWS::KMS::Key",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
    }


def test_access_is_logged_by_zone(lake: DataLake, stack: Stack, access_logs: s3.Bucket, resources: Find) -> None:
    logging = zone(resources, "Raw")["LoggingConfiguration"]
    target = stack.resolve(access_logs.bucket_name)
    assert logging == {"DestinationBucketName": target, "LogFilePrefix": "raw/"}


def rules_of(resources: Find, name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = zone(resources, name)["LifecycleConfiguration"]["Rules"]
    return rules


def test_captured_requests_and_bad_rows_expire_and_nothing_else_does(
    stack: Stack, key: kms.Key, access_logs: s3.Bucket, resources: Find
) -> None:
    DataLake(
        stack,
        "Lake",
        key=key,
        access_logs=access_logs,
        capture_retention=Duration.days(7),
        quarantine_retention=Duration.days(8),
    )
    for name, days in (("Capture", 7), ("Quarantine", 8)):
        (expiring,) = [rule for rule in rules_of(resources, name) if "ExpirationInDays" in rule]
        assert expiring["ExpirationInDays"] == days
        assert not {"Prefix", "TagFilters"} & set(expiring)
    for name in ("Raw", "Artifacts"):
        assert not [rule for rule in rules_of(resources, name) if "ExpirationInDays" in rule]


def test_superseded_days_stay_for_a_week_and_published_ones_for_good(lake: DataLake, resources: Find) -> None:
    (expiring,) = [rule for rule in rules_of(resources, "Curated") if "ExpirationInDays" in rule]
    assert expiring["ExpirationInDays"] == 7
    assert expiring["TagFilters"] == [{"Key": "superseded", "Value": "true"}]


def test_folders_of_passing_artifacts_expire_by_themselves(
    stack: Stack, key: kms.Key, access_logs: s3.Bucket, resources: Find
) -> None:
    DataLake(stack, "Lake", key=key, access_logs=access_logs, passing={"queries/": Duration.days(30)})
    (expiring,) = [rule for rule in rules_of(resources, "Artifacts") if "ExpirationInDays" in rule]
    assert (expiring["Prefix"], expiring["ExpirationInDays"]) == ("queries/", 30)
    assert expiring["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_stale_uploads_end_in_every_zone(lake: DataLake, resources: Find) -> None:
    for bucket in zones(resources).values():
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        assert {"DaysAfterInitiation": 7} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]


def test_data_outlives_its_stack_unless_told_otherwise(lake: DataLake, resources: Find) -> None:
    assert {bucket["DeletionPolicy"] for bucket in zones(resources).values()} == {"Retain"}


def test_data_goes_with_its_stack_when_told_so(
    stack: Stack, key: kms.Key, access_logs: s3.Bucket, resources: Find
) -> None:
    DataLake(stack, "Lake", key=key, access_logs=access_logs, removal=RemovalPolicy.DESTROY)
    assert {bucket["DeletionPolicy"] for bucket in zones(resources).values()} == {"Delete"}


def test_a_reader_reads_its_prefixes_and_decrypts_and_nothing_else(
    lake: DataLake, role: iam.Role, stack: Stack, statements: Find
) -> None:
    lake.grant_read(role, "raw", "flights/", "weather/")
    raw = stack.resolve(lake.raw.bucket_arn)
    keys = [f"/{table}{rest}" for table in ("flights", "weather") for rest in ("/*", "", "_$folder$")]
    allowed = {action: sorted(each["Resource"], key=str) for each in statements() for action in each["Action"]}
    assert allowed == {
        "s3:GetObject": sorted(({"Fn::Join": ["", [raw, key]]} for key in keys), key=str),
        "s3:GetBucketLocation": [raw],
        "s3:ListBucket": [raw],
        "kms:Decrypt": [stack.resolve(lake._key.key_arn)],
        "kms:DescribeKey": [stack.resolve(lake._key.key_arn)],
    }


def test_a_writer_may_encrypt_and_delete_under_its_prefix_only(
    lake: DataLake, role: iam.Role, stack: Stack, statements: Find
) -> None:
    lake.grant_read_write(role, "curated", "late/")
    curated = stack.resolve(lake.curated.bucket_arn)
    allowed = {action: each["Resource"] for each in statements() for action in each["Action"]}
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:GetObject", "s3:AbortMultipartUpload"):
        assert [each["Fn::Join"][1] for each in allowed[action]] == [
            [curated, "/late"],
            [curated, "/late/*"],
            [curated, "/late_$folder$"],
        ]
    assert allowed["s3:ListBucketMultipartUploads"] == [curated]
    assert {"kms:Encrypt", "kms:GenerateDataKey", "kms:Decrypt"} <= set(allowed)
    assert not [action for action in allowed if "*" in action]


def test_a_grant_without_a_prefix_covers_the_zone(lake: DataLake, role: iam.Role, stack: Stack) -> None:
    lake.grant_read(role, "artifacts")
    everything = {"Fn::Join": ["", [stack.resolve(lake.artifacts.bucket_arn), "/*"]]}
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with([Match.object_like({"Action": "s3:GetObject", "Resource": everything})])
            }
        },
    )
