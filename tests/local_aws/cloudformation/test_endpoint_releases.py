"""Releases of endpoints as CloudFormation deploys them: it waits for their end, and rolls back with them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from local_aws.passing_time import advance
from local_aws.service import Image
from tests.local_aws.cloudformation.deployer import Deployer, resource
from tests.local_aws.executors.serving import CONTAINER, model_archive

ROLE = "arn:aws:iam::123456789012:role/serving"


class Release:
    """A stack with an endpoint whose releases are canaried, and an alarm that watches it."""

    def __init__(self, stack: Deployer, image: str) -> None:
        self.stack = stack
        # the metrics of an endpoint outlive it
        self.name = stack.name[-40:].lstrip("-")
        self._image = image
        self._runtime = stack.client("sagemaker-runtime")
        stack.client("s3").create_bucket(Bucket="released")
        for name in ("one", "two"):
            stack.client("s3").put_object(Bucket="released", Key=name, Body=model_archive(name))

    def deploy(self, model: str, *, wait: int, **environment: str) -> dict[str, Any]:
        container = {"Image": self._image, "ModelDataUrl": f"s3://released/{model}", "Environment": environment}
        variant = {
            "VariantName": "live", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
            "InstanceType": "ml.m5.large", "InitialInstanceCount": 2, "InitialVariantWeight": 1,
        }  # fmt: skip
        size = {"Type": "CAPACITY_PERCENT", "Value": 50}
        routing = {"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": size}
        return self.stack.deploy(
            {
                "Model": resource("SageMaker::Model", {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}),
                "Config": resource("SageMaker::EndpointConfig", {"ProductionVariants": [variant]}),
                "Alarm": resource(
                    "CloudWatch::Alarm",
                    {
                        "AlarmName": "released",
                        "Namespace": "AWS/SageMaker",
                        "MetricName": "Invocation5XXErrors",
                        "Dimensions": [
                            {"Name": "EndpointName", "Value": self.name},
                            {"Name": "VariantName", "Value": "live"},
                        ],
                        "Statistic": "Sum",
                        "ComparisonOperator": "GreaterThanThreshold",
                        "Threshold": 0,
                        "Period": 60,
                        "EvaluationPeriods": 1,
                        "TreatMissingData": "notBreaching",
                    },
                ),
                "Endpoint": resource(
                    "SageMaker::Endpoint",
                    {
                        "EndpointName": self.name,
                        "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                        "RetainAllVariantProperties": True,
                        "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
                        "DeploymentConfig": {
                            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
                            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": {"Ref": "Alarm"}}]},
                        },
                    },
                ),
            }
        )

    def ask(self, body: str = "1,2") -> str:
        answer = self._runtime.invoke_endpoint(EndpointName=self.name, ContentType="text/csv", Body=body.encode())
        return str(answer["Body"].read().decode())

    def processes(self) -> set[str]:
        return {self.ask("pid") for _ in range(8)}

    def fails(self) -> bool:
        try:
            self.ask()
        except self._runtime.exceptions.ModelError:
            return True
        return False

    @contextmanager
    def asked(self) -> Iterator[list[str]]:
        """Ask all the time; yields the answers."""
        answers: list[str] = []
        stop = Event()

        def ask() -> None:
            while not stop.wait(0.02):
                try:
                    answers.append(self.ask())
                except self._runtime.exceptions.ModelError:
                    answers.append("failed")

        asking = Thread(target=ask)
        asking.start()
        try:
            yield answers
        finally:
            stop.set()
            asking.join()


@pytest.fixture
def release(stack: Deployer, tmp_path: Path) -> Release:
    script = tmp_path / "model.py"
    script.write_text(CONTAINER)
    stack.context.images["released"] = Image(sys.executable, (sys.executable, str(script)))  # type: ignore[index]
    return Release(stack, "123456789012.dkr.ecr.us-east-1.amazonaws.com/released:1")


def test_stack_waits_for_the_release_and_rolls_back_with_it(release: Release) -> None:
    stack, sagemaker = release.stack, release.stack.client("sagemaker")
    assert release.deploy("one", wait=600)["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    began = time.monotonic()
    assert release.deploy("two", wait=1)["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    assert time.monotonic() - began > 1
    assert release.ask() == "two:"
    serving, config = release.processes(), sagemaker.describe_endpoint(EndpointName=release.name)["EndpointConfigName"]
    with release.asked() as answers:
        assert release.deploy("one", wait=600, STATUS="500")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "went into the ALARM state: released" in stack.reasons()
    found = sagemaker.describe_endpoint(EndpointName=release.name)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", config)
    assert release.processes() == serving
    assert set(answers) == {"two:", "failed"}
    assert len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_time_that_is_moved_on_does_not_pass_an_alarm_by(release: Release) -> None:
    stack, sagemaker = release.stack, release.stack.client("sagemaker")
    assert release.deploy("one", wait=600)["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    ends: list[dict[str, Any]] = []
    deploying = Thread(target=lambda: ends.append(release.deploy("two", wait=600, STATUS="500")))
    deploying.start()
    deadline = time.monotonic() + 30
    while "Baking" not in str(sagemaker.describe_endpoint(EndpointName=release.name)) or not release.fails():
        assert time.monotonic() < deadline
    advance(int(stack.context.endpoint_url.rpartition(":")[2]), timedelta(minutes=11))
    deploying.join(timeout=30)
    assert ends[0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "went into the ALARM state: released" in stack.reasons()
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
