"""What goes wrong on a bad day: each is refused or fails with its reason, and what was there stays."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from mlops_cli.deployment import DeploymentError
from mlops_cli.jobs import run_pipeline
from tests.end_to_end.conftest import Platform

MODEL = "dev-flight-delay"


def quiet(_: str) -> None:
    """Nobody watches."""


def ended(describe: Callable[[], dict[str, Any]], member: str, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (found := describe())[member] in ("InProgress", "Executing"):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def test_model_that_fails_the_gate_is_not_registered_and_the_execution_says_why(platform: Platform) -> None:
    sagemaker = platform.client("sagemaker")
    before = sagemaker.list_model_packages(ModelPackageGroupName=MODEL)["ModelPackageSummaryList"]
    parameters = {"LastDay": "2013-07-31", "TestDays": "31", "MinimumQuality": "0.99"}
    with pytest.raises(DeploymentError, match=r"Rejected: .* 0\.7\d+ .* 0\.99"):
        run_pipeline(sagemaker, MODEL, parameters, quiet, 0.2)
    assert sagemaker.list_model_packages(ModelPackageGroupName=MODEL)["ModelPackageSummaryList"] == before
    execution = sagemaker.list_pipeline_executions(PipelineName=MODEL)["PipelineExecutionSummaries"][0]
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution["PipelineExecutionArn"])
    assert "Register" not in {step["StepName"] for step in steps["PipelineExecutionSteps"]}


def test_training_function_that_raises_is_the_failure_reason_of_a_job_started_by_hand(platform: Platform) -> None:
    sagemaker, s3 = platform.client("sagemaker"), platform.client("s3")
    (succeeded, *_) = [
        job
        for job in sagemaker.list_training_jobs(SortOrder="Ascending")["TrainingJobSummaries"]
        if job["TrainingJobStatus"] == "Completed"
    ]
    job = sagemaker.describe_training_job(TrainingJobName=succeeded["TrainingJobName"])
    artifacts = platform.output("data", "ArtifactsBucketName")
    code = next(channel for channel in job["InputDataConfig"] if channel["ChannelName"] == "code")
    bucket, _, key = code["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://").partition("/")
    broken = with_training_function(
        s3.get_object(Bucket=bucket, Key=key)["Body"].read(),
        "def fit(train, validation, hyperparameters):\n    raise ValueError('the label leaks')\n",
    )
    s3.put_object(Bucket=artifacts, Key="flight_delay/broken/code.zip", Body=broken)
    code["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{artifacts}/flight_delay/broken/code.zip"
    members = (
        "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig",
        "StoppingCondition", "Environment",
    )  # fmt: skip
    sagemaker.create_training_job(TrainingJobName="by-hand", **{name: job[name] for name in members if name in job})
    found = ended(lambda: sagemaker.describe_training_job(TrainingJobName="by-hand"), "TrainingJobStatus")
    assert found["TrainingJobStatus"] == "Failed"
    assert "ValueError: the label leaks" in found["FailureReason"]


def with_training_function(package: bytes, function: str) -> bytes:
    """Return the zip of a model's package with its train.py replaced."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, function if name.endswith("/train.py") else source.read(name))
    return changed.getvalue()
