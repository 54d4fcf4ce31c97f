"""The server under SageMaker's hosting contract, over HTTP, as a process of its own."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from tests.runtime.container import Answer, Container, Server, free_port, rows

ROW = "17,1400,UA"
SLOW = """
import time


def predict_fn(data, model):
    time.sleep(1.5)
    return model.inplace_predict(data)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[Server]:
    """A server of the trained model that takes bodies of up to one mebibyte."""
    container = Container(tmp_path_factory.mktemp("serving") / "ml", {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"})
    shutil.copytree(trained, container.base / "model")
    running = container.serve()
    yield running
    assert running.stop() == 0


def numbers(answer: Answer) -> list[float]:
    assert answer.status == 200, answer.body
    if answer.content_type == "text/csv":
        return [float(line) for line in answer.body.decode().splitlines()]
    assert answer.content_type == "application/json"
    return [float(each) for each in json.loads(answer.body)["predictions"]]


def expected(trained: Path, frame: pl.DataFrame) -> list[float]:
    booster = xgb.Booster(model_file=str(trained / "model.ubj"))
    features = ["hour", "distance", "carrier"]
    matrix = xgb.DMatrix(frame.select(features).to_numpy().astype(np.float32), feature_names=features)
    return [float(each) for each in booster.predict(matrix)]


def test_ping_is_healthy_and_empty(server: Server) -> None:
    answer = server.request("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"")
    assert server.request("HEAD", "/ping").status == 200


@pytest.mark.parametrize("count", [1, 100, 129, 2000])
def test_csv_and_json_get_the_models_own_predictions_in_order(server: Server, trained: Path, count: int) -> None:
    frame = rows(50, seed=5).select("hour", "distance", "carrier")[:count]
    truth = expected(trained, frame)
    csv = server.invoke(frame.write_csv(include_header=False))
    assert numbers(csv) == pytest.approx(truth, rel=1e-6)
    as_lists = server.invoke(json.dumps({"instances": frame.rows()}), "application/json")
    as_objects = server.invoke(json.dumps({"instances": frame.rows(named=True)}), "application/json")
    assert numbers(as_lists) == numbers(as_objects) == numbers(csv)


def test_missing_values_are_missing_however_they_are_written(server: Server, trained: Path) -> None:
    frame = pl.DataFrame({"hour": [17.0], "distance": [None], "carrier": [1090.0]}, strict=False)
    truth = pytest.approx(expected(trained, frame.with_columns(distance=pl.lit(float("nan")))), rel=1e-6)
    for body in ("17,,UA", "17, ,1090", "17,nan,UA\r\n", '17,"",UA\n\n'):
        assert numbers(server.invoke(body)) == truth
    for instance in ('[17, null, "UA"]', '{"carrier": "UA", "distance": null, "hour": 17}'):
        assert numbers(server.invoke(f'{{"instances": [{instance}]}}', "application/json")) == truth


def test_the_answer_comes_in_the_accepted_type_or_in_the_requests_own(server: Server) -> None:
    def answered(content_type: str, accept: str | None) -> str:
        body = ROW if content_type.startswith("text/csv") else '{"instances": [[17, 1400, "UA"]]}'
        return server.invoke(body, content_type, accept).content_type

    assert answered("text/csv", None) == "text/csv"
    assert answered("text/csv; charset=utf-8", "*/*") == "text/csv"
    assert answered("application/json", "*/*") == "application/json"
    assert answered("text/csv", "application/json") == "application/json"
    assert answered("application/json", "text/*") == "text/csv"
    assert answered("text/csv", "application/json;q=0.5, text/csv") == "text/csv"
    assert answered("text/csv", "image/png, application/json;q=0.1") == "application/json"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"{ROW}\n17,1400", "row 2: expected 3 values, got 2"),
        (f"{ROW},1", "row 1: expected 3 values, got 4"),
        (f"{ROW}\n{ROW}\n17,far,UA", "row 3, distance: 'far' is not a number"),
        ("17,1400,UAL", "row 1, carrier: 'UAL' is no code of two characters"),
        ("17,inf,UA", "row 1, distance: 'inf' is not a finite 32-bit number"),
        ("17,1e39,UA", "row 1, distance: '1e39' is not a finite 32-bit number"),
        ("17,1_400,UA", "row 1, distance: '1_400' is not a number"),
        (f"hour,distance,carrier\n{ROW}", "row 1, hour: 'hour' is a column name; send the rows without a header"),
        ("", "the body holds no row"),
        ("\n \n", "the body holds no row"),
        (b"17,\xff,UA", "the body is not UTF-8"),
        ('17,"1400,UA', "the body is not CSV"),
    ],
)
def test_csv_that_does_not_fit_is_refused_with_row_and_field(server: Server, body: str | bytes, reason: str) -> None:
    answer = server.invoke(body)
    assert (answer.status, answer.content_type) == (400, "application/json")
    assert reason in answer.error


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "the body is not JSON"),
        ("[" * 100_000, "the body is not JSON"),
        ("[[17, 1400, 1090]]", 'the body must be {"instances": [...]}'),
        ('{"instances": []}', "the body holds no row"),
        ('{"instances": [[17, 1400, 1090], 3]}', "row 2: expected a list or an object, got 3"),
        ('{"instances": [[17, 1400]]}', "row 1: expected 3 values, got 2"),
        ('{"instances": [{"hour": 17, "distance": 1}]}', "row 1: carrier is not given; write null"),
        ('{"instances": [{"hours": 17}]}', "row 1: the model has no feature 'hours'; did you mean 'hour'?"),
        ('{"instances": [[17, true, 1090]]}', "row 1, distance: true is not a finite 32-bit number"),
        ('{"instances": [[17, [1], 1090]]}', "row 1, distance: [1] is not a finite 32-bit number"),
        ('{"instances": [[17, NaN, 1090]]}', "row 1, distance: NaN is not a finite 32-bit number"),
        ('{"instances": [[17, -Infinity, 1090]]}', "row 1, distance: -Infinity is not a finite 32-bit number"),
        ('{"instances": [[17, 1e400, 1090]]}', "row 1, distance: Infinity is not a finite 32-bit number"),
        ('{"instances": [[17, 1' + "0" * 400 + ", 1090]]}", "row 1, distance: 1000"),
        ('{"instances": [["17", 1400, 1090]]}', "row 1, hour: '17' is not a number"),
        ("", "the body is not JSON"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_row_and_field(server: Server, body: str, reason: str) -> None:
    answer = server.invoke(body, "application/json")
    assert answer.status == 400
    assert reason in answer.error


def test_what_is_not_supported_gets_the_status_that_says_so(server: Server) -> None:
    assert server.invoke(ROW, "application/x-parquet").status == 415
    assert server.invoke(ROW, "").error == "content type none isn't supported: send text/csv or application/json"
    assert server.invoke(ROW, accept="image/png").status == 406
    assert server.invoke(ROW, accept="text/csv;q=0").status == 406
    assert server.request("GET", "/invocations").status == 405
    assert server.request("POST", "/ping", b"x").status == 405
    assert server.request("GET", "/models").status == 404


def test_a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length(server: Server) -> None:
    line = (ROW + "\n").encode()
    assert len(numbers(server.invoke(line * 50_000))) == 50_000
    long = line * (1024 * 1024 // len(line) + 1)
    answer = server.invoke(long)
    assert (answer.status, answer.error) == (413, "the body may have 1 MiB at most")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head.encode() + f"{len(long):x}\r\n".encode() + long + b"\r\n0\r\n\r\n")
        assert client.recv(64).startswith(b"HTTP/1.1 413 ")
    assert server.request("GET", "/ping").status == 200


def test_many_clients_at_once_each_get_their_own_answer(server: Server, trained: Path) -> None:
    frame = rows(20, seed=9).select("hour", "distance", "carrier")
    parts = [frame[start : start + size] for start, size in zip(range(0, 800, 50), (1, 200) * 8, strict=True)]
    truth = [expected(trained, part) for part in parts]
    wrong: list[int] = []

    def ask(index: int) -> None:
        for _ in range(10):
            if numbers(server.invoke(parts[index].write_csv(include_header=False))) != pytest.approx(truth[index]):
                wrong.append(index)

    clients = [threading.Thread(target=ask, args=(index,)) for index in range(len(parts))]
    for client in clients:
        client.start()
    for client in clients:
        client.join(timeout=60)
    assert not any(client.is_alive() for client in clients)
    assert wrong == []


def test_a_request_in_flight_is_answered_before_the_server_ends(container: Container, model_directory: Path) -> None:
    (model_directory / "code" / "toy" / "inference.py").write_text(SLOW)
    server = container.serve()
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(server.invoke(ROW)))
    client.start()
    time.sleep(0.7)
    began = time.monotonic()
    assert server.request("GET", "/ping").status == 200  # healthy while the model's own code works
    assert time.monotonic() - began < 0.5
    assert server.stop(signal.SIGTERM) == 0
    client.join(timeout=20)
    assert len(numbers(answers[0])) == 1


def test_the_default_type_of_answers_can_be_set(container: Container, model_directory: Path) -> None:
    container.environment["SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"] = "application/json"
    server = container.serve()
    try:
        assert server.invoke(ROW).content_type == "application/json"
        assert server.invoke(ROW, accept="*/*").content_type == "application/json"
        assert server.invoke(ROW, accept="text/csv").content_type == "text/csv"
    finally:
        assert server.stop(signal.SIGINT) == 0


def ends(container: Container) -> str:
    """Run a server that can't start; returns its last line."""
    container.environment.setdefault("SAGEMAKER_BIND_TO_HOST", "127.0.0.1")
    container.environment.setdefault("SAGEMAKER_BIND_TO_PORT", str(free_port()))
    done = container.run("serve")
    assert done.returncode == 1
    assert not (container.base / "output").exists()
    return done.stderr.splitlines()[-1]


def test_a_taken_port_is_named(container: Container, model_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        container.environment["SAGEMAKER_BIND_TO_PORT"] = str(port)
        assert ends(container) == f"can't listen on 127.0.0.1:{port}: Address already in use"


def test_a_setting_that_is_no_number_is_named(container: Container, model_directory: Path) -> None:
    container.environment["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = "lots"
    assert ends(container) == "SAGEMAKER_MAX_PAYLOAD_IN_MB must be a number from 1 to 100, got 'lots'"


def test_a_server_without_its_model_never_listens(container: Container, model_directory: Path) -> None:
    (model_directory / "model.ubj").unlink()
    assert "is no model of this runtime: model.ubj is missing" in ends(container)
