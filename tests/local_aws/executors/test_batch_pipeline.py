"""Batch inference: the platform's own definition, the runtime as container, on a small dataset."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
import yaml

from mlops_constructs.pipeline_definition import PipelineDefinition
from stacks.batch_definition import BatchSurroundings, batch_definition
from stacks.batch_settings import Batch
from stacks.model_settings import Model
from stacks.training_definition import Surroundings, training_definition
from tests.local_aws.executors.test_tuned_pipelines import SEARCHED
from tests.local_aws.executors.toy_lake import ROLE, ToyPipeline

DECLARATION = """
name: toy
description: Is a flight late?
problem: binary_classification
data: {dataset: flights, label: late, features: [hour, distance, carrier]}
training: {test_days: 5, validation_days: 5, hyperparameters: {rounds: 10}}
gate: {metric: auc, minimum: 0.55}
"""


def days(server: Any) -> dict[str, pl.DataFrame]:
    """The predictions that are published, by day."""
    s3 = server.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="lake", Prefix="predictions/").get("Contents", [])]
    assert len({key.split("/")[2] for key in keys}) == len(keys), "a day is one object"
    return {
        key.split("day=")[1][:10]: pl.read_parquet(
            io.BytesIO(s3.get_object(Bucket="lake", Key=key)["Body"].read()), hive_partitioning=False
        )
        for key in keys
    }


@pytest.fixture
def released(server: Any, lake: Surroundings, toy: ToyPipeline) -> Callable[[str], PipelineDefinition]:
    """Train a declared model, release it, and return the pipeline that predicts by it."""

    def release(declaration: str, batch: Batch | None = None) -> PipelineDefinition:
        sagemaker = server.client("sagemaker")
        model = Model.model_validate(yaml.safe_load(declaration))
        package = toy.registered(toy(training_definition(model, lake)))["ModelPackageArn"]
        sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
        sagemaker.create_model(
            ModelName="released", ExecutionRoleArn=ROLE, PrimaryContainer={"ModelPackageName": package}
        )
        surroundings = BatchSurroundings(
            image_uri=lake.image_uri,
            selection_role_arn=ROLE,
            publication_role_arn=ROLE,
            kms_key_arn="",
            model_name="released",
            model_package_arn=package,
            manifest=lake.manifest,
            predictions="s3://lake/predictions/toy",
            artifacts="s3://lake/artifacts/toy/batch",
            key=["hour", "distance"],
        )
        return batch_definition(model, batch or Batch(), surroundings)

    return release


def test_due_days_are_predicted_once_and_then_there_is_nothing_to_do(
    server: Any, toy: ToyPipeline, released: Callable[..., PipelineDefinition]
) -> None:
    steps = toy(released(DECLARATION, Batch(instance_count=2)))
    assert set(steps) == {"Select", "AnyRows", "Transform", "Publish"}
    found = days(server)
    assert list(found) == [f"2013-01-{day}" for day in range(24, 31)]
    assert {each.height for each in found.values()} == {40}
    table = found["2013-01-30"]
    assert table.columns[:4] == ["hour", "distance", "prediction", "predicted_class"]
    # the toy's flights are late late in the day
    evening, morning = (
        table.filter(part)["prediction"].to_list() for part in (pl.col("hour") > 18, pl.col("hour") < 9)
    )
    assert sum(evening) / len(evening) > sum(morning) / len(morning)
    assert set(toy()) == {"Select", "AnyRows"}


def test_a_container_that_refuses_rows_publishes_nothing(
    server: Any, toy: ToyPipeline, released: Callable[..., PipelineDefinition]
) -> None:
    definition = released(DECLARATION)
    sagemaker = server.client("sagemaker")
    sagemaker.delete_model(ModelName="released")
    broken = "import sys; sys.exit('no memory')"
    container = {"Image": server.image(broken, "broken")}
    sagemaker.create_model(ModelName="released", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    with pytest.raises(AssertionError, match=r"Transform: .*did not pass the ping health check"):
        toy(definition)
    execution = sagemaker.list_pipeline_executions(PipelineName="toy")["PipelineExecutionSummaries"][0]
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution["PipelineExecutionArn"])
    reasons = {each["StepName"]: each.get("FailureReason") for each in steps["PipelineExecutionSteps"]}
    assert "Publish" not in reasons
    assert "no memory" in str(reasons["Transform"])
    assert days(server) == {}


def test_version_of_an_automatic_search_predicts_days_as_well(
    server: Any, toy: ToyPipeline, released: Callable[..., PipelineDefinition]
) -> None:
    quick = SEARCHED.replace("candidates: 6", "candidates: 2")
    toy(released(quick))
    found = days(server)
    assert len(found) == 7
    assert all(each["prediction"].is_between(0, 1).all() for each in found.values())
