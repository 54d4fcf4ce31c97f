"""What the stacks wire together: who reaches whose data, who is told what, and what a first deployment needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.assemblies import Template, Templates, tags_of
from tests.deployment.security_pack import Audit


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in template["Resources"].items() if each["Type"] == kind}


def only(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (value,) = found.values()
    properties: dict[str, Any] = value["Properties"]
    return properties


def statements(template: Template, policy: str) -> list[dict[str, Any]]:
    """What the policy whose logical id starts like this allows; actions as lists, resources as text."""
    (found,) = [each for name, each in of_type(template, "AWS::IAM::Policy").items() if name.startswith(policy)]
    return [
        {
            "actions": each["Action"] if isinstance(each["Action"], list) else [each["Action"]],
            "resources": json.dumps(each["Resource"]),
        }
        for each in found["Properties"]["PolicyDocument"]["Statement"]
    ]


def where(template: Template, policy: str, action: str) -> str:
    return " ".join(each["resources"] for each in statements(template, policy) if action in each["actions"])


def test_the_first_deployment_needs_no_model_and_no_parameter(templates: Templates) -> None:
    serving = templates["dev/flight-delay-serving"]
    assert serving["Parameters"]["ModelPackageArn"]["Default"] == ""
    conditional = {each["Type"] for each in serving["Resources"].values() if "Condition" in each}
    fleet = {"AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Endpoint"}
    assert conditional == {*fleet, "AWS::CloudWatch::Alarm", "AWS::SSM::Parameter"}
    for template in templates.values():
        assert not [each for each in template.get("Parameters", {}).values() if "Default" not in each]


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("", True),
        ("arn:aws:sagemaker:eu-west-1:123456789012:model-package/dev-flight-delay/3", True),
        ("arn:aws-cn:sagemaker:cn-north-1:123456789012:model-package/dev-flight-delay/3", True),
        ("dev-flight-delay/3", False),
        ("arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/dev-flight-delay", False),
    ],
)
def test_only_the_arn_of_a_model_package_can_be_released(value: str, taken: bool, templates: Templates) -> None:
    pattern = templates["dev/flight-delay-serving"]["Parameters"]["ModelPackageArn"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is taken


def test_names_that_are_contracts_carry_their_environment(templates: Templates) -> None:
    for name in ("dev", "staging", "prod"):
        serving, training = (templates[f"{name}/flight-delay-{each}"] for each in ("serving", "training"))
        assert only(of_type(serving, "AWS::SageMaker::Endpoint"))["EndpointName"] == f"{name}-flight-delay"
        assert only(of_type(training, "AWS::SageMaker::Pipeline"))["PipelineName"] == f"{name}-flight-delay"
        group = only(of_type(training, "AWS::SageMaker::ModelPackageGroup"))
        assert group["ModelPackageGroupName"] == f"{name}-flight-delay"


def test_training_reads_its_dataset_and_writes_artifacts_of_its_model_alone(templates: Templates) -> None:
    training = templates["dev/flight-delay-training"]
    written = where(training, "TrainingJobRole", "s3:PutObject")
    assert "LakeArtifacts" in written
    assert "LakeCurated" not in written
    everything = " ".join(each["resources"] for each in statements(training, "TrainingJobRole"))
    for zone in ("Raw", "Quarantine", "Capture"):
        assert f"Lake{zone}" not in everything
    assert "glue" not in json.dumps([each["actions"] for each in statements(training, "TrainingJobRole")])
    objects = where(training, "TrainingJobRole", "s3:GetObject")
    assert "LakeCurated" in objects
    assert '"/flights/*"' in objects
    assert '"/*"' not in objects


def test_the_pipeline_reads_reports_and_registers_versions_but_touches_no_data(templates: Templates) -> None:
    training = templates["dev/flight-delay-training"]
    assert "LakeArtifacts" in where(training, "TrainingPipelineRole", "s3:GetObject")
    assert "model-package/dev-flight-delay/*" in where(training, "TrainingPipelineRole", "sagemaker:CreateModelPackage")
    assert where(training, "TrainingPipelineRole", "s3:PutObject") == ""
    assert where(training, "TrainingPipelineRole", "kms:Decrypt") != ""


def test_the_endpoint_reads_and_decrypts_its_model_s_artifacts(templates: Templates) -> None:
    serving = templates["dev/flight-delay-serving"]
    read = where(serving, "InferenceRole", "s3:GetObject")
    assert "LakeArtifacts" in read
    assert '"/flight_delay/*"' in read
    assert where(serving, "InferenceRole", "kms:Decrypt") != ""


@pytest.mark.parametrize(
    ("stack", "rule"),
    [
        ("data", "Glue Job State Change"),
        ("flight-delay-training", "SageMaker Model Building Pipeline Execution"),
        ("block-time-batch", "SageMaker Model Building Pipeline Execution"),
    ],
)
def test_a_failure_reaches_the_alarm_topic_through_a_role(stack: str, rule: str, templates: Templates) -> None:
    rules = [each["Properties"] for each in of_type(templates[f"dev/{stack}"], "AWS::Events::Rule").values()]
    (found,) = [each for each in rules if each["EventPattern"]["detail-type"][0].startswith(rule)]
    (target,) = found["Targets"]
    assert "Alarms" in json.dumps(target["Arn"])
    assert "AlarmPublisher" in json.dumps(target["RoleArn"])


def test_the_alarm_topic_takes_events_from_nobody_but_this_account(templates: Templates) -> None:
    policy = only(of_type(templates["dev/foundation"], "AWS::SNS::TopicPolicy"))["PolicyDocument"]["Statement"]
    for statement in policy:
        if statement["Effect"] == "Allow":
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_services_use_the_key_for_this_account_only(templates: Templates) -> None:
    policy = only(of_type(templates["dev/foundation"], "AWS::KMS::Key"))["KeyPolicy"]["Statement"]
    services = [each for each in policy if "Service" in each["Principal"]]
    assert len(services) == 2
    for statement in services:
        assert "AWS::AccountId" in json.dumps(statement["Condition"])


def test_the_one_who_is_named_is_told_of_alarms_and_costs(full: Templates) -> None:
    foundation = full["full/foundation"]
    subscription = only(of_type(foundation, "AWS::SNS::Subscription"))
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "operator@example.com")
    budget = only(of_type(foundation, "AWS::Budgets::Budget"))
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 500, "Unit": "USD"}
    notices = budget["NotificationsWithSubscribers"]
    assert [(each["Notification"]["NotificationType"], each["Notification"]["Threshold"]) for each in notices] == [
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    ]
    assert {subscriber["Address"] for each in notices for subscriber in each["Subscribers"]} == {"owner@example.com"}


def test_nobody_is_told_when_nobody_is_named(templates: Templates) -> None:
    kinds = {each["Type"] for each in templates["dev/foundation"]["Resources"].values()}
    assert not {"AWS::SNS::Subscription", "AWS::Budgets::Budget"} & kinds


def test_every_resource_that_can_be_tagged_says_its_environment(templates: Templates) -> None:
    for name in ("dev", "prod"):
        for kind in ("AWS::S3::Bucket", "AWS::KMS::Key"):
            for bucket in of_type(templates[f"{name}/foundation"], kind).values():
                assert {"Key": "environment", "Value": name} in bucket["Properties"]["Tags"]


def test_every_stack_is_found_by_its_platform_and_environment(assembly: Path) -> None:
    found = tags_of(assembly)
    assert len(found) == 30
    for name, tags in found.items():
        assert tags == {"platform": "mlops", "environment": name.split("/")[0]}


def test_a_user_s_tags_are_those_of_every_stack_and_resource(audited: Audit, full: Templates) -> None:
    for name, tags in tags_of(audited.assembly).items():
        if name.startswith("full/"):
            assert tags == {"platform": "mlops", "environment": "full", "team": "delays"}
    (key,) = of_type(full["full/foundation"], "AWS::KMS::Key").values()
    assert {"Key": "team", "Value": "delays"} in key["Properties"]["Tags"]
