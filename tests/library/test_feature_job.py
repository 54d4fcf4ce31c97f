"""The job on large data: a Glue job that keeps what the Spark UI shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from mlops_constructs.feature_job import FeatureJob
from mlops_constructs.glue_job import JobSecurity, ScriptAsset, SparkCode

Find = Callable[..., Any]


@pytest.fixture
def options(stack: Stack, key: kms.Key, tmp_path: Path) -> dict[str, Any]:
    """What every job needs."""
    (tmp_path / "run.py").write_text("print('hello')")
    code = SparkCode(script=ScriptAsset(stack, "Script", script=tmp_path / "run.py"), packages=[])
    security = JobSecurity(stack, "Security", key=key)
    return {"code": code, "security": security, "arguments": {"--dataset": "late"}}


def arguments(resources: Find) -> dict[str, Any]:
    (job,) = resources("AWS::Glue::Job").values()
    found: dict[str, Any] = job["Properties"]["DefaultArguments"]
    return found


def test_event_logs_go_into_a_folder_of_the_job_s_own(
    stack: Stack, access_logs: s3.Bucket, options: dict[str, Any], resources: Find, statements: Find
) -> None:
    FeatureJob(stack, "Prepare", event_logs=access_logs, event_logs_name="late", **options)
    found, bucket = arguments(resources), stack.resolve(access_logs.bucket_name)
    assert found["--enable-spark-ui"] == "true"
    assert found["--spark-event-logs-path"] == {"Fn::Join": ["", ["s3://", bucket, "/spark-logs/late/"]]}
    assert found["--dataset"] == "late"
    (written,) = [each["Resource"] for each in statements() if "s3:PutObject" in each["Action"]]
    folder = [stack.resolve(access_logs.bucket_arn), "/spark-logs/late/*"]
    assert {"Fn::Join": ["", folder]} in written
    assert not [each for each in written if "/spark-logs/late" not in str(each)]


def test_no_event_logs_are_written_unless_told_so(
    stack: Stack, options: dict[str, Any], resources: Find, statements: Find
) -> None:
    FeatureJob(stack, "Prepare", **options)
    assert not [name for name in arguments(resources) if "spark" in name]
    assert not [each for each in statements() if "s3:PutObject" in each["Action"]]
