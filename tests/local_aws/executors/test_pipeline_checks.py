"""QualityCheck and ClarifyCheck steps: real baselines and real bias metrics, and what is refused."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from botocore.exceptions import ClientError

from local_aws.sagemaker.checks.analyzer import sketch_of
from tests.local_aws.executors.pipeline_builder import PipelineBuilder

REGISTRY = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
ANALYZER = f"{REGISTRY}/sagemaker-model-monitor-analyzer:latest"
CLARIFY = f"{REGISTRY}/sagemaker-clarify-processing:1.0"
# 4 of 10 are in group 7; of them 1 is late, of the 6 others 3 are
ROWS = pl.DataFrame(
    {
        "origin": pl.Series([7, 7, 7, 7, 5, 5, 5, 5, 5, 5] * 10),
        "distance": pl.Series([100.0, 200.0, None, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, -1.0] * 10),
        "gate": ["A", "B"] * 50,
        "late": pl.Series([1, 0, 0, 0, 1, 1, 1, 0, 0, 0] * 10),
    }
)
ANALYSIS = {
    "dataset_type": "application/x-parquet",
    "label": "late",
    "label_values_or_threshold": [1],
    "facet": [
        {"name_or_index": "origin", "value_or_threshold": [7]},
        {"name_or_index": "distance", "value_or_threshold": [550]},
    ],
    "group_variable": "gate",
    "methods": {"pre_training_bias": {"methods": "all"}, "report": {"name": "report", "title": "Analysis Report"}},
}


@pytest.fixture
def s3(server: Any, sagemaker: Any) -> Any:
    del sagemaker
    client, buffer = server.client("s3"), io.BytesIO()
    ROWS.write_parquet(buffer)
    client.put_object(Bucket="lake", Key="rows/part.parquet", Body=buffer.getvalue())
    client.put_object(Bucket="lake", Key="text/part.csv", Body=ROWS.write_csv().encode())
    client.put_object(Bucket="lake", Key="config/analysis_config.json", Body=json.dumps(ANALYSIS).encode())
    return client


def read(s3: Any, key: str) -> Any:
    return json.loads(s3.get_object(Bucket="lake", Key=key)["Body"].read())


def source(name: str, uri: Any, path: str) -> dict[str, Any]:
    place = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/input/{path}", "S3DataType": "S3Prefix"}
    return {"InputName": name, "S3Input": {**place, "S3InputMode": "File"}}


def check(name: str, kind: str, check_type: str, image: str, inputs: list[Any], **extra: Any) -> dict[str, Any]:
    target = {"S3Uri": f"s3://lake/out/{name}", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
    arguments = {
        "AppSpecification": {"ImageUri": image},
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "result", "S3Output": target}]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        **extra.pop("arguments", {}),
    }
    flags = {"CheckType": check_type, "SkipCheck": True, "RegisterNewBaseline": True}
    return {"Name": name, "Type": kind, "Arguments": arguments, **flags, **extra}


def quality(kind: str = "parquet", rows: str = "s3://lake/rows", **extra: Any) -> dict[str, Any]:
    environment = {
        "dataset_format": json.dumps({kind: {}}),
        "dataset_source": "/opt/ml/processing/input/baseline_dataset_input",
        "output_path": "/opt/ml/processing/output",
        "publish_cloudwatch_metrics": "Disabled",
    }
    inputs = [source("baseline_dataset_input", rows, "baseline_dataset_input")]
    arguments = {"Environment": environment}
    return check("Quality", "QualityCheck", "DATA_QUALITY", ANALYZER, inputs, arguments=arguments, **extra)


def bias(**extra: Any) -> dict[str, Any]:
    inputs = [source("analysis_config", "s3://lake/config", "config"), source("dataset", "s3://lake/rows", "data")]
    return check("Bias", "ClarifyCheck", "DATA_BIAS", CLARIFY, inputs, **extra)


def run(pipeline: PipelineBuilder, *steps: Any, status: str = "Succeeded", **start: Any) -> dict[str, Any]:
    pipeline.create(*steps, **start)
    execution = pipeline.start()
    ended = pipeline.ended(execution)
    listed = pipeline.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    assert ended["PipelineExecutionStatus"] == status, listed
    return {step["StepName"]: step for step in listed}


@pytest.mark.parametrize(("kind", "rows"), [("parquet", "s3://lake/rows"), ("csv", "s3://lake/text")])
def test_quality_of_data_has_statistics_and_constraints(
    pipeline: PipelineBuilder, s3: Any, kind: str, rows: str
) -> None:
    listed = run(pipeline, quality(kind, rows))
    statistics, constraints = (read(s3, f"out/Quality/{name}.json") for name in ("statistics", "constraints"))
    assert statistics["dataset"] == {"item_count": 100}
    features = {each["name"]: each for each in statistics["features"]}
    distance = features["distance"]["numerical_statistics"]
    known = ROWS["distance"].drop_nulls().to_numpy()
    assert distance["common"] == {"num_present": 90, "num_missing": 10}
    assert (distance["mean"], distance["std_dev"]) == pytest.approx((known.mean(), known.std()))
    buckets = distance["distribution"]["kll"]["buckets"]
    assert [bucket["count"] for bucket in buckets] == np.histogram(known, bins=10)[0].tolist()
    assert features["gate"]["string_statistics"]["distinct_count"] == 2
    bounds = {each["name"]: each for each in constraints["features"]}
    assert {name: each["inferred_type"] for name, each in bounds.items()} == {
        "origin": "Integral", "distance": "Fractional", "gate": "String", "late": "Integral",
    }  # fmt: skip
    assert bounds["distance"]["completeness"] == 0.9
    assert bounds["distance"]["num_constraints"] == {"is_non_negative": False}
    assert bounds["gate"]["string_constraints"] == {"domains": ["A", "B"]}
    told = listed["Quality"]["Metadata"]["QualityCheck"]
    assert told["CalculatedBaselineStatistics"] == "s3://lake/out/Quality/statistics.json"
    assert told["BaselineUsedForDriftCheckConstraints"] == "s3://lake/out/Quality/constraints.json"
    assert (told["CheckType"], told["SkipCheck"], told["RegisterNewBaseline"]) == ("DATA_QUALITY", True, True)


def test_a_sketch_stands_for_every_value_and_keeps_ranks() -> None:
    values = np.random.default_rng(1).normal(size=100_003)
    levels = sketch_of(values)
    assert sum(len(items) << level for level, items in enumerate(levels)) == len(values)
    assert sum(len(items) for items in levels) <= 2 * 2048
    for quantile in (0.01, 0.5, 0.9):
        point = float(np.quantile(values, quantile))
        rank = sum(sum(item <= point for item in items) << level for level, items in enumerate(levels))
        assert rank / len(values) == pytest.approx(quantile, abs=0.001)


def test_bias_of_data_is_measured_by_the_published_formulas(pipeline: PipelineBuilder, s3: Any) -> None:
    listed = run(pipeline, bias())
    report = read(s3, "out/Bias/analysis.json")["pre_training_bias_metrics"]
    assert (report["label"], report["label_value_or_threshold"]) == ("late", "1")
    (origin,), (distance,) = report["facets"]["origin"], report["facets"]["distance"]
    assert origin["value_or_threshold"] == "7"
    found = {each["name"]: each["value"] for each in origin["metrics"]}
    p_a, p_d = (0.5, 0.5), (0.75, 0.25)  # on time and late, of the others and of the facet

    def divergence(p: Any, q: Any) -> float:
        return sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))

    middle = tuple((x + y) / 2 for x, y in zip(p_a, p_d, strict=True))
    expected = {
        "CI": 0.2,
        "DPL": 0.25,
        "KL": divergence(p_a, p_d),
        "JS": (divergence(p_a, middle) + divergence(p_d, middle)) / 2,
        "LP": math.sqrt(2 * 0.25**2),
        "TVD": 0.25,
        "KS": 0.25,
        # gate A: 1 of 3 late ones is in the facet and 1 of 2 others, B: none of 1 and 2 of 4
        "CDDL": (50 * (1 / 2 - 1 / 3) + 50 * (2 / 4 - 0)) / 100,
    }
    assert found == pytest.approx(expected)
    # floating numbers with one value are those above it; a missing one isn't
    assert distance["value_or_threshold"] == "(550, inf)"
    assert {each["name"]: each["value"] for each in distance["metrics"]}["CI"] == pytest.approx((60 - 40) / 100)
    told = listed["Bias"]["Metadata"]["ClarifyCheck"]
    assert told["CalculatedBaselineConstraints"] == "s3://lake/out/Bias/analysis.json"
    assert told["CheckJobArn"].rpartition("/")[0].endswith("processing-job")


def reading(pipeline: PipelineBuilder, uri: Any) -> dict[str, Any]:
    return pipeline.processing("Read", arguments={"ProcessingInputs": [source("baseline", uri, "baseline")]})


def test_later_steps_use_what_a_check_has_calculated(pipeline: PipelineBuilder, s3: Any) -> None:
    known, unknown = ({"Get": f"Steps.Bias.CalculatedBaseline{report}"} for report in ("Constraints", "Statistics"))
    listed = run(pipeline, reading(pipeline, known), bias())
    assert listed["Read"]["StepStatus"] == "Succeeded"
    wrong = reading(pipeline, unknown)
    with pytest.raises(ClientError, match="a ClarifyCheck step has no property 'CalculatedBaselineStatistics'"):
        pipeline.create(wrong, bias())


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (bias() | {"CheckType": "MODEL_BIAS"}, "runs DATA_BIAS as a ClarifyCheck step, not MODEL_BIAS; use"),
        (bias() | {"CheckType": "MODEL_EXPLAINABILITY"}, "not MODEL_EXPLAINABILITY; use"),
        (quality() | {"CheckType": "MODEL_QUALITY"}, "not MODEL_QUALITY; use"),
        (quality() | {"CheckType": "DATA_BIAS"}, "runs DATA_QUALITY as a QualityCheck step, not DATA_BIAS"),
        (quality() | {"RetryPolicies": []}, "the key 'RetryPolicies' of a QualityCheck step"),
        (
            {
                "Name": "T",
                "Type": "Training",
                "Arguments": {"DebugRuleConfigurations": [{"RuleConfigurationName": "x"}]},
            },
            "the local AWS has no rules of SageMaker Debugger",
        ),
        (bias() | {"SuppliedBaselineConstraints": {"Get": "Steps.None.X"}}, "refers to the step 'None'"),
    ],
)
def test_what_is_not_run_is_refused_when_the_pipeline_is_made(
    pipeline: PipelineBuilder, step: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ClientError, match=reason):
        pipeline.create(step)


def test_a_comparison_fails_the_step_with_what_to_do(pipeline: PipelineBuilder, s3: Any) -> None:
    parameters = [{"Name": "Skip", "Type": "Boolean", "DefaultValue": False}]
    step = quality() | {"SkipCheck": {"Get": "Parameters.Skip"}}
    listed = run(pipeline, step, status="Failed", parameters=parameters)
    assert "compares nothing: SkipCheck must be true" in listed["Quality"]["FailureReason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "delayed"}, "there is no column 'delayed'; there are origin, distance, gate, late"),
        ({"facet": [{"name_or_index": "origin", "value_or_threshold": [1, 2]}]}, "0 of 100 rows are in it"),
        ({"methods": {"post_training_bias": {"methods": "all"}}}, "only pre_training_bias is measured here"),
        ({"methods": {"pre_training_bias": {"methods": ["XY"]}}}, "there is no metric XY"),
    ],
)
def test_an_analysis_that_can_t_be_made_fails_with_the_reason(
    pipeline: PipelineBuilder, s3: Any, change: dict[str, Any], reason: str
) -> None:
    s3.put_object(Bucket="lake", Key="config/analysis_config.json", Body=json.dumps(ANALYSIS | change).encode())
    listed = run(pipeline, bias(), status="Failed")
    assert reason in listed["Bias"]["FailureReason"]


def test_debugger_s_rules_are_refused(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="the local AWS has no rules of SageMaker Debugger"):
        sagemaker.create_training_job(
            TrainingJobName="watched",
            RoleArn="arn:aws:iam::123456789012:role/training",
            AlgorithmSpecification={"TrainingImage": ANALYZER, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://lake/models"},
            ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            DebugRuleConfigurations=[{"RuleConfigurationName": "Overfit", "RuleEvaluatorImage": ANALYZER}],
        )
