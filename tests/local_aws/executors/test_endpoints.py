"""Endpoints: live processes behind InvokeEndpoint, releases that lose no request, and captured traffic."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/serving"
ENDED = {"InService", "Failed"}

# a container under the hosting contract: answers with its model's content, and the headers that it got
CONTAINER = """
import http.server, json, os, pathlib, sys, time

base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
assert sys.argv[1] == "serve"
if os.environ.get("BREAK_AT_START"):
    sys.exit("the model is broken")
model = (base / "model" / "model.txt").read_text()
print("loaded", model, flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"fail":
            self.answer(400, b'{"error": "row 1: no"}')
        elif body == b"die":
            os._exit(9)
        elif body == b"pid":
            self.answer(200, str(os.getpid()).encode())
        elif body == b"headers":
            self.answer(200, json.dumps(dict(self.headers)).encode(), "application/json")
        elif body == b"slow":
            time.sleep(0.5)
            self.answer(200, model.encode())
        else:
            self.answer(200, f"{model}:{os.environ.get('FLAVOUR', '')}".encode())

    def answer(self, status, body, content_type="text/csv"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


class Serving:
    """Models, configurations and one endpoint, made through the API."""

    def __init__(self, server: Any, sagemaker: Any, wait: Callable[..., Any]) -> None:
        self.server = server
        self.sagemaker = sagemaker
        self.runtime = server.client("sagemaker-runtime")
        self.image = server.image(CONTAINER)
        self._wait = wait

    def model(self, name: str, content: str, **environment: str) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            member = tarfile.TarInfo("model.txt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
        key = f"models/{name}/model.tar.gz"
        self.server.client("s3").put_object(Bucket="lake", Key=key, Body=packed.getvalue())
        container = {"Image": self.image, "ModelDataUrl": f"s3://lake/{key}", "Environment": environment}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)

    def config(self, name: str, models: dict[str, str], **extra: Any) -> None:
        variants = [
            {"VariantName": variant, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            for variant, model in models.items()
        ]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **extra)

    def create(self, config: str) -> dict[str, Any]:
        self.sagemaker.create_endpoint(EndpointName="live", EndpointConfigName=config)
        return self.settled()

    def update(self, config: str, **extra: Any) -> dict[str, Any]:
        self.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName=config, **extra)
        return self.settled()

    def settled(self) -> dict[str, Any]:
        found: dict[str, Any] = self._wait(
            lambda: self.sagemaker.describe_endpoint(EndpointName="live"), lambda it: it["EndpointStatus"] in ENDED
        )
        return found

    def invoke(self, body: str = "1,2", **extra: Any) -> str:
        answer = self.runtime.invoke_endpoint(
            EndpointName="live", Body=body.encode(), **{"ContentType": "text/csv", **extra}
        )
        return str(answer["Body"].read().decode())

    def logged(self, text: str) -> str:
        """Return the container's log once it holds the text."""
        read = lambda: self.server.log("/aws/sagemaker/Endpoints/live", "live/")  # noqa: E731
        return str(self._wait(read, lambda log: text in log))

    def captured(self, prefix: str = "captured/") -> list[dict[str, Any]]:
        s3 = self.server.client("s3")
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="lake", Prefix=prefix).get("Contents", [])]
        text = "".join(s3.get_object(Bucket="lake", Key=key)["Body"].read().decode() for key in keys)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def serving(server: Any, sagemaker: Any, wait: Callable[..., Any]) -> Serving:
    return Serving(server, sagemaker, wait)


def capture(**extra: Any) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://lake/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        **extra,
    }


def test_endpoint_serves_the_model_of_its_configuration(serving: Serving) -> None:
    serving.model("one", "first", FLAVOUR="sweet")
    serving.config("config-one", {"live": "one"})
    found = serving.create("config-one")
    assert found["EndpointStatus"] == "InService"
    assert found["ProductionVariants"][0]["VariantName"] == "live"
    assert serving.invoke() == "first:sweet"
    assert serving.server.event(EndpointName="live", EndpointStatus="InService")
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


def test_broken_model_fails_the_endpoint_with_the_containers_words(serving: Serving) -> None:
    serving.model("broken", "broken", BREAK_AT_START="yes")
    serving.config("config", {"live": "broken"})
    found = serving.create("config")
    assert found["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in found["FailureReason"]
    assert "the model is broken" in found["FailureReason"]
    with pytest.raises(ClientError, match="not in service"):
        serving.invoke()


@pytest.mark.parametrize("body", [None, b"not a tar"])
def test_missing_or_corrupt_model_data_is_named(serving: Serving, body: bytes | None) -> None:
    if body is not None:
        serving.server.client("s3").put_object(Bucket="lake", Key="m.tar.gz", Body=body)
    serving.sagemaker.create_model(
        ModelName="bad",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": serving.image, "ModelDataUrl": "s3://lake/m.tar.gz"},
    )
    serving.config("config", {"live": "bad"})
    found = serving.create("config")
    assert found["EndpointStatus"] == "Failed"
    assert "s3://lake/m.tar.gz" in found["FailureReason"]


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


def test_crashed_container_comes_back(serving: Serving, wait: Callable[..., Any]) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    serving.create("config")
    before = serving.invoke("pid")
    with pytest.raises(ClientError, match="ModelError"):
        serving.invoke("die")

    def pid_now() -> str:
        try:
            return serving.invoke("pid")
        except ClientError:
            return ""

    assert wait(pid_now, bool) != before
    assert "ended with exit code 9" in serving.logged("exit code")


def test_deleted_endpoint_leaves_no_process(serving: Serving, wait: Callable[..., Any]) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    serving.create("config")
    pid = int(serving.invoke("pid"))
    serving.sagemaker.delete_endpoint(EndpointName="live")

    def gone() -> bool:
        try:
            serving.sagemaker.describe_endpoint(EndpointName="live")
        except ClientError as error:
            return "Could not find endpoint" in str(error)
        return False

    wait(gone, bool)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ClientError, match="not found"):
        serving.invoke()


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


def test_variants_share_requests_by_weight_and_can_be_named(serving: Serving) -> None:
    for name in ("one", "two"):
        serving.model(name, name)
    serving.config("config", {"blue": "one", "green": "two"})
    serving.create("config")
    assert serving.invoke(TargetVariant="green") == "two:"
    serving.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="live", DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredWeight": 0.0}]
    )
    assert {serving.invoke() for _ in range(8)} == {"two:"}
    serving.config("config-again", {"blue": "one", "green": "two"})
    kept = serving.update("config-again", RetainAllVariantProperties=True)
    assert {item["VariantName"]: item["CurrentWeight"] for item in kept["ProductionVariants"]} == {
        "blue": 0.0,
        "green": 1.0,
    }
    with pytest.raises(ClientError, match="purple"):
        serving.invoke(TargetVariant="purple")


def test_release_that_would_not_be_done_as_asked_is_refused(serving: Serving) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    serving.create("config")
    canary = {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 60,
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
        }
    }
    with pytest.raises(ClientError, match="all at once"):
        serving.update("config", DeploymentConfig={"BlueGreenUpdatePolicy": canary})


def test_killed_container_ends_with_the_local_aws(serving: Serving) -> None:
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    serving.create("config")
    pid = int(serving.invoke("pid"))
    os.kill(pid, signal.SIGSTOP)  # one that doesn't react to SIGTERM
    for service in serving.server.services:
        service.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what hangs fail in seconds: nothing in here waits for a real model."""
    monkeypatch.setattr("local_aws.sagemaker.model_server.HEALTHY_WITHIN_SECONDS", 20)
