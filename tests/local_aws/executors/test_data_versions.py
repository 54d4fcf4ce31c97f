"""A cached step that reads the newest manifest runs again exactly when there is another version of the data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local_aws.executors.pipeline_builder import PipelineBuilder

NEWEST = {
    "Std:JsonGet": {
        "S3Uri": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Data"}, ".version"]}},
        "Path": "manifest",
    }
}
CACHE = {"Enabled": True, "ExpireAfter": "P30D"}


@pytest.fixture
def publish(server: Any) -> Any:
    def publish_version(version: str) -> None:
        s3 = server.client("s3")
        s3.put_object(Bucket="lake", Key=f"days/{version}.parquet", Body=version.encode())
        manifest = json.dumps([{"prefix": "s3://lake/days/"}, f"{version}.parquet"]).encode()
        name = json.dumps({"manifest": f"s3://lake/days/manifests/{version}.json"}).encode()
        for key in (f"manifests/{version}.json", "manifest.json"):
            s3.put_object(Bucket="lake", Key=f"days/{key}", Body=manifest)
            s3.put_object(Bucket="lake", Key=f"days/{key}.version", Body=name)

    return publish_version


def create(pipeline: PipelineBuilder, depth: str = "6", code: str = "a") -> None:
    place = "/opt/ml/processing/input/days"
    source = {"S3Uri": NEWEST, "LocalPath": place, "S3DataType": "ManifestFile", "S3InputMode": "File"}
    prepared: Any = {"Std:Join": {"On": "/", "Values": ["s3://lake/out", {"Get": "Execution.PipelineExecutionId"}]}}
    prepare = pipeline.processing(
        "Prepare",
        f"say={code}",
        "write=processing/train/rows:1,2",
        outputs={"train": prepared},
        arguments={"ProcessingInputs": [{"InputName": "days", "S3Input": source}]},
        CacheConfig=CACHE,
    )
    train = pipeline.training(
        "Train",
        "write=model/m:1",
        data={"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"},
        CacheConfig=CACHE,
    )
    train["Arguments"]["HyperParameters"] = {"depth": depth}
    data = {"Name": "Data", "Type": "String", "DefaultValue": "s3://lake/days/manifest.json"}
    pipeline.create(prepare, train, parameters=[data])


def hits(pipeline: PipelineBuilder, **given: str) -> dict[str, bool]:
    execution = pipeline.run(given)
    steps = pipeline.steps(execution)
    assert pipeline.describe(execution)["PipelineExecutionStatus"] == "Succeeded", steps
    return {name: "CacheHitResult" in step for name, step in steps.items()}


ALL, NONE = {"Prepare": True, "Train": True}, {"Prepare": False, "Train": False}


def test_same_data_is_prepared_and_trained_once_and_new_data_again(pipeline: PipelineBuilder, publish: Any) -> None:
    publish("one")
    create(pipeline)
    assert hits(pipeline) == NONE
    assert hits(pipeline) == ALL
    publish("two")  # under the same URI
    assert hits(pipeline) == NONE
    assert hits(pipeline) == ALL
    # the same version by its own name is the same data, and an older one is still known
    assert hits(pipeline, Data="s3://lake/days/manifests/two.json") == ALL
    assert hits(pipeline, Data="s3://lake/days/manifests/one.json") == ALL


def test_other_hyperparameters_train_again_and_other_code_does_everything_again(
    pipeline: PipelineBuilder, publish: Any
) -> None:
    publish("one")
    create(pipeline)
    assert hits(pipeline) == NONE
    create(pipeline, depth="7")
    assert hits(pipeline) == {"Prepare": True, "Train": False}
    create(pipeline, depth="7", code="b")
    assert hits(pipeline) == NONE


def test_data_without_a_version_is_an_error_that_names_the_file(pipeline: PipelineBuilder) -> None:
    create(pipeline)
    execution = pipeline.run()
    reason = pipeline.steps(execution)["Prepare"]["FailureReason"]
    assert "s3://lake/days/manifest.json.version can't be read" in reason
