"""The API of rulesets, and what it refuses; nothing here evaluates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.glue import GlueService


@pytest.fixture
def glue(server: Any) -> Any:
    server.add(GlueService(server.context))
    client = server.client("glue")
    client.create_database(DatabaseInput={"Name": "mlops"})
    client.create_table(DatabaseName="mlops", TableInput={"Name": "flights"})
    return client


def test_rulesets_are_kept_changed_listed_and_deleted(glue: Any) -> None:
    table = {"DatabaseName": "mlops", "TableName": "flights"}
    rules = "Rules = [\n  RowCount > 1, # at least\n  IsComplete id\n]"
    made = glue.create_data_quality_ruleset(Name="a", Ruleset=rules, TargetTable=table, Tags={"team": "data"})
    assert made["Name"] == "a"
    glue.create_data_quality_ruleset(Name="b", Ruleset="Rules = [RowCount > 1]", Description="of a model")
    found = glue.get_data_quality_ruleset(Name="a")
    assert (found["Ruleset"], found["TargetTable"]) == (rules, table)
    assert found["CreatedOn"] == found["LastModifiedOn"]

    listed = glue.list_data_quality_rulesets(Filter={"TargetTable": table})["Rulesets"]
    assert [(each["Name"], each["RuleCount"]) for each in listed] == [("a", 2)]
    assert [each["Name"] for each in glue.list_data_quality_rulesets(Tags={"team": "data"})["Rulesets"]] == ["a"]
    assert [each["Name"] for each in glue.list_data_quality_rulesets(MaxResults=1)["Rulesets"]] == ["a"]
    assert [each["Name"] for each in glue.list_data_quality_rulesets(Filter={"Name": "b"})["Rulesets"]] == ["b"]
    tomorrow = found["CreatedOn"] + timedelta(days=1)
    assert len(glue.list_data_quality_rulesets(Filter={"CreatedBefore": tomorrow})["Rulesets"]) == 2
    assert glue.list_data_quality_rulesets(Filter={"LastModifiedAfter": tomorrow})["Rulesets"] == []
    arn = "arn:aws:glue:us-east-1:123456789012:dataQualityRuleset/a"
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {"team": "data"}

    changed = glue.update_data_quality_ruleset(Name="a", Ruleset="Rules = [RowCount > 2]", Description="new")
    assert changed["Ruleset"] == "Rules = [RowCount > 2]"
    assert glue.get_data_quality_ruleset(Name="a")["Description"] == "new"
    glue.delete_data_quality_ruleset(Name="a")
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {}
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.get_data_quality_ruleset(Name="a")


def test_rulesets_that_cannot_be_evaluated_are_refused_when_they_are_made_or_changed(glue: Any) -> None:
    with pytest.raises(ClientError, match=r"InvalidInputException.* ruleset a: line 1: rule Entropy: .*no rules of"):
        glue.create_data_quality_ruleset(Name="a", Ruleset='Rules = [Entropy "x" > 1]')
    glue.create_data_quality_ruleset(Name="a", Ruleset="Rules = [RowCount > 1]")
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        glue.create_data_quality_ruleset(Name="a", Ruleset="Rules = [RowCount > 1]")
    with pytest.raises(ClientError, match="InvalidInputException"):
        glue.update_data_quality_ruleset(Name="a", Ruleset="Rules = []")
    assert glue.get_data_quality_ruleset(Name="a")["Ruleset"] == "Rules = [RowCount > 1]"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"RulesetNames": ["none"]}, "EntityNotFoundException.*ruleset not found: none"),
        ({"DataSource": {"GlueTable": {"DatabaseName": "mlops", "TableName": "none"}}}, "EntityNotFoundException"),
        ({"DataSource": {}}, "either a GlueTable or a DataQualityGlueTable"),
        (
            {"DataSource": {"GlueTable": {"DatabaseName": "mlops", "TableName": "flights", "ConnectionName": "c"}}},
            "tables of S3",
        ),
        (
            {
                "DataSource": {
                    "GlueTable": {
                        "DatabaseName": "mlops",
                        "TableName": "flights",
                        "AdditionalOptions": {"mergeSchema": "true"},
                    }
                }
            },
            "knows the AdditionalOptions catalogPartitionPredicate, pushDownPredicate, not mergeSchema",
        ),
        ({"AdditionalRunOptions": {"ResultsS3Prefix": "s3://lake/r"}}, "doesn't evaluate with ResultsS3Prefix"),
        ({"AdditionalRunOptions": {"CompositeRuleEvaluationMethod": "ROW"}}, "CompositeRuleEvaluationMethod='ROW'"),
    ],
)
def test_runs_that_cannot_be_evaluated_are_refused(glue: Any, change: dict[str, Any], reason: str) -> None:
    glue.create_data_quality_ruleset(Name="a", Ruleset="Rules = [RowCount > 1]")
    request = {
        "DataSource": {"GlueTable": {"DatabaseName": "mlops", "TableName": "flights"}},
        "Role": "checks",
        "RulesetNames": ["a"],
    }
    with pytest.raises(ClientError, match=reason):
        glue.start_data_quality_ruleset_evaluation_run(**(request | change))
    assert glue.list_data_quality_ruleset_evaluation_runs()["Runs"] == []


def test_unknown_runs_and_results_are_refused(glue: Any) -> None:
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.get_data_quality_ruleset_evaluation_run(RunId="dqrun-none")
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.cancel_data_quality_ruleset_evaluation_run(RunId="dqrun-none")
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.get_data_quality_result(ResultId="dqresult-none")
