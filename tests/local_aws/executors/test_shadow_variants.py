"""Shadow variants: copies of requests that are measured and captured, and that no client ever notices."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.sagemaker import shadow
from tests.local_aws.executors.serving import Serving, capture


def shadowed(serving: Serving, weight: float = 1.0, **environment: str) -> None:
    """Make an endpoint of the model `one` with the shadow `dark` of the model `two`."""
    serving.model("one", "one")
    serving.model("two", "two", **environment)
    variant = {"ModelName": "two", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    dark = [{"VariantName": "dark", "InitialVariantWeight": weight, **variant}]
    serving.config("config", {"live": "one"}, ShadowProductionVariants=dark, DataCaptureConfig=capture())
    assert serving.create("config")["EndpointStatus"] == "InService"


def invocations(serving: Serving, variant: str, metric: str = "Invocations") -> float:
    now = datetime.now(UTC)
    names = {"EndpointName": "live", "VariantName": variant, "EndpointConfigName": "config"}
    points = serving.server.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=10),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


def test_shadow_gets_copies_that_are_measured_and_captured(serving: Serving, wait: Callable[..., Any]) -> None:
    shadowed(serving)
    found = serving.sagemaker.describe_endpoint(EndpointName="live")
    assert [each["VariantName"] for each in found["ProductionVariants"]] == ["live"]
    assert [each["VariantName"] for each in found["ShadowProductionVariants"]] == ["dark"]
    assert {serving.invoke(InferenceId="flight") for _ in range(10)} == {"one:"}
    lines = wait(lambda: serving.captured("captured/live/dark/"), lambda lines: len(lines) == 10)
    assert {line["captureData"]["endpointOutput"]["data"] for line in lines} == {"two:"}
    assert {line["eventMetadata"]["inferenceId"] for line in lines} == {"flight"}
    live = wait(lambda: serving.captured("captured/live/live/"), lambda lines: len(lines) == 10)
    assert {line["captureData"]["endpointOutput"]["data"] for line in live} == {"one:"}
    assert wait(lambda: invocations(serving, "dark"), lambda count: count >= 10) == 10
    with pytest.raises(ClientError, match="dark not found"):
        serving.invoke(TargetVariant="dark")


def test_weight_of_the_shadow_is_the_share_of_requests_that_it_gets(serving: Serving, wait: Callable[..., Any]) -> None:
    shadowed(serving, weight=0.25)
    for _ in range(160):
        serving.invoke()
    wait(lambda: invocations(serving, "live"), lambda count: count == 160)
    assert 15 < invocations(serving, "dark") < 70


def test_shadow_that_fails_touches_no_client(serving: Serving, wait: Callable[..., Any]) -> None:
    shadowed(serving, STATUS="500")
    assert {serving.invoke() for _ in range(10)} == {"one:"}
    assert wait(lambda: invocations(serving, "dark", "Invocation5XXErrors"), lambda count: count >= 10) == 10
    assert invocations(serving, "live", "Invocation5XXErrors") == 0


def test_shadow_that_hangs_touches_no_client(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "MOST_WAITING", 4)
    shadowed(serving, SLEEP="3600")
    began = time.monotonic()
    assert {serving.invoke() for _ in range(60)} == {"one:"}
    assert time.monotonic() - began < 5
    assert "copies of requests were dropped" in serving.logged("dropped", "dark/")
    began = time.monotonic()
    serving.model("three", "three")
    serving.config("config-three", {"live": "three"})
    serving.update("config-three")
    assert {serving.invoke() for _ in range(4)} == {"three:"}
    assert time.monotonic() - began < 10


def test_shadow_beside_two_production_variants_is_refused(serving: Serving) -> None:
    serving.model("one", "one")
    dark = {"VariantName": "dark", "ModelName": "one", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    with pytest.raises(ClientError, match="exactly one production variant"):
        serving.config("config", {"blue": "one", "green": "one"}, ShadowProductionVariants=[dark])
    with pytest.raises(ClientError, match="not unique"):
        serving.config("config", {"dark": "one"}, ShadowProductionVariants=[dark])
