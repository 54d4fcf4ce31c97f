"""The workgroup: bounds that nobody overrides, and queries to begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from mlops_constructs.data_catalog import Column, DataCatalog, TableSchema
from mlops_constructs.query_workgroup import QueryWorkGroup

Find = Callable[..., Any]
Build = Callable[..., QueryWorkGroup]


@pytest.fixture
def build(stack: Stack, key: kms.Key, access_logs: s3.Bucket) -> Build:
    def make(**options: Any) -> QueryWorkGroup:
        return QueryWorkGroup(stack, "Queries", work_group_name="late-dev", results=access_logs, key=key, **options)

    return make


def work_group(resources: Find) -> dict[str, Any]:
    (found,) = resources("AWS::Athena::WorkGroup").values()
    return dict(found)


def test_results_are_encrypted_with_the_key_whatever_a_client_says(
    build: Build, stack: Stack, key: kms.Key, resources: Find
) -> None:
    build()
    configuration = work_group(resources)["Properties"]["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["ResultConfiguration"]["EncryptionConfiguration"] == {
        "EncryptionOption": "SSE_KMS",
        "KmsKey": stack.resolve(key.key_arn),
    }
    assert configuration["ResultConfiguration"]["OutputLocation"]["Fn::Join"][1][-1] == "/queries/"
    assert configuration["PublishCloudWatchMetricsEnabled"] is True


@pytest.mark.parametrize(("options", "limit"), [({}, 10), ({"limit_gb": 3}, 3)])
def test_a_query_reads_so_many_gigabytes_at_most(
    options: dict[str, int], limit: int, build: Build, resources: Find
) -> None:
    build(**options)
    configuration = work_group(resources)["Properties"]["WorkGroupConfiguration"]
    assert configuration["BytesScannedCutoffPerQuery"] == limit * 1_000_000_000


def test_a_limit_of_nothing_is_refused(build: Build) -> None:
    with pytest.raises(ValueError, match="limit_gb must be at least 1, got 0"):
        build(limit_gb=0)


@pytest.mark.parametrize(("removal", "goes"), [(RemovalPolicy.RETAIN, False), (RemovalPolicy.DESTROY, True)])
def test_the_history_goes_with_the_stack_only_when_told_so(
    removal: RemovalPolicy, goes: bool, build: Build, resources: Find
) -> None:
    build(removal=removal)
    found = work_group(resources)
    assert found["Properties"]["RecursiveDeleteOption"] is goes
    assert found["DeletionPolicy"] == ("Delete" if goes else "Retain")


def test_a_stored_query_starts_in_the_database_of_its_table(build: Build, stack: Stack, resources: Find) -> None:
    catalog = DataCatalog(stack, "Catalog", database_name="late_dev", description="Late or not")
    schema = TableSchema(description="Days", columns=[Column(name="a", type="int")], location="s3://lake/days/")
    table = catalog.add_table("Days", name="days", schema=schema)
    build().add_query("Rows", name="rows", description="Rows", table=table, sql="SELECT count(*) FROM days")
    (query,) = resources("AWS::Athena::NamedQuery").values()
    assert query["Properties"]["Database"] == "late_dev"
    assert query["Properties"]["QueryString"] == "SELECT count(*) FROM days"
    (group,) = resources("AWS::Athena::WorkGroup")
    assert query["Properties"]["WorkGroup"] == {"Ref": group}
