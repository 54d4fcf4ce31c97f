"""What a version says of its own origin, and that a commit trains nothing again that it hasn't changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import yaml

from stacks.model_settings import Model
from stacks.training_definition import Surroundings, training_definition
from tests.local_aws.executors.toy_lake import ToyPipeline

DECLARATION = """
name: toy
description: Is a flight late?
problem: binary_classification
data: {dataset: flights, label: late, features: [hour, distance, carrier]}
training: {test_days: 5, validation_days: 5, hyperparameters: {rounds: 10}}
gate: {metric: auc, minimum: 0.55}
"""
FIRST, SECOND = "a" * 40, f"{'b' * 40}-dirty"


def model(**training: Any) -> Model:
    declared = yaml.safe_load(DECLARATION)
    declared["training"] |= training
    return Model.model_validate(declared)


def taken_over(steps: dict[str, Any]) -> set[str]:
    return {name for name, step in steps.items() if "SourcePipelineExecutionArn" in step.get("CacheHitResult", {})}


def test_two_commits_of_the_same_content_train_once_and_each_version_names_its_own(
    server: Any,
    lake: Surroundings,
    toy: ToyPipeline,
) -> None:
    before = toy.registered(toy(training_definition(model(), replace(lake, commit=FIRST))))
    steps = toy(training_definition(model(), replace(lake, commit=SECOND)))
    assert taken_over(steps) == {"Prepare", "Train"}  # Evaluate asks the registry, and always runs
    after = toy.registered(steps)
    noted = [each["CustomerMetadataProperties"] for each in (before, after)]
    assert [each["Commit"] for each in noted] == [FIRST, SECOND]
    assert {name for name in noted[0] if noted[0][name] != noted[1][name]} == {"Commit"}
    assert noted[0]["Data"] == "s3://lake/manifest.json"
    assert noted[0]["Code"] == lake.code
    assert noted[0]["Runtime"] == lake.image_uri
    assert after["ModelLifeCycle"] == {"Stage": "Development", "StageStatus": "PendingApproval"}


def test_checkpoints_that_are_switched_on_are_not_looked_for_in_what_was_prepared_without(
    server: Any,
    lake: Surroundings,
    toy: ToyPipeline,
) -> None:
    toy.registered(toy(training_definition(model(), lake)))
    steps = toy(training_definition(model(checkpoints={}), lake))
    assert toy.registered(steps)["ModelApprovalStatus"] == "PendingManualApproval"
    assert taken_over(steps) == set()


def test_the_card_tells_the_commit_and_the_version_of_the_data(
    server: Any,
    lake: Surroundings,
    toy: ToyPipeline,
) -> None:
    package = toy.registered(toy(training_definition(model(), replace(lake, commit=FIRST))))
    told = json.loads(package["ModelCard"]["ModelCardContent"])["additional_information"]["custom_details"]
    assert told["commit"] == FIRST
    assert told["data_version"] == "s3://lake/manifest.json"
    page = toy.report(package, "model_card.html").decode()
    assert f"<code>{FIRST}</code>" in page


def test_a_version_moves_on_to_the_stage_that_it_is_put_into(
    server: Any,
    lake: Surroundings,
    toy: ToyPipeline,
) -> None:
    package = toy.registered(toy(training_definition(model(), lake)))
    assert package["CustomerMetadataProperties"]["Commit"] == "unknown"
    card = json.loads(package["ModelCard"]["ModelCardContent"])
    assert "commit" not in card["additional_information"]["custom_details"]
    stage = {"Stage": "Production", "StageStatus": "Approved", "StageDescription": "since the summer"}
    sagemaker = server.client("sagemaker")
    sagemaker.update_model_package(ModelPackageArn=package["ModelPackageArn"], ModelLifeCycle=stage)
    assert sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])["ModelLifeCycle"] == stage
    (listed,) = sagemaker.list_model_packages(ModelPackageGroupName="toy")["ModelPackageSummaryList"]
    assert listed["ModelLifeCycle"] == stage
    assert server.event(ModelLifeCycle=stage)["ModelPackageVersion"] == 1
