"""Starting and stopping the local AWS as a process, as `mlops local` does it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local_aws import process
from local_aws.process import LocalAwsError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    port = free_port()
    process.start(port, tmp_path, {})
    yield port, tmp_path
    process.stop(tmp_path)


def test_second_start_names_the_running_one(started: tuple[int, Path]) -> None:
    port, state = started
    with pytest.raises(LocalAwsError, match=f"already running at http://127.0.0.1:{port}"):
        process.start(free_port(), state, {})
    assert process.status(state) is not None, "the running one is left alone"


def test_two_run_side_by_side_and_share_nothing(started: tuple[int, Path], tmp_path: Path) -> None:
    port, _ = started
    other, other_state = free_port(), tmp_path / "other"
    process.start(other, other_state, {})
    try:
        here, there = s3_client(port), s3_client(other)
        here.create_bucket(Bucket="only-here")
        assert [each["Name"] for each in here.list_buckets()["Buckets"]] == ["only-here"]
        assert there.list_buckets()["Buckets"] == []
    finally:
        process.stop(other_state)


def test_taken_port_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as other_program:
        other_program.bind(("127.0.0.1", 0))
        other_program.listen()
        port = other_program.getsockname()[1]
        with pytest.raises(LocalAwsError, match=f"port {port} is taken by another program.*--port"):
            process.start(port, tmp_path, {})
    assert process.status(tmp_path) is None


def test_stop_frees_the_port_and_is_idempotent(started: tuple[int, Path]) -> None:
    port, state = started
    assert process.stop(state)
    assert not process.stop(state)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_killed_server_is_not_mistaken_for_a_running_one(started: tuple[int, Path]) -> None:
    port, state = started
    found = process.status(state)
    assert found is not None
    os.kill(found["pid"], signal.SIGKILL)
    os.waitpid(found["pid"], 0)
    assert process.status(state) is None
    again = process.start(port, state, {})
    assert again["pid"] != found["pid"]


def test_interrupt_ends_the_server_like_stop_does(started: tuple[int, Path]) -> None:
    _, state = started
    found = process.status(state)
    assert found is not None
    os.kill(found["pid"], signal.SIGINT)
    deadline = time.monotonic() + 15
    while process.status(state) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert process.status(state) is None


def test_it_listens_on_loopback_only(started: tuple[int, Path]) -> None:
    port, _ = started
    hexadecimal = f"{port:04X}"
    sockets = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not all(each.exists() for each in sockets):
        pytest.skip("needs /proc/net")
    listening = [
        line.split()[1]
        for each in sockets
        for line in each.read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{hexadecimal}")
    ]
    assert listening == [f"0100007F:{hexadecimal}"]


def test_bucket_policy_that_asks_for_tls_lets_loopback_through(started: tuple[int, Path]) -> None:
    s3 = s3_client(started[0])
    s3.create_bucket(Bucket="guarded")
    statement = (
        '{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::guarded","arn:aws:s3:::guarded/*"],'
        '"Condition":{"Bool":{"aws:SecureTransport":"false"}}}'
    )
    s3.put_bucket_policy(Bucket="guarded", Policy='{"Version":"2012-10-17","Statement":[' + statement + "]}")
    s3.put_object(Bucket="guarded", Key="a", Body=b"1")
    unconditional = statement.replace(',"Condition":{"Bool":{"aws:SecureTransport":"false"}}', "")
    s3.put_bucket_policy(Bucket="guarded", Policy='{"Version":"2012-10-17","Statement":[' + unconditional + "]}")
    with pytest.raises(s3.exceptions.ClientError, match=r"403|AccessDenied"):
        s3.get_object(Bucket="guarded", Key="a")


def s3_client(port: int):  # type: ignore[no-untyped-def]
    return boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
