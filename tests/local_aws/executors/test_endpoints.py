"""Endpoints: live processes behind InvokeEndpoint, releases that lose no request, and captured traffic."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.serving import Serving, capture


def test_endpoint_serves_the_model_of_its_configuration(serving: Serving) -> None:
    serving.model("one", "first", FLAVOUR="sweet")
    serving.config("config-one", {"live": "one"})
    found = serving.create("config-one")
    assert found["EndpointStatus"] == "InService"
    assert found["ProductionVariants"][0]["VariantName"] == "live"
    assert serving.invoke() == "first:sweet"
    assert serving.server.event(EndpointName="live", EndpointStatus="IN_SERVICE")
    assert "loaded first" in serving.logged("loaded")


def test_request_headers_reach_the_container(serving: Serving) -> None:
    serving.model("one", "first")
    serving.config("config-one", {"live": "one"})
    serving.create("config-one")
    seen = json.loads(
        serving.invoke("headers", Accept="application/json", CustomAttributes="trace=7", InferenceId="flight-1")
    )
    headers = {name.lower(): value for name, value in seen.items()}
    assert headers["content-type"] == "text/csv"
    assert headers["accept"] == "application/json"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=7"
    assert headers["x-amzn-sagemaker-inference-id"] == "flight-1"


def test_update_swaps_the_model_without_losing_a_request(serving: Serving) -> None:
    for name in ("one", "two"):
        serving.model(name, name)
        serving.config(f"config-{name}", {"live": name})
    serving.create("config-one")
    answers: list[str] = []
    failures: list[Exception] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(serving.invoke("slow"))
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=ask) for _ in range(6)]
    for client in clients:
        client.start()
    try:
        found = serving.update("config-two")
        assert serving.invoke("slow") == "two"
    finally:
        stop.set()
        for client in clients:
            client.join(timeout=10)
    assert found["EndpointConfigName"] == "config-two"
    assert not failures
    assert set(answers) <= {"one", "two"}
    assert "one" in answers


def test_failed_update_keeps_the_old_model_in_service(serving: Serving) -> None:
    serving.model("good", "good")
    serving.model("broken", "broken", BREAK_AT_START="yes")
    serving.config("config-good", {"live": "good"})
    serving.config("config-broken", {"live": "broken"})
    serving.create("config-good")
    found = serving.update("config-broken")
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == "config-good"
    assert "the model is broken" in found["FailureReason"]
    assert serving.invoke() == "good:"


def test_refusal_of_the_container_is_a_model_error_with_its_words(serving: Serving) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    serving.create("config")
    with pytest.raises(ClientError) as raised:
        serving.invoke("fail")
    answer = raised.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 400
    assert answer["OriginalMessage"] == '{"error": "row 1: no"}'


def test_exchanges_are_captured_line_by_line_under_the_hour(serving: Serving, wait: Callable[..., Any]) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"}, DataCaptureConfig=capture())
    serving.create("config")
    serving.invoke("1,2\n3,4", InferenceId="flight-1", CustomAttributes="trace=7")
    serving.invoke("5,6")
    with pytest.raises(ClientError):
        serving.invoke("fail")
    lines = wait(serving.captured, lambda found: len(found) == 2)
    first = next(line for line in lines if line["eventMetadata"].get("inferenceId") == "flight-1")
    assert first["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "1,2\n3,4",
        "encoding": "CSV",
    }
    assert first["captureData"]["endpointOutput"]["data"] == "first:"
    assert first["eventMetadata"]["customAttributes"] == ["trace=7"]
    assert first["eventVersion"] == "0"
    key = serving.server.client("s3").list_objects_v2(Bucket="lake", Prefix="captured/")["Contents"][0]["Key"]
    assert key.startswith("captured/live/live/" + time.strftime("%Y/%m/%d/", time.gmtime()))
    assert Path(key).suffix == ".jsonl"


def test_content_that_is_not_listed_is_captured_in_base64(serving: Serving, wait: Callable[..., Any]) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"}, DataCaptureConfig=capture(CaptureOptions=[{"CaptureMode": "Input"}]))
    serving.create("config")
    serving.invoke("\x00binary", ContentType="application/x-npy")
    (line,) = wait(serving.captured, bool)
    assert line["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert base64.b64decode(line["captureData"]["endpointInput"]["data"]) == b"\x00binary"
    assert "endpointOutput" not in line["captureData"]


def test_sampling_of_nothing_captures_nothing(serving: Serving) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"}, DataCaptureConfig=capture(InitialSamplingPercentage=0))
    serving.create("config")
    serving.invoke()
    serving.sagemaker.delete_endpoint(EndpointName="live")  # deleting writes what is left
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            serving.sagemaker.describe_endpoint(EndpointName="live")
        except ClientError:
            break
    assert serving.captured() == []


def test_two_models_have_the_shares_of_their_weights(serving: Serving) -> None:
    for name in ("one", "two"):
        serving.model(name, name)
    serving.config("config", {"champion": "one", "challenger": "two"})
    serving.create("config")
    serving.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="live", DesiredWeightsAndCapacities=[{"VariantName": "champion", "DesiredWeight": 9.0}]
    )
    serving.settled()
    answers = [serving.invoke() for _ in range(200)]
    assert 5 <= answers.count("two:") <= 45
    assert answers.count("one:") + answers.count("two:") == 200


def test_variants_share_requests_by_weight_and_can_be_named(serving: Serving) -> None:
    for name in ("one", "two"):
        serving.model(name, name)
    serving.config("config", {"blue": "one", "green": "two"})
    serving.create("config")
    assert serving.invoke(TargetVariant="green") == "two:"
    serving.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="live", DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredWeight": 0.0}]
    )
    serving.settled()
    assert {serving.invoke() for _ in range(8)} == {"two:"}
    serving.config("config-again", {"blue": "one", "green": "two"})
    kept = serving.update("config-again", RetainAllVariantProperties=True)
    assert {item["VariantName"]: item["CurrentWeight"] for item in kept["ProductionVariants"]} == {
        "blue": 0.0,
        "green": 1.0,
    }
    with pytest.raises(ClientError, match="purple"):
        serving.invoke(TargetVariant="purple")
