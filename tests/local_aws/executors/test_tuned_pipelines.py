"""Pipelines that tune and search: the platform's own definition, the runtime as container, on a small dataset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_cli.leaderboard import leaderboard_of
from mlops_cli.scoring import predictions_of
from stacks.model_settings import Model
from stacks.training_definition import Surroundings, training_definition
from tests.local_aws.executors.toy_lake import ROLE, ToyPipeline

DECLARATION = """
name: toy
description: Is a flight late?
problem: binary_classification
data: {dataset: flights, label: late, features: [hour, distance, carrier]}
training:
  test_days: 5
  validation_days: 5
  hyperparameters: {rounds: 10}
  tuning:
    ranges:
      learning_rate: {continuous: [0.001, 1.0], scale: log}
      rounds: {integer: [1, 60]}
    trials: 4
    parallel: 2
gate: {metric: auc, minimum: 0.55}
"""
SEARCHED = """
name: toy
description: Is a flight late?
problem: binary_classification
data: {dataset: flights, label: late, features: [hour, distance, carrier]}
training:
  test_days: 5
  validation_days: 5
  algorithm: automl
  automl: {candidates: 6, max_runtime_minutes: 1}
gate: {metric: auc, minimum: 0.55, champion: {margin: 0.05}}
fairness: {facets: [{feature: carrier, above: 800, action: warn}]}
"""


def test_the_best_of_four_training_jobs_is_evaluated_and_registered(
    server: Any, lake: Surroundings, toy: ToyPipeline, tmp_path: Path
) -> None:
    steps = toy(training_definition(Model.model_validate(yaml.safe_load(DECLARATION)), lake))
    assert "Train" not in steps
    sagemaker = server.client("sagemaker")
    name = steps["Tune"]["Metadata"]["TuningJob"]["Arn"].rpartition("/")[2]
    tuned = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    jobs = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, SortBy="FinalObjectiveMetricValue", SortOrder="Descending"
    )["TrainingJobSummaries"]
    values = [job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in jobs]
    assert len(values) >= 2
    assert values[0] > values[-1]
    best = tuned["BestTrainingJob"]["TrainingJobName"]
    assert best == jobs[0]["TrainingJobName"]
    package = sagemaker.describe_model_package(ModelPackageName=steps["Register"]["Metadata"]["RegisterModel"]["Arn"])
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"].endswith(f"/model/{best}/output/model.tar.gz")
    evaluated = steps["Evaluate"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    job = sagemaker.describe_processing_job(ProcessingJobName=evaluated)
    read = {each["InputName"]: each["S3Input"]["S3Uri"] for each in job["ProcessingInputs"]}
    assert read["model"] == container["ModelDataUrl"]

    board = leaderboard_of(sagemaker, "toy")
    assert [each.name for each in board.tried[:2]] == [job["TrainingJobName"] for job in jobs[:2]]
    assert board.tried[0].hyperparameters == tuned["BestTrainingJob"]["TunedHyperParameters"]
    assert len(board.tried) == 4

    again = toy()
    assert "SourcePipelineExecutionArn" in again["Tune"]["CacheHitResult"]
    version = again["Register"]["Metadata"]["RegisterModel"]["Arn"]
    second = sagemaker.describe_model_package(ModelPackageName=version)
    assert second["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == container["ModelDataUrl"]


def test_the_best_candidate_of_a_search_is_scored_judged_registered_and_answers(
    server: Any, lake: Surroundings, toy: ToyPipeline, wait: Callable[..., Any]
) -> None:
    steps = toy(training_definition(Model.model_validate(yaml.safe_load(SEARCHED)), lake))
    assert "Train" not in steps
    sagemaker = server.client("sagemaker")
    name = steps["Search"]["Metadata"]["AutoMLJob"]["Arn"].rpartition("/")[2]
    search = sagemaker.describe_auto_ml_job(AutoMLJobName=name)
    (best,) = search["BestCandidate"]["InferenceContainers"]
    board = leaderboard_of(sagemaker, "toy")
    assert board.tried[0].name == search["BestCandidate"]["CandidateName"]
    values = [each.value for each in board.tried]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)
    version = steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    package = sagemaker.describe_model_package(ModelPackageName=version)
    (container,) = package["InferenceSpecification"]["Containers"]
    assert (container["Image"], container["ModelDataUrl"]) == (best["Image"], best["ModelDataUrl"])
    assert container["Environment"]["SAGEMAKER_INFERENCE_OUTPUT"] == "probabilities,labels"
    report = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].removeprefix("s3://lake/")
    judged = json.loads(server.client("s3").get_object(Bucket="lake", Key=report)["Body"].read())
    # an hour of the day tells how late flights are: the candidate knows it on days that it hasn't seen
    assert judged["binary_classification_metrics"]["auc"]["value"] > 0.6
    assert judged["dataset"]["item_count"] == 200
    assert judged["champion"] == {"compared": False, "reason": "no version of toy is approved yet"}
    bias = json.loads(toy.report(package, "bias.json"))
    assert bias["post_training_bias_metrics"]["facets"]["carrier"][0]["value_or_threshold"] == "(800, inf)"
    assert package["ModelMetrics"]["Bias"]["Report"]["S3Uri"].endswith("/bias.json")
    card = json.loads(package["ModelCard"]["ModelCardContent"])
    assert card["additional_information"]["custom_details"]["algorithm_type"].startswith("SageMaker Autopilot")
    assert b"<h2>ROC</h2>" in toy.report(package, "model_card.html")

    sagemaker.update_model_package(ModelPackageArn=version, ModelApprovalStatus="Approved")
    again = json.loads(toy.report(toy.registered(toy()), "evaluation.json"))
    assert (again["champion"]["compared"], again["champion"]["version"], again["champion"]["rows"]) == (True, 1, 200)
    difference = again["champion"]["difference"]
    assert difference["champion"] == pytest.approx(judged["binary_classification_metrics"]["auc"]["value"])
    assert "champion, version 1" in again["gate"]["reason"]
    assert not [each for each in sagemaker.list_models()["Models"] if each["ModelName"].startswith("champion")]

    sagemaker.create_model(ModelName="toy", ExecutionRoleArn=ROLE, PrimaryContainer={"ModelPackageName": version})
    variant = {"VariantName": "live", "ModelName": "toy", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="toy", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="toy", EndpointConfigName="toy")
    wait(lambda: sagemaker.describe_endpoint(EndpointName="toy")["EndpointStatus"], lambda it: it == "InService")
    answer = server.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="toy", ContentType="text/csv", Body=b"5,100,400\n22,100,400\n"
    )
    late = predictions_of(answer["Body"].read().decode(), "toy")
    assert late[1] > late[0]
