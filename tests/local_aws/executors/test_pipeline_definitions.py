"""Pipeline definitions: what is refused when a pipeline is created, and what the parameters of an execution may be."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.json_api import ApiError
from local_aws.sagemaker.pipeline_definition import PipelineDefinition
from local_aws.sagemaker.pipeline_policies import CachePolicy, RetryPolicy
from tests.local_aws.malformed import malformed

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1"
CLUSTER = {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}
Build = Callable[..., dict[str, Any]]


def processing(name: str = "Step", arguments: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    body = {"AppSpecification": {"ImageUri": IMAGE}, "ProcessingResources": CLUSTER, **(arguments or {})}
    return {"Name": name, "Type": "Processing", "Arguments": body, **keys}


def condition(*conditions: Any, **keys: Any) -> dict[str, Any]:
    return {"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": list(conditions), **keys}}


def fail(message: Any) -> dict[str, Any]:
    return {"Name": "Reject", "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def parse(*steps: Any, **sections: Any) -> PipelineDefinition:
    return PipelineDefinition.parse(json.dumps({"Version": "2020-12-01", "Steps": list(steps), **sections}))


FOLDER = {"InputName": "i", "S3Input": {"S3Uri": "s3://lake/a", "S3DataType": "Folder"}}
EQUAL = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
REFUSED = {
    "unknown type": ([{"Name": "T", "Type": "Lambda", "Arguments": {}}], "has the type 'Lambda'; the local AWS runs"),
    "no arguments": ([{"Name": "T", "Type": "Fail"}], "step 'T' has no Arguments"),
    "bad name": ([processing("a step")], "'a step' is no name of a step"),
    "not an object": (["step"], "Steps must be a list of objects"),
    "no steps": ([], "it has no steps"),
    "name twice": ([processing(), condition(EQUAL, IfSteps=[processing()])], "step name 'Step' is used more than once"),
    "unknown step": ([processing(DependsOn=["Gone"])], "refers to the step 'Gone', which doesn't exist"),
    "depends on text": ([processing(DependsOn="Gone")], "DependsOn must be a list of step names"),
    "circle": ([processing("A", DependsOn=["B"]), processing("B", DependsOn=["A"])], "A, B depend on each other"),
    "key of a step": ([processing(ClusterId="j")], "doesn't act on the key 'ClusterId' of a Processing step"),
    "cache of a gate": ([condition(EQUAL) | {"CacheConfig": {"Enabled": True}}], "'CacheConfig' of a Condition"),
    "cache duration": ([processing(CacheConfig={"Enabled": True, "ExpireAfter": "soon"})], "'soon' is no duration"),
    "retry policy": (
        [processing(RetryPolicies=[{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"]}])],
        "needs MaxAttempts or ExpireAfterMin",
    ),
    "unknown argument": (
        [processing(arguments={"AppSpecification": {"ImageURI": IMAGE}})],
        "Arguments.AppSpecification.ImageURI isn't known",
    ),
    "missing argument": ([processing(arguments={"AppSpecification": {}})], "AppSpecification.ImageUri is missing"),
    "another type": ([processing(arguments={"Environment": ["A"]})], "Arguments.Environment must be an object"),
    "argument out of its values": (
        [processing(arguments={"ProcessingInputs": [FOLDER]})],
        "Arguments.ProcessingInputs[0].S3Input.S3DataType must be one of",
    ),
    "property file": (
        [processing(PropertyFiles=[{"PropertyFileName": "R", "OutputName": "report", "FilePath": "r.json"}])],
        "the property file 'R' is in the output 'report', which isn't declared",
    ),
    "unknown parameter": ([fail({"Get": "Parameters.None"})], "'Parameters.None': the parameter doesn't exist"),
    "unknown property of the execution": ([fail({"Get": "Execution.Owner"})], "has no such property here"),
    "no reference": ([fail({"Get": "Pipeline.Name"})], "'Pipeline.Name': it is no reference"),
    "unknown property of a step": (
        [processing(), fail({"Get": "Steps.Step.ModelArtifacts.S3ModelArtifacts"})],
        "a Processing step has no property 'ModelArtifacts.S3ModelArtifacts'",
    ),
    "undeclared property file": (
        [processing(), fail({"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Step.PropertyFiles.R"}, "Path": "a"}})],
        "the property file isn't declared",
    ),
    "reference inside a branch": ([condition(EQUAL, ElseSteps=[fail({"Get": "Parameters.None"})])], "Parameters.None"),
    "join": ([fail({"Std:Join": {"Values": ["a"]}})], "Std:Join needs On and a list of Values"),
    "unknown function": ([fail({"Std:Split": {}})], "doesn't have the function Std:Split"),
    "unknown condition": ([condition({"Type": "Matches"})], "conditions of the type 'Matches' aren't known"),
    "half a condition": ([condition({"Type": "Equals", "LeftValue": 1})], "Equals needs a LeftValue and a RightValue"),
    "no condition": ([condition()], "it has no valid Conditions"),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "problem"), REFUSED.values(), ids=REFUSED)
def test_refused_with_the_place_and_the_reason(steps: list[Any], problem: str) -> None:
    with pytest.raises(ApiError) as raised:
        parse(*steps)
    assert raised.value.code == "ValidationException"
    assert problem in raised.value.message
    assert raised.value.message.startswith("Unable to parse pipeline definition: ")


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"Version": "2019"}, "Version must be '2020-12-01'"),
        ({"MlflowConfig": {"MlflowResourceArn": "a"}}, "doesn't act on its key 'MlflowConfig'"),
        (
            {"PipelineExperimentConfig": {"TrialName": {"Get": "Steps.A.Outcome"}}},
            "'Steps.A.Outcome': the step doesn't",
        ),
        ({"PipelineExperimentConfig": "trial"}, "PipelineExperimentConfig must be an object"),
        ({"Parameters": [{"Name": "P", "Type": "List"}]}, "parameter 'P' has the unknown type 'List'"),
        ({"Parameters": [{"Name": "a b", "Type": "String"}]}, "'a b' is no name of a parameter"),
        ({"Parameters": [{"Name": "P", "Type": "Integer", "DefaultValue": 1.5}]}, "the default of parameter 'P'"),
        ({"Parameters": [{"Name": "P", "Type": "String"}] * 2}, "parameter name 'P' is used more than once"),
    ],
)
def test_broken_sections_are_refused(sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ApiError) as raised:
        parse(processing(), **sections)
    assert problem in raised.value.message


def test_sections_that_are_empty_or_described_are_accepted() -> None:
    experiment = {"ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": "trial"}
    definition = parse(
        processing(), fail({"Get": "PipelineExperimentConfig.ExperimentName"}),
        Metadata={}, MlflowConfig=None, PipelineExperimentConfig=experiment,
    )  # fmt: skip
    assert list(definition.steps) == ["Step", "Reject"]


PARAMETERS = [
    {"Name": "Text", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
    {"Name": "Count", "Type": "Integer"},
    {"Name": "Share", "Type": "Float", "DefaultValue": 1},
    {"Name": "Flag", "Type": "Boolean", "DefaultValue": True},
]


def test_parameters_get_their_types_and_defaults() -> None:
    values = parse(processing(), Parameters=PARAMETERS).values({"Count": "3", "Flag": "False"})
    assert values == {"Text": "a", "Count": 3, "Share": 1.0, "Flag": False}
    assert [type(value) for value in values.values()] == [str, int, float, bool]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, r"Parameter \[Count\] is required: it has no default value"),
        ({"Count": "3.5"}, r"Parameter \[Count\] must be of type Integer, got '3.5'"),
        ({"Count": "3", "Share": "much"}, r"Parameter \[Share\] must be of type Float"),
        ({"Count": "3", "Flag": "yes"}, r"Parameter \[Flag\] must be of type Boolean"),
        ({"Count": "3", "Text": "c"}, r"Parameter \[Text\] must be one of a, b, got 'c'"),
        ({"Count": "3", "Other": "1"}, r"Unknown parameter \[Other\]"),
    ],
)
def test_wrong_parameters_are_refused_when_an_execution_starts(
    pipeline: Any, given: dict[str, str], problem: str
) -> None:
    pipeline.create(pipeline.processing("Step"), parameters=PARAMETERS)
    with pytest.raises(ClientError, match=problem):
        pipeline.start(given)
    assert not pipeline.sagemaker.list_pipeline_executions(PipelineName="model")["PipelineExecutionSummaries"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("P1D", 86400), ("30d", 30 * 86400), ("T12H", 43200), ("P1DT1H1M1S", 90061), ("PT5M", 300)]
)
def test_cache_durations(text: str, seconds: int) -> None:
    expire_after = CachePolicy.parse({"Enabled": True, "ExpireAfter": text}).expire_after
    assert expire_after is not None
    assert expire_after.total_seconds() == seconds


def test_retries_pause_longer_each_time_and_end() -> None:
    base = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 10, "BackoffRate": 2.0}
    assert list(RetryPolicy.parse({**base, "MaxAttempts": 4}).pauses()) == [10, 20, 40]
    assert list(RetryPolicy.parse({**base, "ExpireAfterMin": 1}).pauses()) == [10, 20]
    immediate = RetryPolicy.parse({**base, "IntervalSeconds": 0, "ExpireAfterMin": 0.01})
    assert sum(1 for _ in immediate.pauses()) < 10, "no endless loop"


def everything() -> dict[str, Any]:
    """Return a definition that uses every construct."""
    target = {"LocalPath": "/opt/ml/processing/o", "S3Uri": "s3://lake/a", "S3UploadMode": "EndOfJob"}
    prepare = processing(
        arguments={"ProcessingOutputConfig": {"Outputs": [{"OutputName": "o", "S3Output": target}]}},
        PropertyFiles=[{"PropertyFileName": "R", "OutputName": "o", "FilePath": "r.json"}],
        CacheConfig={"Enabled": True, "ExpireAfter": "P1D"},
        RetryPolicies=[{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 2}],
    )
    value = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Step.PropertyFiles.R"}, "Path": "a"}}
    gate = condition(
        {
            "Type": "Or",
            "Conditions": [
                {"Type": "In", "QueryValue": {"Get": "Parameters.P"}, "Values": [1]},
                {"Type": "Not", "Condition": {"Type": "Equals", "LeftValue": value, "RightValue": 1}},
            ],
        },
        ElseSteps=[fail({"Std:Join": {"On": " ", "Values": ["a", {"Get": "Execution.PipelineName"}]}})],
    )
    return {
        "Version": "2020-12-01",
        "Parameters": [{"Name": "P", "Type": "Integer", "DefaultValue": 1, "EnumValues": [1, 2]}],
        "PipelineExperimentConfig": {"ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": "x"},
        "Steps": [prepare, gate],
    }


def test_no_malformed_definition_breaks_the_reader() -> None:
    PipelineDefinition.parse(json.dumps(everything()))
    replacements: list[Any] = [
        None, 5, True, 1e400, "x", [], [None], {}, {"a": 1}, {"Get": 5}, {"Get": "Steps"}, {"Get": "Steps.Step"},
        {"Get": "Steps.Step."}, {"Std:Join": {"On": 1, "Values": [1]}},
    ]  # fmt: skip
    for place, document in malformed(everything(), replacements):
        try:
            with contextlib.suppress(ApiError):
                PipelineDefinition.parse(json.dumps(document))
        except Exception as error:
            raise AssertionError(place) from error
