"""A local AWS whose time stands still, with state machines and a pipeline whose steps end when they are told to."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_aws.clock import Clock
from local_aws.server import running
from local_aws.service import Image, LocalContext
from tests.local_aws.asking import until

ROLE = "arn:aws:iam::123456789012:role/states"
START = datetime(2030, 5, 1, 5, 0, tzinfo=UTC)
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/patient:1"
# ends well when its mark is there, and fails when the mark says so
PATIENT = """
import os, pathlib, sys, time
mark = pathlib.Path(os.environ["MARKS"]) / sys.argv[1]
deadline = time.monotonic() + 30
while not mark.exists() and time.monotonic() < deadline:
    time.sleep(0.01)
sys.exit(mark.read_text() or 0)
"""


@dataclass
class States:
    """State machines, and time that only moves by hand."""

    context: LocalContext
    marks: Path

    @property
    def api(self) -> Any:
        return self.context.client("stepfunctions")

    @property
    def sagemaker(self) -> Any:
        return self.context.client("sagemaker")

    @property
    def clock(self) -> Clock:
        return self.context.clock

    def create(self, states: dict[str, Any], start: str | None = None, **members: Any) -> str:
        """Create a state machine in JSONata that starts with its first state, and return its ARN."""
        definition = {"QueryLanguage": "JSONata", "StartAt": start or next(iter(states)), "States": states, **members}
        return self.create_from(definition)

    def create_from(self, definition: dict[str, Any], **request: Any) -> str:
        created = self.api.create_state_machine(
            name=f"machine-{uuid.uuid4()}", definition=json.dumps(definition), roleArn=ROLE, **request
        )
        return str(created["stateMachineArn"])

    def start(self, machine: str, value: Any = None, **request: Any) -> str:
        started = self.api.start_execution(stateMachineArn=machine, input=json.dumps(value or {}), **request)
        return str(started["executionArn"])

    def describe(self, execution: str) -> dict[str, Any]:
        return dict(self.api.describe_execution(executionArn=execution))

    def ended(self, execution: str) -> dict[str, Any]:
        return dict(until(lambda: self.describe(execution), lambda found: found["status"] != "RUNNING"))

    def run(self, machine: str, value: Any = None) -> dict[str, Any]:
        return self.ended(self.start(machine, value))

    def output(self, machine: str, value: Any = None) -> Any:
        return json.loads(self.run(machine, value)["output"])

    def settle(self) -> None:
        """Wait until there is nothing to do before a moment comes."""
        until(self.clock.busy, lambda names: names == [])

    def pass_time(self, **by: float) -> None:
        """Let time pass, and everything happen at its own time."""
        moment = self.clock.now() + timedelta(**by)
        self.settle()
        while self.clock.now() < moment:
            self.clock.advance_to(moment)
            self.settle()

    def current_states(self, execution: str) -> list[str]:
        """Return the names of the states that were entered, in their order."""
        pages = self.api.get_paginator("get_execution_history").paginate(executionArn=execution)
        events = [event for page in pages for event in page["events"]]
        return [each["stateEnteredEventDetails"]["name"] for each in events if "stateEnteredEventDetails" in each]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalContext]:
    folder = tmp_path_factory.mktemp("local-aws")
    (folder / "patient.py").write_text(PATIENT)
    images = {"patient": Image(sys.executable, (sys.executable, str(folder / "patient.py")))}
    with running(folder / "state", images, clock=Clock(standing_at=START)) as server:
        yield server.context


@pytest.fixture
def states(local: LocalContext, tmp_path: Path) -> States:
    return States(local, tmp_path)
