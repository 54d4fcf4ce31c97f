"""The SageMaker SDK's own pipeline classes against the local AWS: `make test-sdk`, in an environment of its own.

`requirements/sdk.txt` holds the SDK. The local AWS runs in the project's environment, in another process; its image
`sdk` is a container of a few lines of Python.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

# what the SDK reads when it is imported
os.environ.update(
    AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY="local"
)
pipelines = pytest.importorskip("sagemaker.mlops.workflow.pipeline", reason="runs with make test-sdk")

from sagemaker.core.processing import Processor  # noqa: E402
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output  # noqa: E402
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo  # noqa: E402
from sagemaker.core.workflow.functions import Join, JsonGet  # noqa: E402
from sagemaker.core.workflow.parameters import ParameterFloat  # noqa: E402
from sagemaker.core.workflow.pipeline_context import PipelineSession  # noqa: E402
from sagemaker.core.workflow.properties import PropertyFile  # noqa: E402
from sagemaker.mlops.workflow.condition_step import ConditionStep  # noqa: E402
from sagemaker.mlops.workflow.fail_step import FailStep  # noqa: E402
from sagemaker.mlops.workflow.retry import StepExceptionTypeEnum, StepRetryPolicy  # noqa: E402
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep  # noqa: E402

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("PLATFORM_PYTHON", str(ROOT / ".venv/bin/python"))
ROLE = "arn:aws:iam::123456789012:role/pipeline"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sdk:1"
PERMISSIONS = [
    "iam:PassRole", "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject",
    "s3:ListBucket", "s3:PutObject", "sagemaker:AddTags", "sagemaker:CreateEndpoint", "sagemaker:CreateEndpointConfig",
    "sagemaker:CreateModel", "sagemaker:CreateProcessingJob", "sagemaker:CreateTrainingJob",
    "sagemaker:CreateTransformJob", "sagemaker:DescribeEndpoint", "sagemaker:DescribeModel",
    "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob",
]  # fmt: skip
"""What the SDK wants a pipeline's role to have."""
CONTAINER = """
import os, pathlib
output = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "processing/report"
output.mkdir(parents=True, exist_ok=True)
(output / "report.json").write_text('{"auc": 0.75}')
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The SDK's session for pipelines, which talks to a local AWS."""
    folder = tmp_path_factory.mktemp("local-aws")
    (folder / "container.py").write_text(CONTAINER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    images = {"sdk": {"python": PYTHON, "entrypoint": [PYTHON, str(folder / "container.py")]}}
    command = [PYTHON, "-m", "local_aws.server", "--port", str(port), "--state", str(folder / "state")]
    server = subprocess.Popen([*command, "--images", json.dumps(images)], cwd=ROOT)
    endpoint = f"http://127.0.0.1:{port}"
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert server.poll() is None
                time.sleep(0.1)
        boto3.client("s3").create_bucket(Bucket="lake")
        create_role()
        yield PipelineSession(boto_session=boto3.Session(), default_bucket="lake")
    finally:
        server.terminate()
        server.wait(30)


def create_role() -> None:
    """Make the role, which the SDK looks up before it uses it."""
    iam, name = boto3.client("iam"), ROLE.rpartition("/")[2]
    principal = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [principal]}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    allowed = {"Effect": "Allow", "Action": PERMISSIONS, "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_role_policy(RoleName=name, PolicyName="jobs", PolicyDocument=json.dumps(policy))


def test_pipeline_of_the_sdk_is_defined_started_waited_for_cached_and_ends_with_its_reason(session: Any) -> None:
    bound = ParameterFloat(name="Bound", default_value=0.7)
    processor = Processor(
        role=ROLE, image_uri=IMAGE, instance_count=1, instance_type="ml.m5.large", sagemaker_session=session
    )
    target = ProcessingS3Output(
        s3_uri="s3://lake/report", local_path="/opt/ml/processing/report", s3_upload_mode="EndOfJob"
    )
    report = PropertyFile(name="Report", output_name="report", path="report.json")
    evaluate = ProcessingStep(
        name="Evaluate",
        step_args=processor.run(outputs=[ProcessingOutput(output_name="report", s3_output=target)]),
        property_files=[report],
        cache_config=CacheConfig(enable_caching=True, expire_after="P30D"),
        retry_policies=[StepRetryPolicy(exception_types=[StepExceptionTypeEnum.THROTTLING], max_attempts=3)],
    )
    reached = JsonGet(step_name="Evaluate", property_file=report, json_path="auc")
    gate = ConditionStep(
        name="Gate",
        conditions=[ConditionGreaterThanOrEqualTo(left=reached, right=bound)],
        if_steps=[],
        else_steps=[FailStep(name="Rejected", error_message=Join(on=" ", values=["the AUC is", reached]))],
    )
    pipeline = pipelines.Pipeline(name="sdk", parameters=[bound], steps=[evaluate, gate], sagemaker_session=session)
    pipeline.upsert(role_arn=ROLE)
    pipeline.upsert(role_arn=ROLE, description="updated")
    assert pipeline.describe()["PipelineStatus"] == "Active"

    good = pipeline.start()
    good.wait(delay=1, max_attempts=60)
    steps = {step["StepName"]: step for step in good.list_steps()}
    assert {name: step["StepStatus"] for name, step in steps.items()} == {"Evaluate": "Succeeded", "Gate": "Succeeded"}
    assert steps["Gate"]["Metadata"]["Condition"]["Outcome"] == "True"

    bad = pipeline.start(parameters={"Bound": 0.8})
    with pytest.raises(Exception, match=r"Waiter|[Ff]ailed"):
        bad.wait(delay=1, max_attempts=60)
    steps = {step["StepName"]: step for step in bad.list_steps()}
    assert steps["Evaluate"]["CacheHitResult"]["SourcePipelineExecutionArn"] == good.arn
    assert steps["Rejected"]["FailureReason"] == "the AUC is 0.75"
    assert bad.describe()["PipelineExecutionStatus"] == "Failed"

    pipeline.delete()
