"""The pipeline of a monitor, its schedule, its metrics and its alarms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns

from mlops_constructs.model_monitor import ModelMonitor
from mlops_constructs.monitor_alarms import MonitorAlarms, MonitorLimits, MonitorMetrics
from mlops_constructs.pipeline_definition import PipelineDefinition
from mlops_constructs.pipeline_steps import JobResources, ProcessingStep
from mlops_constructs.runtime_image import RuntimeImage

Find = Callable[..., Any]
METRICS = MonitorMetrics(namespace="mlops/Monitoring", environment="dev", model="late")


@pytest.fixture
def monitor(stack: Stack, key: kms.Key, tmp_path: Path) -> ModelMonitor:
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    image = RuntimeImage(stack, "Image", repository_name="runtime", source=tmp_path, key=key)
    made = ModelMonitor(stack, "Monitor", pipeline_name="dev-Late-monitoring", image=image, key=key)
    step = ProcessingStep(
        name="Monitor",
        image_uri=image.uri,
        role_arn=made.job_role.role_arn,
        command=["python3"],
        resources=JobResources(instance_type="ml.m5.large"),
    )
    made.define(PipelineDefinition(parameters=[], steps=[step]), description="-")
    return made


def alarms_of(stack: Stack, limits: MonitorLimits) -> MonitorAlarms:
    return MonitorAlarms(stack, "Alarms", metrics=METRICS, limits=limits, topic=sns.Topic(stack, "Topic"))


def test_schedule_starts_the_pipeline_by_a_role_that_may_do_only_that(
    monitor: ModelMonitor, resources: Find, statements: Find
) -> None:
    monitor.on_schedule("Schedule", "cron(0 10 * * ? *)")
    (schedule,) = [each["Properties"] for each in resources("AWS::Scheduler::Schedule").values()]
    assert schedule["ScheduleExpression"] == "cron(0 10 * * ? *)"
    assert "SageMakerPipelineParameters" in schedule["Target"]
    (role,) = [name for name in resources("AWS::IAM::Role") if "ScheduleRole" in name]
    (statement,) = statements(role)
    assert statement["Action"] == ["sagemaker:StartPipelineExecution"]
    places = [json.dumps(each) for each in statement["Resource"]]
    assert [place.split("pipeline/")[1][:19] for place in places] == ["dev-Late-monitoring", "dev-late-monitoring"]


def test_job_may_see_which_version_an_endpoint_serves_and_change_nothing(
    monitor: ModelMonitor, resources: Find, statements: Find
) -> None:
    monitor.grant_look_at_endpoint("dev-late")
    (role,) = [name for name in resources("AWS::IAM::Role") if name.startswith("MonitorJobRole")]
    found = {action for each in statements(role) for action in each["Action"] if action.startswith("sagemaker:")}
    assert found == {"sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel"}


def test_only_what_is_checked_has_an_alarm(stack: Stack, resources: Find) -> None:
    assert set(alarms_of(stack, MonitorLimits()).by_cause) == {"drift"}
    assert len(resources("AWS::CloudWatch::Alarm")) == 1


def test_each_limit_is_an_alarm_that_several_bad_runs_turn_on_and_missing_ones_leave_alone(
    stack: Stack, resources: Find
) -> None:
    limits = MonitorLimits(moved_features=2, quality_loss=0.05, bias=True, minimum_ndcg=0.9)
    assert set(alarms_of(stack, limits).by_cause) == {"drift", "quality", "bias", "attributions"}
    found = {
        each["Properties"]["MetricName"]: each["Properties"] for each in resources("AWS::CloudWatch::Alarm").values()
    }
    assert {
        name: (each["ComparisonOperator"], each["Threshold"], each["Statistic"]) for name, each in found.items()
    } == {
        "DriftedFeatures": ("GreaterThanOrEqualToThreshold", 2, "Maximum"),
        "QualityBroken": ("GreaterThanOrEqualToThreshold", 1, "Maximum"),
        "BiasBroken": ("GreaterThanThreshold", 0, "Maximum"),
        "AttributionNdcg": ("LessThanThreshold", 0.9, "Minimum"),
    }
    for each in found.values():
        assert (each["Period"], each["EvaluationPeriods"], each["DatapointsToAlarm"]) == (86400, 3, 2)
        assert each["TreatMissingData"] == "ignore"
        assert each["Dimensions"] == [{"Name": "Environment", "Value": "dev"}, {"Name": "Model", "Value": "late"}]
        assert len(each["AlarmActions"]) == 1


def test_silence_is_told_of_an_endpoint_that_is_there(stack: Stack, resources: Find) -> None:
    alarms_of(stack, MonitorLimits()).watch_silence("dev-late", "live", 2)
    (alarm,) = [
        each["Properties"] for each in resources("AWS::CloudWatch::Alarm").values() if "Metrics" in each["Properties"]
    ]
    assert alarm["Metrics"][0]["Expression"] == "IF(there > 0, FILL(rows, 0))"
    assert alarm["TreatMissingData"] == "notBreaching"
    there = {each["Id"]: each["MetricStat"]["Metric"] for each in alarm["Metrics"][1:]}["there"]
    assert there["Dimensions"] == [
        {"Name": "EndpointName", "Value": "dev-late"}, {"Name": "VariantName", "Value": "live"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"datapoints": 4, "of": 3}, "datapoints must be from 1 to 3, got 4"),
        ({"of": 8}, "looks back seven days at the most, got 8 periods"),
        ({"period": Duration.minutes(5)}, "period must be from an hour to a day, got 5 minutes"),
        ({"period": Duration.days(2)}, "period must be from an hour to a day"),
        ({"moved_features": 0}, "moved_features must be at least 1, got 0"),
    ],
)
def test_limits_that_cloudwatch_does_not_take_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MonitorLimits(**change)
