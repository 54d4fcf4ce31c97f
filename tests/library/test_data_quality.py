"""Checks of tables: rulesets as Glue reads them, and the two roles that have to do with runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from mlops_constructs.data_catalog import CatalogTable, Column, DataCatalog, TableSchema
from mlops_constructs.data_quality import DataQuality

Find = Callable[..., Any]


@pytest.fixture
def table(stack: Stack) -> CatalogTable:
    catalog = DataCatalog(stack, "Catalog", database_name="late_dev", description="Late or not")
    columns = [Column(name="number", type="int")]
    schema = TableSchema(description="Days", columns=columns, location="s3://lake/days/")
    return catalog.add_table("Days", name="days_staged", schema=schema)


@pytest.fixture
def quality(stack: Stack, table: CatalogTable) -> DataQuality:
    return DataQuality(stack, "Quality", table=table)


def add(quality: DataQuality, name: str, *rules: str) -> None:
    quality.add_ruleset(name.title(), name=name, description="Rules", rules=rules)


def role_of(statements: Find, stack: Stack, role: iam.Role) -> dict[str, Any]:
    """What a role may do: action to resources and condition."""
    logical_id = stack.get_logical_id(role.node.default_child)  # type: ignore[arg-type]
    found = {}
    for statement in statements(logical_id):
        for action in statement["Action"]:
            found.setdefault(action, []).append((str(statement["Resource"]), statement.get("Condition")))
    return found


def test_rules_become_one_ruleset_of_the_table(
    quality: DataQuality, table: CatalogTable, stack: Stack, resources: Find
) -> None:
    add(quality, "days", "RowCount > 0", 'IsComplete "number"')
    (found,) = resources("AWS::Glue::DataQualityRuleset").values()
    assert found["Properties"]["Ruleset"] == 'Rules = [\n    RowCount > 0,\n    IsComplete "number"\n]'
    assert found["Properties"]["TargetTable"] == {"DatabaseName": "late_dev", "TableName": "days_staged"}
    assert found["DependsOn"] == [stack.get_logical_id(table.table)]


def test_rulesets_are_named_in_the_order_that_they_were_added(quality: DataQuality) -> None:
    add(quality, "days", "RowCount > 0")
    add(quality, "another", "RowCount > 1")
    assert quality.ruleset_names == ["days", "another"]


def test_a_ruleset_without_rules_is_refused(quality: DataQuality) -> None:
    with pytest.raises(ValueError, match="the ruleset 'days' has no rules"):
        add(quality, "days")


def test_more_rulesets_than_a_run_takes_are_refused(quality: DataQuality) -> None:
    for number in range(10):
        add(quality, f"days{number}", "RowCount > 0")
    with pytest.raises(ValueError, match="at most 10 rulesets; 'more' is one too many"):
        add(quality, "more", "RowCount > 0")


def test_a_run_reads_its_table_and_program_and_publishes_what_it_finds(
    quality: DataQuality, stack: Stack, statements: Find
) -> None:
    found = role_of(statements, stack, quality.role)
    assert {"glue:GetTable", "glue:GetPartitions", "glue:GetDataQualityRuleset", "glue:PublishDataQuality"} <= set(
        found
    )
    ((program, _),) = found["s3:GetObject"]
    assert "aws-glue-ml-data-quality-assets-eu-west-1/*" in program
    ((_, condition),) = found["cloudwatch:PutMetricData"]
    assert condition == {"StringEquals": {"cloudwatch:namespace": ["Glue Data Quality"]}} or condition == {
        "StringEquals": {"cloudwatch:namespace": "Glue Data Quality"}
    }
    assert "glue:StartDataQualityRulesetEvaluationRun" not in found
    assert not [action for action in found if "*" in action]


def test_who_starts_runs_reads_results_and_hands_their_role_to_glue_alone(
    quality: DataQuality, stack: Stack, statements: Find
) -> None:
    role = iam.Role(stack, "Publisher", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
    quality.grant_evaluate(role)
    found = role_of(statements, stack, role)
    assert set(found) == {
        "glue:GetDataQualityResult",
        "glue:GetDataQualityRulesetEvaluationRun",
        "glue:StartDataQualityRulesetEvaluationRun",
        "iam:PassRole",
    }
    ((resource, condition),) = found["iam:PassRole"]
    assert str(stack.resolve(quality.role.role_arn)) in resource
    assert condition == {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}
