"""What CloudWatch is told of an endpoint's requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.cloudwatch import CloudWatchService
from local_aws.sagemaker import endpoint_metrics
from tests.local_aws.executors.serving import Serving


def told(serving: Serving, name: str, *, namespace: str = "AWS/SageMaker", **dimensions: str) -> dict[str, float]:
    """Return the statistics of a metric of the variant `live` of the endpoint `live`."""
    now = datetime.now(UTC)
    points = serving.server.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[
            {"Name": name, "Value": value}
            for name, value in {"EndpointName": "live", "VariantName": "live", **dimensions}.items()
        ],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=10),
        Period=3600,
        Statistics=["Sum", "SampleCount", "Average"],
        ExtendedStatistics=["p50", "p99"],
    )["Datapoints"]
    return {**points[0], **points[0]["ExtendedStatistics"]} if points else {"SampleCount": 0}


@pytest.fixture
def measured(serving: Serving) -> Serving:
    serving.server.add(CloudWatchService(serving.server.context))
    serving.model("one", "first")
    serving.config("config", {"live": "one"}, instances=2)
    serving.create("config")
    return serving


def test_requests_errors_and_latencies_reach_cloudwatch(measured: Serving, wait: Callable[..., Any]) -> None:
    for _ in range(7):
        measured.invoke()
    measured.invoke("slow")
    for body in ("fail", "broken"):
        with pytest.raises(ClientError):
            measured.invoke(body)
    wait(lambda: told(measured, "Invocations"), lambda found: found["SampleCount"] >= 20)
    # with and without the configuration's name, which moto's statistics don't tell apart
    for dimensions in ({}, {"EndpointConfigName": "config"}):
        times = 1 if dimensions else 2
        sums = {
            name: told(measured, name, **dimensions)["Sum"] / times
            for name in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
        }
        assert sums == {
            "Invocations": 10,
            "Invocation4XXErrors": 1,
            "Invocation5XXErrors": 1,
            "InvocationModelErrors": 2,
        }
        assert told(measured, "InvocationsPerInstance", **dimensions)["Sum"] / times == 5
    assert told(measured, "Invocation5XXErrors")["Average"] == pytest.approx(0.1)
    latency = told(measured, "ModelLatency")
    assert latency["Unit"] == "Microseconds"
    assert latency["p50"] < 400_000 < latency["p99"] < 900_000
    assert told(measured, "OverheadLatency")["p50"] < 100_000


def test_instances_say_how_much_of_the_machine_they_use(
    measured: Serving, wait: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_metrics, "USAGE_SECONDS", 0.0)
    measured.invoke()
    usage = wait(
        lambda: told(measured, "CPUUtilization", namespace="/aws/sagemaker/Endpoints"),
        lambda found: found["SampleCount"] >= 2,
    )
    assert 0 <= usage["Average"] < 400
    assert 0 < told(measured, "MemoryUtilization", namespace="/aws/sagemaker/Endpoints")["Average"] < 50


def test_metrics_are_told_before_time_moves_on(measured: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_metrics, "FLUSH_SECONDS", 3600.0)
    measured.invoke()
    assert told(measured, "Invocations")["SampleCount"] == 0
    measured.server.context.clock.busy()
    assert told(measured, "Invocations", EndpointConfigName="config")["SampleCount"] == 1


def test_bucket_of_a_latency_is_one_percent_wide() -> None:
    for seconds in (0.000_1, 0.003, 0.25, 59.0):
        (found,) = endpoint_metrics._latencies({endpoint_metrics._bucket(seconds): 1})
        assert found == pytest.approx(seconds * 1e6, rel=0.011)
