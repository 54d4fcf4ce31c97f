"""Time that is moved on: everything happens at its own time, and is waited for."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_aws import passing_time
from local_aws.clock import Clock
from local_aws.process import LocalAwsError
from local_aws.server import LocalAwsServer, running

ROLE = "arn:aws:iam::123456789012:role/schedules"
START = datetime(2030, 5, 1, 5, 59, tzinfo=UTC)
# a state machine that works for an hour, and says in its output when it began
SLOW = {
    "QueryLanguage": "JSONata",
    "StartAt": "Work",
    "States": {
        "Work": {"Type": "Wait", "Seconds": 3600, "Next": "Say"},
        "Say": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ssm:putParameter",
            "Arguments": {
                "Name": "{% 'began-' & $substring($states.context.Execution.StartTime, 0, 13) %}",
                "Value": "{% $now() %}",
                "Type": "String",
            },
            "End": True,
        },
    },
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalAwsServer]:
    with running(tmp_path, clock=Clock(standing_at=START)) as found:
        yield found


def daily(server: LocalAwsServer, definition: dict[str, Any]) -> None:
    """Have a state machine start every day at six."""
    states, scheduler = server.context.client("stepfunctions"), server.context.client("scheduler")
    machine = states.create_state_machine(name="daily", definition=json.dumps(definition), roleArn=ROLE)
    scheduler.create_schedule(
        Name="daily",
        ScheduleExpression="cron(0 6 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": machine["stateMachineArn"], "RoleArn": ROLE, "Input": "{}"},
    )


def test_what_falls_into_the_span_happens_at_its_own_time(server: LocalAwsServer) -> None:
    daily(server, SLOW)
    reached = passing_time.advance(server.port, timedelta(days=3))
    assert reached == START + timedelta(days=3)
    found = server.context.client("ssm").get_parameters_by_path(Path="/")["Parameters"]
    began = [each for each in found if each["Name"].startswith("began-")]  # moto keeps what other tests left
    assert {each["Name"]: each["Value"] for each in began} == {
        f"began-2030-05-0{day}T06": f"2030-05-0{day}T07:00:00.000Z" for day in (1, 2, 3)
    }


def test_work_is_waited_for_before_time_goes_on(server: LocalAwsServer) -> None:
    clock, seen = server.context.clock, []

    def work() -> None:
        worker = clock.worker("slow")
        worker.wait_until(START + timedelta(hours=1), lambda: False)
        time.sleep(0.5)
        seen.append(clock.now())
        worker.end()

    threading.Thread(target=work, daemon=True).start()
    told: list[str] = []
    passing_time.advance(server.port, timedelta(hours=2), told.append)
    assert seen == [START + timedelta(hours=1)]
    assert "2030-05-01 06:59  slow" in told


def test_work_without_end_is_not_waited_for_for_ever(server: LocalAwsServer) -> None:
    with server.context.clock.working("endless"), pytest.raises(LocalAwsError, match=r"still work.*endless"):
        passing_time.advance(server.port, timedelta(days=1), patience=timedelta(seconds=0.3))
    assert passing_time.present(server.port) == START


def test_port_without_a_local_aws_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        port = server.port
    with pytest.raises(LocalAwsError, match=f"mlops local start --port {port}"):
        passing_time.advance(port, timedelta(days=1))


@pytest.mark.parametrize("body", ['{"to": "tomorrow"}', "{}", "[]", "{", '{"to": "2030-06-01T00:00:00"}'])
def test_moment_that_is_none_is_refused(server: LocalAwsServer, body: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/_local/clock", data=body.encode(), timeout=10)
    assert refused.value.code == 400
    assert "time zone" in refused.value.read().decode()
    assert passing_time.present(server.port) == START
