"""Serverless endpoints: containers that start with requests, refuse too many of them, and go when nobody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.serving import ROLE, Serving, capture
from tests.local_aws.serving_shapes.conftest import Machine

# asked for, and what is told of it
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"DataCaptureConfig": capture()}, "DataCaptureConfig isn't supported"),
    ({"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}, "VpcConfig isn't supported"),
    ({"variant": {"InstanceType": "ml.m5.large"}}, "no InstanceType"),
    ({"serverless": {"MemorySizeInMB": 1500}}, "multiple of 1024, got 1500"),
    ({"serverless": {"ProvisionedConcurrency": 3}}, "3 must not be above MaxConcurrency 2"),
    ({"model": "isolated"}, "has EnableNetworkIsolation"),
)


class Serverless:
    """The serverless endpoint `live`."""

    def __init__(self, machine: Machine, serving: Serving) -> None:
        self.machine = machine
        self.serving = serving
        serving.model("one", "first")

    def config(self, name: str = "config", *, most: int = 2, model: str = "one", **extra: Any) -> None:
        serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": most, **extra.pop("serverless", {})}
        variant = {
            "VariantName": "live",
            "ModelName": model,
            "ServerlessConfig": serverless,
            **extra.pop("variant", {}),
        }
        self.serving.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **extra)

    def create(self, **options: Any) -> dict[str, Any]:
        self.config(**options)
        return self.serving.create("config")

    def containers(self) -> int:
        """Return how many containers there are."""
        (where,) = [each for name, each in self.machine.status()["endpoints"].items() if name == "live"]
        return len([each for each in where.split(", ") if each])

    def together(self, number: int, body: str = "slow") -> list[str]:
        """Send requests at the same time, and return their answers or error codes."""
        answers: list[str] = []

        def ask() -> None:
            try:
                answers.append(self.serving.invoke(body))
            except ClientError as error:
                answers.append(error.response["Error"]["Code"])

        clients = [threading.Thread(target=ask) for _ in range(number)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(timeout=20)
        return sorted(answers)

    def measured(self, name: str, statistic: str) -> float:
        now = self.machine.clock.now()
        found = self.machine.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=name, Statistics=[statistic], Period=3600,
            StartTime=now.replace(hour=5), EndTime=now.replace(hour=8),
            Dimensions=[{"Name": "EndpointName", "Value": "live"}, {"Name": "VariantName", "Value": "live"}],
        )["Datapoints"]  # fmt: skip
        return float(found[0][statistic]) if found else 0.0


@pytest.fixture
def serverless(machine: Machine, serving: Serving) -> Serverless:
    return Serverless(machine, serving)


def test_container_starts_with_the_first_request_and_goes_when_it_was_idle(
    serverless: Serverless, wait: Callable[..., Any]
) -> None:
    found = serverless.create()
    assert found["ProductionVariants"][0]["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    assert serverless.containers() == 0
    assert serverless.serving.invoke() == "first:"
    assert serverless.serving.invoke() == "first:"
    assert serverless.containers() == 1
    assert serverless.measured("ModelSetupTime", "SampleCount") == 1
    assert serverless.measured("ModelSetupTime", "Maximum") > 10_000  # microseconds
    serverless.machine.pass_time(minutes=4)
    assert serverless.containers() == 1
    serverless.machine.pass_time(minutes=2)
    wait(serverless.containers, lambda count: count == 0)
    assert serverless.serving.invoke() == "first:"
    assert serverless.measured("ModelSetupTime", "SampleCount") == 2


def test_each_request_at_the_same_time_has_its_container_and_more_are_refused(serverless: Serverless) -> None:
    serverless.create(most=2)
    answers = serverless.together(5)
    assert answers.count("first") == 2
    assert answers.count("ThrottlingException") == 3
    assert serverless.containers() == 2
    assert serverless.measured("ServerlessConcurrentExecutionsUtilization", "Maximum") == 1.0


def test_provisioned_containers_are_warm_from_the_start_and_stay(serverless: Serverless) -> None:
    serverless.create(serverless={"ProvisionedConcurrency": 1})
    assert serverless.containers() == 1
    serverless.together(2)
    assert serverless.containers() == 2
    serverless.machine.pass_time(minutes=10)
    assert serverless.containers() == 1
    serverless.serving.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="live",
        DesiredWeightsAndCapacities=[
            {"VariantName": "live", "ServerlessUpdateConfig": {"MaxConcurrency": 3, "ProvisionedConcurrency": 2}}
        ],
    )
    found = serverless.serving.settled()["ProductionVariants"][0]["CurrentServerlessConfig"]
    assert (found["MaxConcurrency"], found["ProvisionedConcurrency"]) == (3, 2)
    assert serverless.containers() == 2


def test_container_that_dies_is_replaced_by_the_next_request(serverless: Serverless) -> None:
    serverless.create()
    with pytest.raises(ClientError, match="not reachable"):
        serverless.serving.invoke("die")
    assert serverless.serving.invoke() == "first:"


def test_container_that_cant_start_is_an_error_of_the_model(serverless: Serverless) -> None:
    serverless.serving.model("broken", "broken", BREAK_AT_START="yes")
    serverless.create(model="broken")
    with pytest.raises(ClientError, match="the model is broken"):
        serverless.serving.invoke()


def test_what_serverless_endpoints_dont_have_is_refused(serverless: Serverless) -> None:
    serverless.serving.sagemaker.create_model(
        ModelName="isolated", ExecutionRoleArn=ROLE, EnableNetworkIsolation=True,
        PrimaryContainer={"Image": serverless.serving.image},
    )  # fmt: skip
    for wrong, told in REFUSED:
        with pytest.raises(ClientError, match=told):
            serverless.config(**wrong)


def test_update_swaps_the_model_and_keeps_the_shape(serverless: Serverless) -> None:
    serverless.create()
    assert serverless.serving.invoke() == "first:"
    serverless.serving.model("two", "second")
    serverless.config("config-two", model="two", most=3)
    found = serverless.serving.update("config-two", RetainAllVariantProperties=True)
    assert found["ProductionVariants"][0]["CurrentServerlessConfig"]["MaxConcurrency"] == 3
    assert serverless.serving.invoke() == "second:"
    assert serverless.containers() == 1


def test_endpoint_with_instances_cant_become_serverless(serverless: Serverless) -> None:
    serverless.serving.config("instances", {"live": "one"})
    serverless.config("none")
    serverless.serving.create("instances")
    with pytest.raises(ClientError, match="can't become serverless"):
        serverless.serving.update("none")
    with pytest.raises(ClientError, match="no ServerlessUpdateConfig"):
        serverless.serving.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="live",
            DesiredWeightsAndCapacities=[{"VariantName": "live", "ServerlessUpdateConfig": {"MaxConcurrency": 3}}],
        )
    assert serverless.serving.invoke() == "first:"
