"""Releases of a new model under load: in steps, without losing a request, and back when an alarm says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.cloudwatch import CloudWatchService
from tests.local_aws.executors.serving import Serving

HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


def canary(wait: int = 1, termination: int = 0, percent: int = 25, **more: Any) -> dict[str, Any]:
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": size}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": termination, **more}
    return {"BlueGreenUpdatePolicy": policy}


ALL_AT_ONCE = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": 1,
    }
}
LINEAR = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "LINEAR", "WaitIntervalInSeconds": 1, "LinearStepSize": HALF}
    }
}
ROLLING = {"RollingUpdatePolicy": {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": 1}}


class Releases:
    """An endpoint of two instances that serves the model `one`, and its alarms."""

    def __init__(self, serving: Serving, wait: Callable[..., Any]) -> None:
        self.serving = serving
        self._wait = wait
        self.cloudwatch = serving.server.client("cloudwatch")
        serving.server.add(CloudWatchService(serving.server.context))
        serving.model("one", "one")
        serving.config("config-one", {"live": "one"}, instances=2)
        serving.create("config-one")
        self.pids = self.processes()

    def processes(self) -> set[str]:
        return {self.serving.invoke("pid") for _ in range(8)}

    def new_model(self, **environment: str) -> None:
        self.serving.model("two", "two", **environment)
        self.serving.config("config-two", {"live": "two"}, instances=2)

    def alarm(self, metric: str, threshold: float, **statistic: str) -> dict[str, Any]:
        """Make an alarm on the new fleet, and return the configuration that names it."""
        names = {"EndpointName": "live", "VariantName": "live", "EndpointConfigName": "config-two"}
        self.cloudwatch.put_metric_alarm(
            AlarmName="release",
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
            ComparisonOperator="GreaterThanThreshold",
            Threshold=threshold,
            Period=60,
            EvaluationPeriods=1,
            TreatMissingData="notBreaching",
            **statistic,
        )
        return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "release"}]}}

    def update(self, deployment: dict[str, Any]) -> None:
        self.serving.sagemaker.update_endpoint(
            EndpointName="live", EndpointConfigName="config-two", DeploymentConfig=deployment
        )

    def stage(self, text: str) -> dict[str, Any]:
        """Wait until the new fleet is said to do something, and return the summary of the deployment."""

        def pending() -> dict[str, Any]:
            found: dict[str, Any] = self.serving.sagemaker.describe_endpoint(EndpointName="live")
            assert found["EndpointStatus"] == "Updating", found
            return dict(found.get("PendingDeploymentSummary", {}))

        return dict(self._wait(pending, lambda found: text in str(found)))


@pytest.fixture
def releases(serving: Serving, wait: Callable[..., Any]) -> Releases:
    return Releases(serving, wait)


@pytest.mark.parametrize(
    "deployment", [ALL_AT_ONCE, canary(), LINEAR, ROLLING], ids=["all", "canary", "linear", "rolling"]
)
def test_release_under_load_loses_no_request(releases: Releases, deployment: dict[str, Any]) -> None:
    releases.new_model()
    serving = releases.serving
    with serving.load() as load:
        releases.update(deployment)
        found = serving.settled()
        moment = time.monotonic()
        time.sleep(0.6)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "config-two")
    assert found["LastDeploymentConfig"] == deployment
    assert "PendingDeploymentSummary" not in found
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert not load.failures
    assert load.said() == {"one:", "two:"}
    # what was on its way when the old fleet left may still be answered by it
    assert set(load.since(moment + 0.3)) == {"two:"}


def test_canary_gets_its_share_until_the_clock_says_that_the_wait_is_over(releases: Releases) -> None:
    releases.new_model()
    serving, clock = releases.serving, releases.serving.server.context.clock
    releases.update(canary(wait=3600, termination=1800))
    summary = releases.stage("Baking")
    (variant,) = summary["ProductionVariants"]
    assert summary["EndpointConfigName"] == "config-two"
    assert variant["VariantStatus"][0]["StatusMessage"] == (
        "Baking for 3600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    )
    answers = [serving.invoke() for _ in range(200)]
    assert 20 < answers.count("two:") < 80
    clock.advance(timedelta(seconds=3600))
    releases.stage("TerminationWaitInSeconds")
    assert {serving.invoke() for _ in range(20)} == {"two:"}
    clock.advance(timedelta(seconds=1800))
    assert serving.settled()["EndpointConfigName"] == "config-two"
    details = [
        detail for _, kind, detail in serving.server.events if kind == "SageMaker Endpoint Deployment State Change"
    ]
    stages = [each["PendingDeploymentSummary"]["ProductionVariants"][0].get("VariantStatus") for each in details]
    statuses = [stage[0]["Status"] for stage in stages]
    assert statuses == ["Creating", "ActivatingTraffic", "Baking", "ActivatingTraffic", "Baking"]
    assert {each["EndpointStatus"] for each in details} == {"UPDATING"}


@pytest.mark.parametrize(
    ("environment", "metric", "threshold", "statistic"),
    [
        ({"STATUS": "500"}, "Invocation5XXErrors", 0, {"Statistic": "Sum"}),
        ({"SLEEP": "0.3"}, "ModelLatency", 250_000, {"ExtendedStatistic": "p99"}),
    ],
    ids=["500", "slow"],
)
def test_bad_model_is_rolled_back_by_its_alarm_and_the_old_one_never_stopped(
    releases: Releases, environment: dict[str, str], metric: str, threshold: float, statistic: dict[str, str]
) -> None:
    releases.new_model(**environment)
    alarm = releases.alarm(metric, threshold, **statistic)
    with releases.serving.load() as load:
        releases.update({**canary(wait=600), **alarm})
        found = releases.serving.settled()
        moment, failed = time.monotonic(), len(load.failures)
        time.sleep(0.8)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "config-one")
    assert "rolled back" in found["FailureReason"]
    assert "ALARM state: release" in found["FailureReason"]
    assert "PendingDeploymentSummary" not in found
    assert len(load.failures) <= failed + 4
    assert set(load.since(moment + 0.5)) == {"one:"}
    assert releases.processes() == releases.pids


def test_bad_model_of_a_rolling_update_gives_all_instances_back(releases: Releases) -> None:
    releases.new_model(STATUS="500")
    alarm = releases.alarm("Invocation5XXErrors", 0, Statistic="Sum")
    serving = releases.serving
    policy = {"MaximumBatchSize": HALF, "RollbackMaximumBatchSize": HALF, "WaitIntervalInSeconds": 60}
    releases.update({"RollingUpdatePolicy": policy, **alarm})
    releases.stage("Baking")
    serving.server.context.clock.advance(timedelta(seconds=60))
    releases.stage("enabled on 2 instance")
    with serving.load():
        found = serving.settled()
    assert found["EndpointConfigName"] == "config-one"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert {serving.invoke() for _ in range(8)} == {"one:"}
    assert len(releases.processes()) == 2


def test_alarm_that_is_on_already_stops_the_release_before_it_starts(
    releases: Releases, wait: Callable[..., Any]
) -> None:
    releases.new_model()
    alarm = releases.alarm("Invocation5XXErrors", 0, Statistic="Sum")
    releases.cloudwatch.put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {
                "MetricName": "Invocation5XXErrors",
                "Value": 1,
                "Dimensions": [
                    {"Name": "EndpointName", "Value": "live"},
                    {"Name": "VariantName", "Value": "live"},
                    {"Name": "EndpointConfigName", "Value": "config-two"},
                ],
            }
        ],
    )
    wait(
        lambda: releases.cloudwatch.describe_alarms(AlarmNames=["release"])["MetricAlarms"][0]["StateValue"],
        lambda state: state == "ALARM",
    )
    releases.update({**canary(wait=600), **alarm})
    found = releases.serving.settled()
    assert found["EndpointConfigName"] == "config-one"
    assert "didn't start" in found["FailureReason"]
    assert releases.processes() == releases.pids


def test_release_that_takes_too_long_is_rolled_back(releases: Releases) -> None:
    releases.new_model()
    releases.update(canary(wait=300, termination=200, MaximumExecutionTimeoutInSeconds=600))
    releases.stage("Baking")
    releases.serving.server.context.clock.advance(timedelta(seconds=700))
    found = releases.serving.settled()
    assert found["EndpointConfigName"] == "config-one"
    assert "MaximumExecutionTimeoutInSeconds, 600" in found["FailureReason"]


def test_release_that_cannot_start_keeps_the_old_fleet(releases: Releases) -> None:
    releases.new_model(BREAK_AT_START="yes")
    releases.update(ROLLING)
    found = releases.serving.settled()
    assert found["EndpointConfigName"] == "config-one"
    assert "the model is broken" in found["FailureReason"]
    assert releases.processes() == releases.pids


def test_last_deployment_config_can_be_used_again(releases: Releases) -> None:
    releases.new_model()
    releases.update(canary(wait=0))
    serving = releases.serving
    assert serving.settled()["LastDeploymentConfig"] == canary(wait=0)
    again = serving.update("config-one", RetainDeploymentConfig=True)
    assert again["LastDeploymentConfig"] == canary(wait=0)
    assert "LastDeploymentConfig" not in serving.update("config-two")


def test_release_is_planned_for_the_instances_that_a_scaled_endpoint_has(releases: Releases) -> None:
    releases.new_model()
    size = {"Type": "INSTANCE_COUNT", "Value": 2}
    one_by_one = canary(wait=0)
    one_by_one["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["CanarySize"] = size
    with pytest.raises(ClientError, match="got 2 of 2"):
        releases.update(one_by_one)
    sagemaker = releases.serving.sagemaker
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="live", DesiredWeightsAndCapacities=[{"VariantName": "live", "DesiredInstanceCount": 4}]
    )
    releases.serving.settled()
    found = releases.serving.update("config-two", RetainAllVariantProperties=True, DeploymentConfig=one_by_one)
    assert found["EndpointConfigName"] == "config-two"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 4


def test_release_watched_by_an_unknown_alarm_is_refused(releases: Releases) -> None:
    releases.new_model()
    alarms = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "nobody"}]}}
    with pytest.raises(ClientError, match="no CloudWatch alarm nobody"):
        releases.update({**canary(), **alarms})
    with pytest.raises(ClientError, match="at most 50 %"):
        releases.update(canary(percent=60))
    assert releases.serving.settled()["EndpointStatus"] == "InService"


def test_release_that_bakes_ends_with_the_local_aws(releases: Releases) -> None:
    releases.new_model()
    releases.update(canary(wait=3600))
    releases.stage("Baking")
    began = time.monotonic()
    for service in releases.serving.server.services:
        service.close()
    assert time.monotonic() - began < 10
