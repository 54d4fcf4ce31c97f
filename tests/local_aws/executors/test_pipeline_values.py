"""Values in pipelines: expressions, JSON that steps wrote, and conditions on them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local_aws.executors.pipeline_builder import PipelineBuilder


def output_of(server: Any, key: str) -> str:
    return str(server.client("s3").get_object(Bucket="lake", Key=key)["Body"].read().decode())


def test_expressions_become_values_of_their_type(server: Any, pipeline: PipelineBuilder) -> None:
    execution_values = [{"Get": f"Execution.{name}"} for name in ("PipelineName", "PipelineExecutionId", "PipelineArn")]
    values = [{"Get": f"Parameters.{name}"} for name in ("Text", "Count", "Share", "Flag")]
    joined = {"Std:Join": {"On": "|", "Values": [*values, *execution_values]}}
    uri = {"Std:Join": {"On": "/", "Values": ["s3://lake", {"Get": "Parameters.Text"}]}}
    first = pipeline.processing(
        "First",
        {"Std:Join": {"On": "", "Values": ["write=processing/x/a.txt:", joined]}},
        outputs={"x": uri},  # type: ignore[dict-item]
        arguments={"StoppingCondition": {"MaxRuntimeInSeconds": {"Get": "Parameters.Count"}}},
    )
    of_first = [
        {"Get": f"Steps.First.{path}"}
        for path in (
            "ProcessingJobStatus",
            "ProcessingResources.ClusterConfig.InstanceCount",
            "AppSpecification.ImageUri",
            "Environment.COLOUR",
            "Environment['COLOUR']",
            "ProcessingOutputConfig.Outputs[0].OutputName",
            "StoppingCondition.MaxRuntimeInSeconds",
        )
    ]
    first["Arguments"]["Environment"]["COLOUR"] = {"Get": "Parameters.Share"}
    second = pipeline.processing(
        "Second",
        {
            "Std:Join": {
                "On": "",
                "Values": ["write=processing/y/b.txt:", {"Std:Join": {"On": "|", "Values": of_first}}],
            }
        },
        outputs={"y": "s3://lake/second"},
    )
    kinds = {"Text": ("String", "a/b"), "Count": ("Integer", 30), "Share": ("Float", 0.5), "Flag": ("Boolean", False)}
    arn = pipeline.create(
        second,
        first,
        parameters=[{"Name": name, "Type": kind, "DefaultValue": value} for name, (kind, value) in kinds.items()],
    )
    execution = pipeline.run({"Count": "45", "Flag": "true"})
    assert pipeline.describe(execution)["PipelineExecutionStatus"] == "Succeeded", pipeline.steps(execution)
    identity = execution.rpartition("/")[2]
    assert output_of(server, "a/b/a.txt") == f"a/b|45|0.5|true|model|{identity}|{arn}"
    assert output_of(server, "second/b.txt") == f"Completed|1|{pipeline.image}|0.5|0.5|x|45"


def test_json_can_be_read_from_any_uri_of_s3(server: Any, pipeline: PipelineBuilder) -> None:
    server.client("s3").put_object(Bucket="lake", Key="champion.json", Body=b'{"runs": [{"auc": 0.7}]}')
    read = {"Std:JsonGet": {"S3Uri": {"Get": "Parameters.Champion"}, "Path": "runs[0].auc"}}
    reject = {"Name": "Reject", "Type": "Fail", "Arguments": {"ErrorMessage": read}}
    pipeline.create(
        reject, parameters=[{"Name": "Champion", "Type": "String", "DefaultValue": "s3://lake/champion.json"}]
    )
    assert pipeline.steps(pipeline.run())["Reject"]["FailureReason"] == "0.7"
    missing = pipeline.steps(pipeline.run({"Champion": "s3://lake/none.json"}))["Reject"]["FailureReason"]
    assert "s3://lake/none.json can't be read" in missing


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ({"Type": "Equals", "LeftValue": {"Get": "Parameters.N"}, "RightValue": "3"}, "True"),
        ({"Type": "Equals", "LeftValue": "a", "RightValue": "A"}, "False"),
        ({"Type": "GreaterThan", "LeftValue": {"Get": "Parameters.N"}, "RightValue": 3}, "False"),
        ({"Type": "LessThan", "LeftValue": 2.5, "RightValue": {"Get": "Parameters.N"}}, "True"),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.N"}, "Values": ["1", "3"]}, "True"),
        ({"Type": "Not", "Condition": {"Type": "Equals", "LeftValue": 1, "RightValue": 1}}, "False"),
        (
            {
                "Type": "Or",
                "Conditions": [
                    {"Type": "Equals", "LeftValue": 1, "RightValue": 2},
                    {"Type": "LessThanOrEqualTo", "LeftValue": 2, "RightValue": 2},
                ],
            },
            "True",
        ),
    ],
    ids=lambda value: value["Type"] if isinstance(value, dict) else value,
)
def test_conditions(pipeline: PipelineBuilder, condition: dict[str, Any], outcome: str) -> None:
    step = {"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": [condition]}}
    pipeline.create(step, parameters=[{"Name": "N", "Type": "Integer", "DefaultValue": 3}])
    assert pipeline.steps(pipeline.run())["Check"]["Metadata"] == {"Condition": {"Outcome": outcome}}


def test_condition_on_what_is_no_number_fails_its_step(pipeline: PipelineBuilder) -> None:
    condition = {"Type": "LessThan", "LeftValue": "high", "RightValue": 1}
    pipeline.create({"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": [condition]}})
    assert "LessThan compares numbers, not 'high' and 1" in pipeline.steps(pipeline.run())["Check"]["FailureReason"]
