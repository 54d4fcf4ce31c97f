"""What can go wrong with an endpoint's containers, and how each of them ends."""

from __future__ import annotations

import http.server
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.sagemaker import fleet, model_server, variant
from tests.local_aws.executors.serving import ROLE, Serving, capture


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


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of another process that says it is healthy."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    yield listener.server_port
    listener.shutdown()
    listener.server_close()


def told_ports(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Have containers told these ports first, whoever listens there, as when it is taken in the last moment."""
    first, choose = list(ports), model_server._free_port
    monkeypatch.setattr(model_server, "_free_port", lambda: first.pop(0) if first else choose())


def late(is_healthy: Callable[..., bool], stranger: int) -> Callable[..., bool]:
    def wait_for_the_end(server: Any) -> bool:
        if server.port == stranger:
            server._process._process.wait(10)
        return is_healthy(server)

    return wait_for_the_end


def test_container_whose_port_was_taken_is_given_another(
    serving: Serving, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # its answers count no longer than the container runs, so let them come late
    told_ports(monkeypatch, stranger, stranger)
    monkeypatch.setattr(model_server.ModelServer, "_is_healthy", late(model_server.ModelServer._is_healthy, stranger))
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    assert serving.create("config")["EndpointStatus"] == "InService"
    assert serving.invoke() == "first:"
    assert serving.logged("another one").count(f"port {stranger} was taken") == 2


def test_container_that_finds_no_free_port_fails(
    serving: Serving, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_ports(monkeypatch, *[stranger] * 10)
    monkeypatch.setattr(model_server.ModelServer, "_is_healthy", late(model_server.ModelServer._is_healthy, stranger))
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    assert "Address already in use" in serving.create("config")["FailureReason"]


@pytest.mark.parametrize("part", ["ModelServer", "DataCapture"])
def test_fleet_that_cannot_be_made_leaves_nothing_open(
    serving: Serving, wait: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    made: list[str] = []
    module = fleet if part == "DataCapture" else variant
    make = getattr(module, part)

    def break_second(*arguments: Any, **members: Any) -> Any:
        made.append(part)
        if part == "DataCapture" or len(made) == 2:
            raise OSError("no more files")
        return make(*arguments, **members)

    monkeypatch.setattr(module, part, break_second)
    for name in ("one", "two"):
        serving.model(name, name)
    serving.config("config", {"blue": "one", "green": "two"}, DataCaptureConfig=capture())
    found = serving.create("config")
    assert found["FailureReason"] == "InternalFailure: OSError: no more files"
    names = ("logs-of-blue", "logs-of-green")
    wait(lambda: [each for each in threading.enumerate() if each.name.startswith(names)], lambda open_: not open_, 10)


def test_container_that_breaks_in_a_way_of_its_own_fails_the_endpoint(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("no more files")

    monkeypatch.setattr(model_server.ModelServer, "_fetch_model", broken)
    serving.model("one", "first")
    serving.config("config", {"live": "one"})
    found = serving.create("config")
    assert (found["EndpointStatus"], found["FailureReason"]) == ("Failed", "InternalFailure: OSError: no more files")


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
