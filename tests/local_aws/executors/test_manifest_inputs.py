"""Manifests as inputs of jobs: which objects land where, and how a job fails that can't have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from local_aws.sagemaker.pipeline_definition import PipelineDefinition

SHOW = (
    "import os, pathlib\n"
    "root = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR']) / 'processing/input/days'\n"
    "for path in sorted(root.rglob('*')):\n"
    "    if path.is_file(): print(path.relative_to(root), path.read_text())\n"
)
PREFIX = {"prefix": "s3://lake/flights/"}
FIRST, SECOND = "load=1/day=2013-07-04/part-0.parquet", "load=2/day=2013-07-05/part-0.parquet"


def request(image: str) -> dict[str, Any]:
    source = {
        "S3Uri": "s3://lake/flights/manifest.json", "LocalPath": "/opt/ml/processing/input/days",
        "S3DataType": "ManifestFile", "S3InputMode": "File",
    }  # fmt: skip
    return {
        "AppSpecification": {"ImageUri": image},
        "ProcessingInputs": [{"InputName": "days", "S3Input": source}],
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
    }


@pytest.fixture
def processed(server: Any, sagemaker: Any, wait: Callable[..., Any]) -> Callable[[Any], dict[str, Any]]:
    def run(manifest: Any) -> dict[str, Any]:
        """Run a job on a manifest: text, what is written as JSON, or None for no manifest at all."""
        s3 = server.client("s3")
        for key in (FIRST, SECOND):
            s3.put_object(Bucket="lake", Key=f"flights/{key}", Body=key[:6].encode())
        if manifest is not None:
            text = manifest if isinstance(manifest, str) else json.dumps(manifest)
            s3.put_object(Bucket="lake", Key="flights/manifest.json", Body=text.encode())
        sagemaker.create_processing_job(
            ProcessingJobName="job", RoleArn="arn:aws:iam::123456789012:role/any", **request(server.image(SHOW))
        )
        return dict(
            wait(
                lambda: sagemaker.describe_processing_job(ProcessingJobName="job"),
                lambda job: job["ProcessingJobStatus"] in ("Completed", "Failed"),
            )
        )

    return run


def shown(server: Any) -> list[str]:
    return str(server.log("/aws/sagemaker/ProcessingJobs", "job/algo-1-")).splitlines()


def test_objects_land_under_the_keys_that_the_manifest_gives_them(server: Any, processed: Callable[..., Any]) -> None:
    job = processed([PREFIX, SECOND, FIRST, SECOND])
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert shown(server) == [f"{FIRST} load=1", f"{SECOND} load=2"]


def test_objects_that_the_manifest_leaves_out_stay_away(server: Any, processed: Callable[..., Any]) -> None:
    processed([PREFIX, SECOND])
    assert shown(server) == [f"{SECOND} load=2"]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (None, "there is no manifest s3://lake/flights/manifest.json"),
        ("day,1", "the manifest is not JSON"),
        ({"prefix": "s3://lake/"}, "must be a list that starts with"),
        ([], "must be a list that starts with"),
        ([FIRST], "must be a list that starts with"),
        ([{"prefix": "/lake/"}, FIRST], "not an S3 URI: '/lake/'"),
        ([PREFIX], "the manifest lists no objects"),
        ([PREFIX, FIRST, {"key": SECOND}], 'got {"key": "load=2'),
        ([PREFIX, FIRST, "load=3/gone"], 'No S3 objects found under S3 URL "s3://lake/flights/load=3/gone"'),
        ([PREFIX, "gone", "lost"], 's3://lake/flights/gone" and 1 more'),
        ([{"prefix": "s3://nowhere/"}, "a"], "NoSuchBucket"),
    ],
)
def test_job_fails_when_its_manifest_or_an_object_is_not_there(
    processed: Callable[..., Any], manifest: Any, reason: str
) -> None:
    job = processed(manifest)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed: s3://lake/flights/manifest.json: ")
    assert reason in job["FailureReason"]


def test_pipeline_may_read_a_manifest() -> None:
    step = {"Name": "Split", "Type": "Processing", "Arguments": request("any")}
    PipelineDefinition.parse(json.dumps({"Version": "2020-12-01", "Steps": [step]}))
