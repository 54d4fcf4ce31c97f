"""Several instances behind one endpoint: they share the requests, come and go, and stand in for each other."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.local_aws.executors.serving import Serving


def counts(found: dict[str, Any]) -> tuple[int, int]:
    (variant,) = found["ProductionVariants"]
    return variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]


def scale(serving: Serving, count: int) -> None:
    serving.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="live", DesiredWeightsAndCapacities=[{"VariantName": "live", "DesiredInstanceCount": count}]
    )


@pytest.fixture
def three(serving: Serving) -> Serving:
    """An endpoint of three instances."""
    serving.model("one", "first")
    serving.config("config", {"live": "one"}, instances=3)
    assert counts(serving.create("config")) == (3, 3)
    return serving


def test_instances_share_the_requests(three: Serving) -> None:
    assert sorted(Counter(three.invoke("pid") for _ in range(12)).values()) == [4, 4, 4]


def test_busy_instance_gets_no_more_than_its_share(three: Serving) -> None:
    slow = [threading.Thread(target=three.invoke, args=("slow",)) for _ in range(2)]
    for each in slow:
        each.start()
    time.sleep(0.2)
    assert len({three.invoke("pid") for _ in range(6)}) == 1
    for each in slow:
        each.join()


def test_killed_instance_is_replaced_and_no_client_sees_it(three: Serving, wait: Callable[..., Any]) -> None:
    pids = {three.invoke("pid") for _ in range(6)}
    with three.load("pid") as load:
        time.sleep(0.3)
        killed = pids.pop()
        os.kill(int(killed), signal.SIGKILL)
        wait(lambda: {three.invoke("pid") for _ in range(9)} - {killed}, lambda now: len(now) == 3)
    assert not load.failures
    assert len(load.answers) > 50
    assert "exit code 137" in three.logged("exit code")


def test_request_in_flight_on_a_dying_instance_is_answered_by_another(three: Serving) -> None:
    pids = {three.invoke("pid") for _ in range(6)}
    answers: list[str] = []
    slow = [threading.Thread(target=lambda: answers.append(three.invoke("slow"))) for _ in range(6)]
    for each in slow:
        each.start()
    time.sleep(0.2)
    os.kill(int(pids.pop()), signal.SIGKILL)
    for each in slow:
        each.join()
    assert answers == ["first"] * 6


def test_endpoint_scales_out_and_in_without_losing_a_request(three: Serving) -> None:
    with three.load("slow") as load:
        for count in (1, 4, 2):
            scale(three, count)
            assert counts(three.settled()) == (count, count)
    assert not load.failures
    assert load.said() == {"first"}
    assert len({three.invoke("pid") for _ in range(8)}) == 2
    statuses = [
        detail["EndpointStatus"] for _, kind, detail in three.server.events if kind == "SageMaker Endpoint State Change"
    ]
    assert statuses[-6:] == ["UPDATING", "IN_SERVICE"] * 3
    told = [detail for _, kind, detail in three.server.events if kind == "SageMaker Endpoint Deployment State Change"]
    messages = [each["ProductionVariants"][0]["VariantStatus"][0]["StatusMessage"] for each in told]
    assert messages == [
        f"Scaling {way} desired instance count to {count}." for way, count in (("in", 1), ("out", 4), ("in", 2))
    ]


def test_more_instances_than_this_machine_runs_are_counted_as_asked(
    three: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    scale(three, 20)
    assert counts(three.settled()) == (20, 20)
    assert len({three.invoke("pid") for _ in range(12)}) == 4
    assert "20 instances: 4 of them run on this machine" in caplog.text


def test_variant_that_cannot_grow_keeps_what_it_has_and_says_why(three: Serving) -> None:
    three.server.client("s3").delete_object(Bucket="lake", Key="models/one/model.tar.gz")
    scale(three, 4)
    found = three.settled()
    assert counts(found) == (3, 3)
    assert "Could not find model data" in found["FailureReason"]
    assert three.invoke() == "first:"


def test_instance_that_does_not_leave_ends_with_the_local_aws(three: Serving) -> None:
    pids = {int(three.invoke("pid")) for _ in range(6)}
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # they don't react to SIGTERM
    scale(three, 1)
    assert counts(three.settled()) == (1, 1)
    began = time.monotonic()
    for service in three.server.services:
        service.close()
    assert time.monotonic() - began < 10
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
