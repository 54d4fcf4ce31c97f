"""The catalog: typed tables, partitions that are registered or computed, and grants table by table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam

from mlops_constructs.data_catalog import CatalogTable, Column, DataCatalog, Projection, TableSchema, daily, hourly

Find = Callable[..., Any]
DAY = Column(name="day", type="date")
NUMBER = Column(name="number", type="int", comment="Counts")


@pytest.fixture
def catalog(stack: Stack) -> DataCatalog:
    return DataCatalog(stack, "Catalog", database_name="late_dev", description="Late or not")


@pytest.fixture
def role(stack: Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))


def schema(**changes: Any) -> TableSchema:
    return TableSchema(**{"description": "Days", "columns": [NUMBER], "location": "s3://lake/days/"} | changes)


def add(catalog: DataCatalog, **changes: Any) -> CatalogTable:
    return catalog.add_table("Days", name="days", schema=schema(**changes), owner="somebody@example.com")


def table(resources: Find) -> dict[str, Any]:
    (found,) = resources("AWS::Glue::Table").values()
    return dict(found)


def test_a_table_says_what_it_is_and_who_answers_for_it(catalog: DataCatalog, resources: Find) -> None:
    add(catalog, parameters={"dataset": "days"})
    found = table(resources)["Properties"]["TableInput"]
    assert (found["Name"], found["Description"], found["Owner"]) == ("days", "Days", "somebody@example.com")
    assert found["StorageDescriptor"]["Columns"] == [{"Name": "number", "Type": "int", "Comment": "Counts"}]
    assert found["Parameters"] == {"EXTERNAL": "TRUE", "classification": "parquet", "dataset": "days"}


@pytest.mark.parametrize(
    ("name", "serde", "parameters"),
    [
        ("parquet", "ParquetHiveSerDe", {"serialization.format": "1"}),
        ("csv", "LazySimpleSerDe", {"field.delim": ",", "serialization.null.format": "NA"}),
        ("json", "JsonSerDe", {"ignore.malformed.json": "true"}),
    ],
)
def test_a_format_names_what_reads_it(
    name: str, serde: str, parameters: dict[str, str], catalog: DataCatalog, resources: Find
) -> None:
    add(catalog, format=name)
    found = table(resources)["Properties"]["TableInput"]
    reader = found["StorageDescriptor"]["SerdeInfo"]
    assert reader["SerializationLibrary"].rpartition(".")[2] == serde
    assert reader["Parameters"] == parameters
    assert found["Parameters"]["classification"] == name
    assert ("skip.header.line.count" in found["Parameters"]) is (name == "csv")


def test_a_day_s_partition_is_computed_from_its_folder(catalog: DataCatalog, resources: Find) -> None:
    keys, projection = daily("s3://lake/days/", "2013-01-01")
    add(catalog, partition_keys=keys, projection=projection)
    found = table(resources)["Properties"]["TableInput"]
    assert [(key["Name"], key["Type"]) for key in found["PartitionKeys"]] == [("day", "date")]
    assert found["Parameters"]["projection.enabled"] == "true"
    assert found["Parameters"]["storage.location.template"] == "s3://lake/days/day=${day}/"
    assert found["Parameters"]["projection.day.range"] == "2013-01-01,NOW"


def test_an_hour_s_partition_is_computed_from_four_folders(catalog: DataCatalog, resources: Find) -> None:
    keys, projection = hourly("s3://lake/truth/", "2013-04-05")
    add(catalog, partition_keys=keys, projection=projection, location="s3://lake/truth/")
    found = table(resources)["Properties"]["TableInput"]
    assert [key["Name"] for key in found["PartitionKeys"]] == ["year", "month", "day", "hour"]
    assert found["Parameters"]["storage.location.template"] == "s3://lake/truth/${year}/${month}/${day}/${hour}/"
    assert found["Parameters"]["projection.year.range"] == "2013,NOW"
    assert (found["Parameters"]["projection.hour.range"], found["Parameters"]["projection.hour.digits"]) == (
        "0,23",
        "2",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": [NUMBER, NUMBER]}, "number: a table has a column once"),
        ({"columns": [DAY], "partition_keys": [DAY]}, "day: a table has a column once, partition keys included"),
        ({"location": "s3://lake/days"}, "location must end with a slash, got 's3://lake/days'"),
        (
            {"partition_keys": [DAY], "projection": Projection(location="s3://lake/", rules={"hour": {}})},
            r"a projection needs a rule for each partition key: \['day'\]",
        ),
    ],
)
def test_a_table_that_cannot_be_queried_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schema(**changes)


def test_a_comment_that_glue_would_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="column 'number': a comment has at most 255 characters, got 256"):
        Column(name="number", type="int", comment="x" * 256)


def test_registered_partitions_outlive_their_stack_and_computed_tables_do_not(
    catalog: DataCatalog, resources: Find
) -> None:
    add(catalog, partition_keys=[DAY])
    keys, projection = daily("s3://lake/other/", "2013-01-01")
    catalog.add_table("Other", name="other", schema=schema(partition_keys=keys, projection=projection))
    kept = {
        each["Properties"]["TableInput"]["Name"]: each.get("DeletionPolicy")
        for each in resources("AWS::Glue::Table").values()
    }
    assert kept == {"days": "Retain", "other": None}
    assert {each["DeletionPolicy"] for each in resources("AWS::Glue::Database").values()} == {"Retain"}


def test_everything_goes_with_its_stack_when_told_so(stack: Stack, resources: Find) -> None:
    catalog = DataCatalog(stack, "Catalog", database_name="a", description="A", removal=RemovalPolicy.DESTROY)
    add(catalog, partition_keys=[DAY])
    for kind in ("AWS::Glue::Database", "AWS::Glue::Table"):
        assert {each["DeletionPolicy"] for each in resources(kind).values()} == {"Delete"}


def granted(statements: Find) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for statement in statements():
        for action in statement["Action"]:
            found[action] = sorted(
                str(each["Fn::Join"][1][-1]).rpartition("123456789012:")[2] for each in statement["Resource"]
            )
    return found


def test_a_reader_looks_up_one_table_and_changes_nothing(
    catalog: DataCatalog, role: iam.Role, statements: Find
) -> None:
    add(catalog, partition_keys=[DAY]).grant_read(role)
    place = ["catalog", "database/late_dev", "table/late_dev/days"]
    assert granted(statements) == {
        f"glue:{action}": place for action in ("GetDatabase", "GetTable", "GetPartition", "GetPartitions")
    }


def test_a_publisher_registers_partitions_and_leaves_the_table_as_it_is(
    catalog: DataCatalog, role: iam.Role, statements: Find
) -> None:
    add(catalog, partition_keys=[DAY]).grant_register(role)
    found = granted(statements)
    assert {"glue:BatchCreatePartition", "glue:BatchUpdatePartition", "glue:BatchDeletePartition"} < set(found)
    assert not [action for action in found if action.endswith("Table") and action != "glue:GetTable"]
    assert not [action for action in found if "*" in action]
