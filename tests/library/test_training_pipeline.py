"""The training pipeline: its body in the template, its two roles, and its failure event."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from mlops_constructs.pipeline_definition import PipelineDefinition
from mlops_constructs.pipeline_steps import InvalidPipelineError, JobNetwork, JobResources, ProcessingStep, TrainingStep
from mlops_constructs.runtime_image import RuntimeImage
from mlops_constructs.training_pipeline import TrainingPipeline

Find = Callable[..., Any]
SMALL = JobResources(instance_type="ml.m5.large")


@pytest.fixture
def image(stack: Stack, key: kms.Key, tmp_path: Path) -> RuntimeImage:
    return RuntimeImage(stack, "Image", repository_name="runtime", source=tmp_path, key=key)


@pytest.fixture
def pipeline(stack: Stack, key: kms.Key, image: RuntimeImage) -> TrainingPipeline:
    return TrainingPipeline(stack, "Training", pipeline_name="dev-late", image=image, key=key)


def step(pipeline: TrainingPipeline, **changes: Any) -> ProcessingStep:
    options: dict[str, Any] = {
        "name": "Prepare",
        "image_uri": "image",
        "role_arn": pipeline.job_role.role_arn,
        "command": ["python3"],
        "resources": SMALL,
    }
    return ProcessingStep(**options | changes)


def resolved(value: Any) -> str:
    """A template's value as CloudFormation hands it to SageMaker, references replaced by their names."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator.join(resolved(part) for part in parts))
    return str(value.get("Ref") or ".".join(value["Fn::GetAtt"]))


def body(resources: Find) -> dict[str, Any]:
    (found,) = resources("AWS::SageMaker::Pipeline").values()
    text = found["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]
    assert "Fn::Sub" not in json.dumps(text)
    parsed: dict[str, Any] = json.loads(resolved(text))
    return parsed


@pytest.mark.parametrize(
    "argument",
    [
        "${AWS::Region}",
        "$${x} ${!y} ${",
        'say "yes"',
        "C:\\temp\\new",
        "two\nlines\tand a tab",
        "größer als \u00fc\u20ac \U0001f600",
        '{"Get": "Parameters.No"}',
        "",
    ],
)
def test_a_user_s_text_reaches_sagemaker_letter_by_letter(
    argument: str, pipeline: TrainingPipeline, stack: Stack, resources: Find
) -> None:
    bucket = s3.Bucket(stack, "Data")
    source = f"s3://{bucket.bucket_name}/raw"
    prepare = step(pipeline, arguments=["before", argument, "after"], inputs={"data": source})
    pipeline.define(PipelineDefinition(parameters=[], steps=[prepare]), description="Trains")
    arguments = body(resources)["Steps"][0]["Arguments"]
    assert arguments["AppSpecification"]["ContainerArguments"] == ["before", argument, "after"]
    # The body does hold references, so that the texts around them went through a join.
    assert (
        arguments["ProcessingInputs"][0]["S3Input"]["S3Uri"]
        == f"s3://{resolved(stack.resolve(bucket.bucket_name))}/raw"
    )
    assert arguments["RoleArn"] == resolved(stack.resolve(pipeline.job_role.role_arn))


def test_the_pipeline_waits_for_the_policies_of_both_roles(
    pipeline: TrainingPipeline, stack: Stack, resources: Find
) -> None:
    pipeline.define(PipelineDefinition(parameters=[], steps=[step(pipeline)]), description="Trains")
    (found,) = resources("AWS::SageMaker::Pipeline").values()
    for role in (pipeline.job_role, pipeline.pipeline_role):
        policy = role.node.find_child("DefaultPolicy").node.default_child
        assert stack.get_logical_id(policy) in found["DependsOn"]  # type: ignore[arg-type]


def test_what_sagemaker_would_refuse_is_refused_before_anything_is_created(
    pipeline: TrainingPipeline, resources: Find
) -> None:
    wrong = step(pipeline, environment={"DAYS": 3})
    with pytest.raises(InvalidPipelineError, match=r"step 'Prepare': .*Environment.DAYS"):
        pipeline.define(PipelineDefinition(parameters=[], steps=[wrong]), description="Trains")
    assert not resources("AWS::SageMaker::Pipeline")


def statements_of(role: Any, stack: Stack, statements: Find) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = statements(stack.get_logical_id(role.node.default_child))
    return found


def test_the_pipeline_starts_jobs_and_passes_the_job_role_to_sagemaker_alone(
    pipeline: TrainingPipeline, stack: Stack, statements: Find
) -> None:
    found = statements_of(pipeline.pipeline_role, stack, statements)
    (passing,) = [each for each in found if each["Action"] == ["iam:PassRole"]]
    assert passing["Resource"] == [stack.resolve(pipeline.job_role.role_arn)]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    actions = {action for each in found for action in each["Action"]} - {"iam:PassRole"}
    verbs = {"Create", "Describe", "Stop"}
    jobs = {f"sagemaker:{verb}{kind}Job" for verb in verbs for kind in ("Processing", "Training")}
    assert actions == {*jobs, "sagemaker:AddTags"}
    assert ["*"] not in [each["Resource"] for each in found]


def test_jobs_may_not_start_jobs_or_pass_roles(pipeline: TrainingPipeline, stack: Stack, statements: Find) -> None:
    actions = {a for each in statements_of(pipeline.job_role, stack, statements) for a in each["Action"]}
    assert not [action for action in actions if action.startswith(("iam:", "sagemaker:"))]
    assert not [action for action in actions if "*" in action]


def test_jobs_may_use_the_key_for_data_and_disks(
    pipeline: TrainingPipeline, stack: Stack, key: kms.Key, statements: Find
) -> None:
    arn = [stack.resolve(key.key_arn)]
    found = statements_of(pipeline.job_role, stack, statements)
    on_key = {action for each in found if each["Resource"] == arn for action in each["Action"]}
    assert {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:CreateGrant"} <= on_key


def test_both_roles_trust_sagemaker_for_this_account_only(pipeline: TrainingPipeline, resources: Find) -> None:
    for role in resources("AWS::IAM::Role").values():
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_jobs_in_a_network_may_attach_to_it(stack: Stack, key: kms.Key, image: RuntimeImage, statements: Find) -> None:
    network = JobNetwork(subnet_ids=["subnet-1"], security_group_ids=["sg-1"])
    pipeline = TrainingPipeline(stack, "Training", pipeline_name="p", image=image, key=key, network=network)
    actions = {a for each in statements_of(pipeline.job_role, stack, statements) for a in each["Action"]}
    assert "ec2:CreateNetworkInterface" in actions
    theirs = {a for each in statements_of(pipeline.pipeline_role, stack, statements) for a in each["Action"]}
    assert not [action for action in theirs if action.startswith("ec2:")]


@pytest.mark.parametrize(("name", "arns"), [("dev-late", ["dev-late"]), ("DevLate", ["DevLate", "devlate"])])
def test_a_failed_execution_is_an_event_for_a_target(
    name: str, arns: list[str], stack: Stack, key: kms.Key, image: RuntimeImage, resources: Find
) -> None:
    pipeline = TrainingPipeline(stack, "Training", pipeline_name=name, image=image, key=key)
    pipeline.on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Topic")))
    (rule,) = resources("AWS::Events::Rule").values()
    pattern = rule["Properties"]["EventPattern"]
    assert pattern["detail-type"] == ["SageMaker Model Building Pipeline Execution Status Change"]
    assert pattern["detail"]["currentPipelineExecutionStatus"] == ["Failed"]
    found = [resolved(arn).rpartition("/")[2] for arn in pattern["detail"]["pipelineArn"]]
    assert found == arns


@pytest.mark.parametrize(
    ("instance_type", "has_key"),
    [("ml.m5.large", True), ("ml.m5d.large", False), ("ml.g4dn.xlarge", False), ("ml.g5.xlarge", False),
     ("ml.p3.2xlarge", True), ("ml.c6gd.large", False)],
)  # fmt: skip
def test_disks_that_come_with_the_machine_get_no_key_which_sagemaker_would_refuse(
    instance_type: str, has_key: bool
) -> None:
    resources = JobResources(instance_type=instance_type)
    options: dict[str, Any] = {"image_uri": "i", "role_arn": "r", "resources": resources, "kms_key_arn": "k"}
    processing = ProcessingStep(name="P", command=["x"], outputs={"o": "s3://b"}, **options).job()
    training = TrainingStep(name="T", channels={}, output_path="s3://b", **options).job()
    assert ("VolumeKmsKeyId" in processing["ProcessingResources"]["ClusterConfig"]) is has_key
    assert ("VolumeKmsKeyId" in training["ResourceConfig"]) is has_key
    assert processing["ProcessingOutputConfig"]["KmsKeyId"] == training["OutputDataConfig"]["KmsKeyId"] == "k"
