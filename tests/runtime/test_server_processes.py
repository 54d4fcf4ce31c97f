"""A server's processes: each is replaced when it ends, and slow or broken clients hold none of them up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.runtime.container import Container, Server

ROW = b"17,1400,UA"
REQUEST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 10\r\n\r\n" + ROW


def serve(directory: Path, trained: Path, **environment: str) -> tuple[Container, Server]:
    container = Container(directory / "ml", {"SAGEMAKER_MODEL_SERVER_WORKERS": "2", **environment})
    shutil.copytree(trained, container.base / "model")
    return container, container.serve()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[Server]:
    """Two processes, and clients that may take a second for a request."""
    _, running = serve(tmp_path_factory.mktemp("processes"), trained, SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    wait_for_workers(running, 2)
    yield running
    assert running.stop() == 0


def workers(server: Server) -> list[int]:
    found = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        found += [int(each) for each in (task / "children").read_text().split()]
    return sorted(found)


def listening(server: Server) -> bool:
    try:
        return server.request("GET", "/ping").status == 200
    except OSError:
        return False


def wait_for_workers(server: Server, count: int, without: int = 0) -> None:
    """Wait until so many processes run and have loaded the model, which threads of its libraries show."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [each for each in workers(server) if each != without and "onnxruntime" in mapped(each)]
        if len(found) == count and listening(server):
            time.sleep(0.5)
            return
        time.sleep(0.1)
    raise AssertionError(f"no {count} processes: {workers(server)}")


def mapped(process: int) -> str:
    try:
        return Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return ""


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def received(client: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_killed_process_is_replaced_and_the_others_answer_meanwhile(server: Server) -> None:
    before = workers(server)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    for _ in range(50):
        assert server.invoke(ROW).status == 200
    wait_for_workers(server, 2, without=before[0])
    after = workers(server)
    assert before[1] in after
    assert before[0] not in after


def test_requests_that_come_at_once_are_answered_in_order(server: Server) -> None:
    long = b"17,1400,UA\n" * 3000  # one that is answered in a thread
    middle = REQUEST.replace(b"Length: 10", b"Length: %d" % len(long)).replace(ROW, long)
    last = REQUEST.replace(b"POST /inv", b"POST /no/inv").replace(b"Host: x", b"Host: x\r\nConnection: close")
    with connected(server) as client:
        client.sendall(REQUEST + middle + REQUEST + last)
        answers = received(client).split(b"HTTP/1.1 ")[1:]
    assert [each[:3] for each in answers] == [b"200", b"200", b"200", b"404"]
    assert len(answers[1].splitlines()) > 3000
    assert answers[0].partition(b"\r\n\r\n")[2] == answers[2].partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("sent", [REQUEST[:30], REQUEST[:-3]], ids=["head", "body"])
def test_a_client_that_does_not_send_its_request_in_time_is_cut_off(server: Server, sent: bytes) -> None:
    with connected(server) as client:
        client.sendall(sent)
        began = time.monotonic()
        answer = received(client)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the request didn't come whole in time" in answer
        assert time.monotonic() - began < 14
    assert server.request("GET", "/ping").status == 200


def test_a_client_that_does_not_take_its_answers_is_cut_off(server: Server) -> None:
    with connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(1)
        with suppress(OSError):  # in the end the server doesn't read any more, or has reset the connection
            for _ in range(200):
                client.sendall(REQUEST * 1000)
        deadline = time.monotonic() + 90  # it first answers all that it has taken
        while time.monotonic() < deadline:
            try:
                client.sendall(b"x")
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            raise AssertionError("the connection is still open")
    assert server.request("GET", "/ping").status == 200


def test_what_is_not_http_is_refused_and_upgrades_are_passed_over(server: Server) -> None:
    for sent, status in (
        (b"\x16\x03\x01\x02\x00 hello\r\n\r\n", b"400"),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"200"),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000, b"431"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n" + ROW, b"400"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
    ):
        with connected(server) as client:
            client.sendall(sent)
            assert received(client)[9:12] == status, sent[:60]


def test_a_client_that_asks_first_is_told_to_go_on(server: Server) -> None:
    head, body = REQUEST.split(b"\r\n\r\n")
    with connected(server) as client:
        client.sendall(head + b"\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert received(client).startswith(b"HTTP/1.1 200 ")


def test_the_id_of_an_inference_comes_back(server: Server) -> None:
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Inference-Id": "flight-17"}
    with connected(server) as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        client.sendall(
            f"POST /invocations HTTP/1.1\r\n{lines}Content-Length: 10\r\nConnection: close\r\n\r\n".encode() + ROW
        )
        assert b"\r\nx-amzn-sagemaker-inference-id: flight-17\r\n" in received(client)


def test_metrics_are_written_once_in_an_interval_and_at_the_end(tmp_path: Path, trained: Path) -> None:
    variables = {"METRICS_NAMESPACE": "mlops", "METRICS_ENVIRONMENT": "dev", "MODEL_NAME": "toy"}
    variables |= {"ENDPOINT_NAME": "dev-toy", "VARIANT_NAME": "all", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    _, server = serve(tmp_path, trained, **variables)
    for _ in range(20):
        server.invoke(ROW + b"\n" + ROW)
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Inference-Id": "flight-18"}
    assert server.request("POST", "/invocations", b"17,far,UA", headers).status == 400
    server.process.send_signal(signal.SIGTERM)
    said, _ = server.process.communicate(timeout=30)
    assert server.process.returncode == 0
    assert "refused with 400 (inference id flight-18): row 1, distance: 'far' is not a number" in said
    (line,) = [json.loads(each) for each in said.splitlines() if each.startswith("{")]
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Environment", "Model"], ["Endpoint", "Variant"]]
    assert (line["Requests"], line["Rows"], line["Refused"], line["Failed"]) == (21, 40, 1, 0)
    assert sum(line["Latency"]["Counts"]) == 20
    assert sum(line["Prediction"]["Counts"]) == 40
    assert (line["Endpoint"], line["Model"]) == ("dev-toy", "toy")


def test_processes_end_with_their_parent(tmp_path: Path, trained: Path) -> None:
    _, server = serve(tmp_path, trained)
    left = workers(server)
    server.process.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(Path(f"/proc/{each}/cmdline").exists() for each in left):
        time.sleep(0.1)
    assert not any(Path(f"/proc/{each}/cmdline").exists() for each in left)
    server.stop()


def test_a_model_with_functions_of_its_own_is_served_by_xgboost(container: Container, model_directory: Path) -> None:
    (model_directory / "code" / "toy" / "inference.py").write_text(
        "def predict_fn(data, model):\n    return model.inplace_predict(data) * 0 + 0.5\n"
    )
    server = container.serve()
    answer = server.invoke(ROW)
    server.process.send_signal(signal.SIGTERM)
    said, _ = server.process.communicate(timeout=30)
    assert answer.body == b"0.5\n"
    assert "toy is served by XGBoost: it has functions of its own" in said


def test_parquet_is_read_in_batch_jobs_alone(tmp_path: Path, trained: Path, server: Server) -> None:
    import io

    import polars as pl

    kind = "application/vnd.apache.parquet"
    body = io.BytesIO()
    pl.DataFrame({"carrier": [1090, 5], "hour": [17.0, None], "distance": [1400, 3]}).write_parquet(body)
    refused = server.invoke(body.getvalue(), kind)
    assert (refused.status, "but in batch transform jobs" in refused.error) == (415, True)
    _, batch = serve(tmp_path, trained, SAGEMAKER_BATCH="true", SAGEMAKER_MODEL_SERVER_WORKERS="1")
    try:
        wanted = [float(each) for each in batch.invoke("17,1400,1090\n,3,5").body.split()]
        assert [float(each) for each in batch.invoke(body.getvalue(), kind, "text/csv").body.split()] == wanted
        answer = batch.invoke(body.getvalue(), kind)
        assert answer.content_type == kind
        assert pl.read_parquet(io.BytesIO(answer.body))["prediction"].to_list() == pytest.approx(wanted, rel=1e-6)
        assert batch.invoke(body.getvalue()[:-9], kind).status == 400
        missing = io.BytesIO()
        pl.DataFrame({"hour": ["late"], "carrier": [1]}).write_parquet(missing)
        assert "no column distance" in batch.invoke(missing.getvalue(), kind).error
    finally:
        assert batch.stop() == 0
