"""The SageMaker SDK's own pipeline classes against the local AWS: `make test-sdk`, in an environment of its own.

`requirements/sdk.txt` holds the SDK. The local AWS runs in the project's environment, in another process; its image
`sdk` is a container of a few lines of Python.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
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

from sagemaker.core.clarify import BiasConfig, DataConfig  # noqa: E402
from sagemaker.core.model_monitor import DatasetFormat  # noqa: E402
from sagemaker.core.processing import Processor  # noqa: E402
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output  # noqa: E402
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo  # noqa: E402
from sagemaker.core.workflow.functions import Join, JsonGet  # noqa: E402
from sagemaker.core.workflow.parameters import ParameterFloat  # noqa: E402
from sagemaker.core.workflow.pipeline_context import PipelineSession  # noqa: E402
from sagemaker.core.workflow.properties import PropertyFile  # noqa: E402
from sagemaker.mlops.workflow.check_job_config import CheckJobConfig  # noqa: E402
from sagemaker.mlops.workflow.clarify_check_step import ClarifyCheckStep, DataBiasCheckConfig  # noqa: E402
from sagemaker.mlops.workflow.condition_step import ConditionStep  # noqa: E402
from sagemaker.mlops.workflow.fail_step import FailStep  # noqa: E402
from sagemaker.mlops.workflow.quality_check_step import DataQualityCheckConfig, QualityCheckStep  # noqa: E402
from sagemaker.mlops.workflow.retry import StepExceptionTypeEnum, StepRetryPolicy  # noqa: E402
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep  # noqa: E402

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "constructs"))  # the library's pure part, which needs no CDK

from mlops_constructs import pipeline_steps as steps  # noqa: E402

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


def test_checks_of_the_sdk_are_those_of_the_library_and_run(session: Any) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket="lake", Key="rows/part.csv", Body=b"late,origin\n" + b"1,7\n0,7\n1,5\n1,5\n" * 30)
    work = CheckJobConfig(
        role=ROLE, instance_count=1, instance_type="ml.m5.large", max_runtime_in_seconds=600, sagemaker_session=session
    )
    quality = QualityCheckStep(
        name="Quality",
        quality_check_config=DataQualityCheckConfig(
            baseline_dataset="s3://lake/rows/", dataset_format=DatasetFormat.csv(), output_s3_uri="s3://lake/quality"
        ),
        check_job_config=work,
        skip_check=True,
        register_new_baseline=True,
        fail_on_violation=False,
    )
    bias = ClarifyCheckStep(
        name="Bias",
        clarify_check_config=DataBiasCheckConfig(
            data_config=DataConfig(
                s3_data_input_path="s3://lake/rows/",
                s3_output_path="s3://lake/bias",
                label="late",
                dataset_type="text/csv",
            ),
            data_bias_config=BiasConfig(
                label_values_or_threshold=[1], facet_name="origin", facet_values_or_threshold=[7]
            ),
        ),
        check_job_config=work,
        skip_check=True,
        register_new_baseline=True,
        fail_on_violation=False,
    )
    pipeline = pipelines.Pipeline(name="checks", steps=[quality, bias], sagemaker_session=session)
    rendered = {step["Name"]: step for step in json.loads(pipeline.definition())["Steps"]}
    assert own_checks(rendered) == {name: given(step) for name, step in rendered.items()}
    config = json.loads(s3.get_object(Bucket="lake", Key="bias/analysis_config.json")["Body"].read())
    assert config == own_analysis().to_json()

    pipeline.upsert(role_arn=ROLE)
    execution = pipeline.start()
    execution.wait(delay=1, max_attempts=60)
    done = {step["StepName"]: step["Metadata"] for step in execution.list_steps()}
    assert done["Quality"]["QualityCheck"]["CalculatedBaselineStatistics"] == "s3://lake/quality/statistics.json"
    found = json.loads(s3.get_object(Bucket="lake", Key="bias/analysis.json")["Body"].read())
    metrics = found["pre_training_bias_metrics"]["facets"]["origin"][0]["metrics"]
    assert {each["name"]: each["value"] for each in metrics}["DPL"] == 0.5


def own_analysis() -> Any:
    facet = steps.BiasFacet(column="origin", values=[7])
    return steps.ClarifyAnalysis(check_type="DATA_BIAS", label="late", facets=[facet])


def own_checks(rendered: Any) -> dict[str, Any]:
    """The same steps by the library, with the images that the SDK knows."""
    images = {name: step["Arguments"]["AppSpecification"]["ImageUri"] for name, step in rendered.items()}
    machine = steps.JobResources(instance_type="ml.m5.large", volume_gb=30, max_runtime_seconds=600)
    works = {name: steps.CheckJob(image_uri=uri, role_arn=ROLE, resources=machine) for name, uri in images.items()}
    bias = steps.ClarifyCheckStep(
        name="Bias",
        work=works["Bias"],
        analysis=own_analysis(),
        analysis_uri="s3://lake/bias/analysis_config.json",
        dataset="s3://lake/rows/",
        output_path="s3://lake/bias",
    )
    quality = steps.QualityCheckStep(
        name="Quality", work=works["Quality"], dataset="s3://lake/rows/", output_path="s3://lake/quality"
    )
    return {step.name: given(steps.step_json(step)) for step in (quality, bias)}


SAYS_NOTHING = {
    "AppManaged": False,
    "S3CompressionType": "None",
    "S3DataDistributionType": "FullyReplicated",
}
"""Defaults of the API, which some say and others don't."""


def given(value: Any) -> Any:
    """A value without members that say nothing: null, empty, or a default."""
    if isinstance(value, dict):
        kept = {key: given(each) for key, each in value.items() if SAYS_NOTHING.get(key, value) != each}
        return {key: each for key, each in kept.items() if each not in (None, {}, [])}
    return [given(each) for each in value] if isinstance(value, list) else value
