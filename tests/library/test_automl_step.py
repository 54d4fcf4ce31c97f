"""The steps of a searched model: what they render to, what they refuse, and what the pipeline may do for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms

from mlops_constructs import pipeline_schema
from mlops_constructs.pipeline_definition import PipelineDefinition
from mlops_constructs.pipeline_steps import (
    AutoMLStep,
    InvalidPipelineError,
    JobNetwork,
    JobResources,
    ModelStep,
    TransformStep,
)
from mlops_constructs.runtime_image import RuntimeImage
from mlops_constructs.training_pipeline import TrainingPipeline

ROLE = "arn:aws:iam::123456789012:role/jobs"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
NETWORK = JobNetwork(subnet_ids=["subnet-1"], security_group_ids=["sg-1"])
BEST = "Steps.Search.BestCandidate.InferenceContainers[0]"


def search(**changes: Any) -> AutoMLStep:
    options: dict[str, Any] = {"problem": "BinaryClassification", "objective": "AUC", "training": "s3://b/train/"}
    return AutoMLStep(name="Search", role_arn=ROLE, target="late", output_path="s3://b/out", **(options | changes))


def steps(*asked: Any) -> list[dict[str, Any]]:
    """The steps as rendered, once SageMaker's own input shapes have taken them."""
    definition = PipelineDefinition(parameters=[], steps=asked)
    pipeline_schema.check(definition)
    return list(definition.to_json()["Steps"])


def test_a_search_is_what_createautomljob_takes_in_the_mode_that_pipelines_need() -> None:
    (step,) = steps(search(validation="s3://b/validation/", kms_key_arn=KEY, network=NETWORK, candidates=5))
    assert step["Type"] == "AutoML"
    arguments = step["Arguments"]
    assert [each["ChannelType"] for each in arguments["InputDataConfig"]] == ["training", "validation"]
    assert {each["TargetAttributeName"] for each in arguments["InputDataConfig"]} == {"late"}
    config = arguments["AutoMLJobConfig"]
    assert config["Mode"] == "ENSEMBLING"
    assert config["CompletionCriteria"] == {"MaxCandidates": 5, "MaxAutoMLJobRuntimeInSeconds": 3600}
    assert config["SecurityConfig"]["VolumeKmsKeyId"] == arguments["OutputDataConfig"]["KmsKeyId"] == KEY
    assert config["SecurityConfig"]["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}


def test_rows_are_scored_by_the_best_candidates_own_container() -> None:
    step = search()
    environment = step.environment(["probabilities", "labels"])
    model = ModelStep(
        name="Candidate", role_arn=ROLE, image_uri=step.image, model_artifact=step.model_artifact,
        environment=environment, network=NETWORK,
    )  # fmt: skip
    score = TransformStep(
        name="Score", model_name=model.model_name, data="s3://b/rows/", output_path="s3://b/scores",
        resources=JobResources(instance_type="ml.m5.large"), kms_key_arn=KEY,
    )  # fmt: skip
    _, candidate, transform = (each["Arguments"] for each in steps(step, model, score))
    container = candidate["PrimaryContainer"]
    assert container["Image"] == {"Get": f"{BEST}.Image"}
    assert container["ModelDataUrl"] == {"Get": f"{BEST}.ModelDataUrl"}
    assert container["Environment"]["MODEL_NAME"] == {"Get": f"{BEST}.Environment['MODEL_NAME']"}
    assert container["Environment"]["SAGEMAKER_INFERENCE_OUTPUT"] == "probabilities,labels"
    assert transform["ModelName"] == {"Get": "Steps.Candidate.ModelName"}
    assert transform["TransformResources"]["VolumeKmsKeyId"] == transform["TransformOutput"]["KmsKeyId"] == KEY
    assert (transform["TransformInput"]["SplitType"], transform["TransformOutput"]["AssembleWith"]) == ("Line", "Line")


def test_a_regression_has_no_answers_to_choose_from() -> None:
    assert "SAGEMAKER_INFERENCE_OUTPUT" not in search(problem="Regression", objective="RMSE").environment()


@pytest.mark.parametrize("changes", [{"candidates": 0}, {"candidates": 751}, {"max_runtime_seconds": 0}])
def test_impossible_limits_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPipelineError, match="step 'Search'"):
        search(**changes)


def test_only_pipelines_that_search_may_search(
    stack: Stack, key: kms.Key, tmp_path: Path, statements: Callable[..., list[dict[str, Any]]]
) -> None:
    image = RuntimeImage(stack, "Image", repository_name="runtime", source=tmp_path, key=key)
    for name, asked in {"searches": [search()], "scores": [model_step(), transform_step()]}.items():
        pipeline = TrainingPipeline(stack, name, pipeline_name=name, image=image, key=key)
        pipeline.define(PipelineDefinition(parameters=[], steps=asked), description="x")
    found = {}
    for name in ("searches", "scores"):
        role = stack.get_logical_id(stack.node.find_child(name).node.find_child("PipelineRole").node.default_child)
        found[name] = {action for statement in statements(role) for action in statement["Action"]}
    assert {"sagemaker:CreateAutoMLJob", "sagemaker:StopAutoMLJob"} <= found["searches"] - found["scores"]
    assert {"sagemaker:CreateModel", "sagemaker:CreateTransformJob"} <= found["scores"] - found["searches"]
    assert "sagemaker:CreateHyperParameterTuningJob" not in found["searches"] | found["scores"]


def model_step() -> ModelStep:
    return ModelStep(name="Candidate", role_arn=ROLE, image_uri="image", model_artifact="s3://b/model.tar.gz")


def transform_step() -> TransformStep:
    return TransformStep(
        name="Score", model_name=model_step().model_name, data="s3://b/rows/", output_path="s3://b/scores",
        resources=JobResources(instance_type="ml.m5.large"),
    )  # fmt: skip
