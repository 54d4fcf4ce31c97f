"""The tuning step: what it renders to, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_constructs import pipeline_schema
from mlops_constructs.pipeline_definition import PipelineDefinition
from mlops_constructs.pipeline_steps import (
    CategoricalRange,
    ContinuousRange,
    IntegerRange,
    InvalidPipelineError,
    JobNetwork,
    JobResources,
    ProcessingStep,
    TrainingStep,
    TuningObjective,
    TuningStep,
)

ROLE = "arn:aws:iam::123456789012:role/jobs"
RESOURCES = JobResources(instance_type="ml.m5.large", max_runtime_seconds=600)
OBJECTIVE = TuningObjective(metric="validation:auc", regex="auc=(.*)", goal="Maximize")
DEPTH = IntegerRange(minimum=3, maximum=10)


def training(**changes: Any) -> TrainingStep:
    options: dict[str, Any] = {"channels": {"train": "s3://b/train"}, "output_path": "s3://b/model"} | changes
    return TrainingStep(name="Train", image_uri="image", role_arn=ROLE, resources=RESOURCES, **options)


def tuning(**changes: Any) -> TuningStep:
    options: dict[str, Any] = {"ranges": {"max_depth": DEPTH}, "trials": 8, "parallel": 2} | changes
    return TuningStep(**({"name": "Tune", "training": training(), "objective": OBJECTIVE} | options))


def arguments(step: TuningStep) -> dict[str, Any]:
    """The step's arguments, once SageMaker's own input shape has taken them."""
    definition = PipelineDefinition(parameters=[], steps=[step])
    pipeline_schema.check(definition)
    return dict(definition.to_json()["Steps"][0]["Arguments"])


def test_every_kind_of_range_is_what_sagemaker_takes() -> None:
    ranges = {
        "max_depth": DEPTH,
        "learning_rate": ContinuousRange(minimum=0.01, maximum=0.3, scaling="Logarithmic"),
        "momentum": ContinuousRange(minimum=0, maximum=0.99, scaling="ReverseLogarithmic"),
        "booster": CategoricalRange(["gbtree", "dart"]),
    }
    assert arguments(tuning(ranges=ranges))["HyperParameterTuningJobConfig"]["ParameterRanges"] == {
        "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "3", "MaxValue": "10", "ScalingType": "Auto"}],
        "ContinuousParameterRanges": [
            {"Name": "learning_rate", "MinValue": "0.01", "MaxValue": "0.3", "ScalingType": "Logarithmic"},
            {"Name": "momentum", "MinValue": "0", "MaxValue": "0.99", "ScalingType": "ReverseLogarithmic"},
        ],
        "CategoricalParameterRanges": [{"Name": "booster", "Values": ["gbtree", "dart"]}],
    }


def test_limits_strategy_and_seed_are_passed_on() -> None:
    config = arguments(tuning(strategy="Random", seed=0, early_stopping=False))["HyperParameterTuningJobConfig"]
    assert config["Strategy"] == "Random"
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2}
    assert config["RandomSeed"] == 0
    assert config["TrainingJobEarlyStoppingType"] == "Off"
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Maximize", "MetricName": "validation:auc"}


def test_the_training_jobs_are_the_training_steps_with_the_objective_in_their_metrics() -> None:
    network = JobNetwork(subnet_ids=["subnet-1"], security_group_ids=["sg-1"])
    step = training(hyperparameters={"rounds": 50, "max_depth": 6}, environment={"A": "b"}, network=network)
    definition = arguments(tuning(training=step))["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"] == {"rounds": "50"}
    assert definition["Environment"] == {"A": "b"}
    assert definition["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert definition["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}
    assert {"Name": "validation:auc", "Regex": "auc=(.*)"} in definition["AlgorithmSpecification"]["MetricDefinitions"]


def test_a_step_that_uses_the_best_model_waits_for_the_tuning() -> None:
    step = tuning()
    evaluate = ProcessingStep(
        name="Evaluate", image_uri="image", role_arn=ROLE, command=["x"], resources=RESOURCES,
        inputs={"model": step.model_artifact, "second": step.top_model_artifact(1)},
    )  # fmt: skip
    rendered = PipelineDefinition(parameters=[], steps=[step, evaluate]).to_json()["Steps"][1]
    uris = [each["S3Input"]["S3Uri"]["Std:Join"]["Values"] for each in rendered["Arguments"]["ProcessingInputs"]]
    path = {"Get": "Steps.Tune.TrainingJobDefinition.OutputDataConfig.S3OutputPath"}
    assert uris == [
        [path, {"Get": "Steps.Tune.BestTrainingJob.TrainingJobName"}, "output/model.tar.gz"],
        [path, {"Get": "Steps.Tune.TrainingJobSummaries[1].TrainingJobName"}, "output/model.tar.gz"],
    ]
    with pytest.raises(InvalidPipelineError, match="'Tune' doesn't exist"):
        PipelineDefinition(parameters=[], steps=[evaluate])


def test_a_grid_has_as_many_trials_as_combinations() -> None:
    grid = tuning(strategy="Grid", trials=None, ranges={"booster": CategoricalRange(["gbtree", "dart"])})
    limits = arguments(grid)["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits == {"MaxParallelTrainingJobs": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranges": {}}, "needs 1 to 30 ranges, got 0"),
        ({"trials": None}, "trials must be at least 1, got None"),
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"parallel": 9}, r"parallel must be 1 to trials \(8\), got 9"),
        ({"parallel": 0}, r"parallel must be 1 to trials \(8\), got 0"),
        ({"strategy": "Grid"}, "leave trials out"),
        ({"strategy": "Grid", "trials": None}, "'max_depth' is none"),
    ],
)
def test_impossible_searches_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidPipelineError, match=message):
        tuning(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntegerRange(minimum=3, maximum=3), "must go up"),
        (lambda: IntegerRange(minimum=0, maximum=3, scaling="Logarithmic"), "start at 1 or above"),
        (lambda: IntegerRange(minimum=1, maximum=3, scaling="ReverseLogarithmic"), "not of whole numbers"),
        (lambda: ContinuousRange(minimum=1, maximum=0), "must go up"),
        (lambda: ContinuousRange(minimum=0, maximum=1, scaling="Logarithmic"), "start above 0"),
        (lambda: ContinuousRange(minimum=0, maximum=1, scaling="ReverseLogarithmic"), "from 0 to below 1"),
        (lambda: CategoricalRange([]), "values that differ"),
        (lambda: CategoricalRange([1, "1"]), "values that differ"),
    ],
)
def test_impossible_ranges_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidPipelineError, match=message):
        make()
