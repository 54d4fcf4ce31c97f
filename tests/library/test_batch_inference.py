"""Batch inference: its roles, its model, and what it is as long as no version is released."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import CfnParameter, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms

from mlops_constructs.batch_inference import BatchInference
from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_steps import (
    InvalidPipelineError,
    JobNetwork,
    JobResources,
    ProcessingStep,
    RecordFilters,
    TransformStep,
)
from mlops_constructs.runtime_image import RuntimeImage
from mlops_constructs.training_trigger import TrainingTrigger

Find = Callable[..., Any]
NAME = "late-batch"
NETWORK = JobNetwork(subnet_ids=["subnet-0000000a"], security_group_ids=["sg-0000000a"])
MACHINE = JobResources(instance_type="ml.m5.large")


def transform(**changes: Any) -> TransformStep:
    members = {"name": "Transform", "model_name": "m", "data": "s3://b/rows/", "output_path": "s3://b/scores"}
    return TransformStep(**{**members, "resources": MACHINE, **changes})


@pytest.fixture
def batch(stack: Stack, key: kms.Key, tmp_path: Path) -> BatchInference:
    (tmp_path / "Dockerfile").touch()
    package = CfnParameter(stack, "Package", default="").value_as_string
    image = RuntimeImage(stack, "Image", repository_name="runtime", source=tmp_path, key=key)
    made = BatchInference(
        stack,
        "Batch",
        pipeline_name=NAME,
        model_package_arn=package,
        image=image,
        key=key,
        network=NETWORK,
    )
    select = ProcessingStep(
        name="Select",
        image_uri=image.uri,
        role_arn=made.selection_role.role_arn,
        command=["select"],
        resources=MACHINE,
        outputs={"rows": "s3://b/rows"},
        network=NETWORK,
    )
    ask = transform(model_name=made.model.attr_model_name, data=select.folder("rows"))
    day = Parameter(name="Day", type="String", default="due")
    definition = PipelineDefinition(parameters=[day], steps=[select, ask])
    made.define(definition, description="Late?", unreleased="no version yet")
    return made


def pipeline_bodies(resources: Find) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The condition, and the definitions with and without a version, tokens as their JSON."""
    ((_, found),) = resources("AWS::SageMaker::Pipeline").items()
    condition, released, waiting = found["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]["Fn::If"]
    joined = "".join(part if isinstance(part, str) else "token" for part in released["Fn::Join"][1])
    return condition, json.loads(joined), json.loads(waiting)


def test_pipeline_asks_the_released_model_and_says_when_there_is_none(batch: BatchInference, resources: Find) -> None:
    condition, released, waiting = pipeline_bodies(resources)
    ((key, model),) = resources("AWS::SageMaker::Model").items()
    assert model["Condition"] == condition
    assert model["Properties"]["PrimaryContainer"] == {"ModelPackageName": {"Ref": "Package"}}
    assert "ModelName" not in model["Properties"]
    ((_, pipeline),) = resources("AWS::SageMaker::Pipeline").items()
    assert f'"Fn::GetAtt": ["{key}", "ModelName"]' in json.dumps(pipeline)
    assert [step["Name"] for step in released["Steps"]] == ["Select", "Transform"]
    (only,) = waiting["Steps"]
    assert (only["Type"], only["Arguments"]) == ("Fail", {"ErrorMessage": "no version yet"})
    assert waiting["Parameters"] == released["Parameters"], "triggers with parameters start either"


def test_pipeline_may_start_its_kinds_of_jobs_alone_and_pass_the_roles_of_two(
    batch: BatchInference, resources: Find, statements: Find
) -> None:
    (role,) = [key for key in resources("AWS::IAM::Role") if "PipelineRole" in key]
    allowed = statements(role)
    actions = {action for each in allowed for action in each["Action"]}
    assert not [action for action in actions if "Training" in action]
    assert {"sagemaker:CreateProcessingJob", "sagemaker:CreateTransformJob"} <= actions
    (passing,) = [each for each in allowed if each["Action"] == ["iam:PassRole"]]
    roles = [key for key in resources("AWS::IAM::Role") if "SelectionRole" in key or "PublicationRole" in key]
    assert sorted(each["Fn::GetAtt"][0] for each in passing["Resource"]) == sorted(roles)


def test_jobs_have_no_rights_on_data_until_a_store_grants_them(resources: Find, statements: Find, batch: Any) -> None:
    for name in ("SelectionRole", "ModelRole", "PublicationRole"):
        (role,) = [key for key in resources("AWS::IAM::Role") if name in key]
        assert "s3:" not in json.dumps(statements(role))
        assert "ec2:CreateNetworkInterface" in json.dumps(statements(role))


def test_schedules_and_rules_wait_for_a_released_version(
    batch: BatchInference, resources: Find, stack: Stack, key: kms.Key
) -> None:
    trigger = TrainingTrigger(stack, "Trigger", pipeline=batch, key=key, purpose="Predicts by", only_if=batch.released)
    trigger.on_schedule("Schedule", "rate(1 day)")
    trigger.on_event("NewData", events.EventPattern(source=["mlops.data"]), name="new-data")
    condition, _, _ = pipeline_bodies(resources)
    ((_, schedule),) = resources("AWS::Scheduler::Schedule").items()
    ((_, rule),) = resources("AWS::Events::Rule").items()
    assert schedule["Condition"] == rule["Condition"] == condition
    assert schedule["Properties"]["Description"] == "Predicts by late-batch"
    assert rule["Properties"]["Description"] == "Predicts by late-batch: new-data"


def test_transform_step_filters_joins_and_sends_several_requests_at_a_time() -> None:
    job = transform(concurrent=3, payload_mb=2, filters=RecordFilters(sent="$[1:]", joined=True)).job()
    assert (job["MaxConcurrentTransforms"], job["MaxPayloadInMB"]) == (3, 2)
    assert job["DataProcessing"] == {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$"}
    assert {"MaxConcurrentTransforms", "DataProcessing"}.isdisjoint(transform().job())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"concurrent": 20, "payload_mb": 6}, "'Transform': concurrent times payload_mb may be 100 at most, got 120"),
        ({"payload_mb": 101}, "may be 100 at most, got 101"),
        ({"concurrent": 0}, "must be at least 1, got 6 and 0"),
        ({"payload_mb": 0}, "must be at least 1, got 0 and None"),
    ],
)
def test_sizes_that_sagemaker_refuses_are_refused(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(InvalidPipelineError, match=reason):
        transform(**changes)
