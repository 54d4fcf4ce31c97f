"""Processing jobs: the container's contract and how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PREAMBLE = "import json, os, pathlib, sys, time\nml = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"


@pytest.fixture
def processed(server: Any, sagemaker: Any, wait: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def run(script: str, *, entrypoint: list[str] | None = None, seconds: int = 60) -> dict[str, Any]:
        app: dict[str, Any] = {"ImageUri": server.image(PREAMBLE + script), "ContainerArguments": ["--days", "30"]}
        if entrypoint:
            app["ContainerEntrypoint"] = entrypoint
        source = {
            "S3Uri": "s3://lake/in/rows.csv", "LocalPath": "/opt/ml/processing/input/rows", "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        }  # fmt: skip
        target = {"S3Uri": "s3://lake/out", "LocalPath": "/opt/ml/processing/output/x", "S3UploadMode": "EndOfJob"}
        server.client("s3").put_object(Bucket="lake", Key="in/rows.csv", Body=b"1,2\n3,4\n")
        sagemaker.create_processing_job(
            ProcessingJobName="job",
            RoleArn="arn:aws:iam::123456789012:role/processing",
            AppSpecification=app,
            ProcessingInputs=[{"InputName": "rows", "S3Input": source}],
            ProcessingOutputConfig={"Outputs": [{"OutputName": "x", "S3Output": target}]},
            ProcessingResources={
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
            },
            StoppingCondition={"MaxRuntimeInSeconds": seconds},
        )
        return wait(
            lambda: sagemaker.describe_processing_job(ProcessingJobName="job"),
            lambda job: job["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    return run


def test_inputs_and_outputs_are_where_the_request_says(server: Any, processed: Callable[..., Any]) -> None:
    job = processed(
        "rows = (ml / 'processing/input/rows/rows.csv').read_text()\n"
        "config = json.loads((ml / 'config/processingjobconfig.json').read_text())\n"
        "out = ml / 'processing/output/x/deep'\nout.mkdir()\n"
        "(out / 'count.json').write_text(json.dumps([len(rows.split()), sys.argv[1:], config['ProcessingJobName']]))\n"
        "(ml / 'output/message').write_text('two rows')\n"
    )
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ExitMessage"] == "two rows"
    written = server.client("s3").get_object(Bucket="lake", Key="out/deep/count.json")["Body"].read()
    assert written == b'[2, ["--days", "30"], "job"]'


def test_python3_in_an_entrypoint_is_the_images_interpreter(processed: Callable[..., Any]) -> None:
    job = processed("", entrypoint=["python3", "-c", "import sys; sys.exit(sys.argv[1:] != ['--days', '30'])"])
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")


def test_failure_keeps_the_containers_message(server: Any, processed: Callable[..., Any]) -> None:
    job = processed("(ml / 'output/message').write_text('the test split is empty')\nsys.exit(1)")
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: the test split is empty, exit code: 1"
    assert job["ExitMessage"] == "the test split is empty"


def test_killed_container_shows_its_signal(processed: Callable[..., Any]) -> None:
    job = processed("os.kill(os.getpid(), 9)")
    assert job["FailureReason"].endswith("exit code: 137")


def test_time_limit_stops_the_job(processed: Callable[..., Any]) -> None:
    job = processed("time.sleep(60)", seconds=1)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "longer than its limit of 1 seconds" in job["FailureReason"]
