"""A local AWS whose time stands still, with endpoints of tiny containers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.cloudwatch.models import cloudwatch_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local_aws.clock import Clock
from local_aws.server import running
from local_aws.service import DEFAULT_ACCOUNT, DEFAULT_REGION, Image, LocalContext
from tests.local_aws.executors.serving import Serving

START = datetime(2030, 5, 1, 6, tzinfo=UTC)
# past what the scaling waits for after each minute
TICK = timedelta(seconds=3)


@dataclass
class Machine:
    """A running local AWS, its clock and images."""

    context: LocalContext
    status: Callable[[], dict[str, Any]]
    clock: Clock
    images: dict[str, Image]
    folder: Path

    def client(self, name: str) -> Any:
        return self.context.client(name)

    def image(self, script: str, name: str = "model") -> str:
        """Make a script the entrypoint of an image's containers, and return the image's URI."""
        path = self.folder / f"{name}.py"
        path.write_text(script)
        self.images[name] = Image(sys.executable, (sys.executable, str(path)))
        return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:1"

    def settled(self, seconds: float = 20.0) -> None:
        """Wait until all that happens at this time has happened."""
        deadline = time.monotonic() + seconds
        while busy := self.clock.busy():
            assert time.monotonic() < deadline, f"still at work: {busy}"
            time.sleep(0.01)

    def pass_time(self, **by: float) -> None:
        """Let time pass, from one moment that somebody waits for to the next, as `mlops local advance` does."""
        end = self.clock.now() + timedelta(**by)
        self.settled()
        while self.clock.now() < end:
            self.clock.advance_to(end)
            self.settled()

    def put(self, name: str, value: float, namespace: str = "AWS/SageMaker", **dimensions: str) -> None:
        """Put a value of a metric at the present moment."""
        datum = {
            "MetricName": name,
            "Value": value,
            "Timestamp": self.clock.now(),
            "Dimensions": [{"Name": key, "Value": each} for key, each in dimensions.items()],
        }
        self.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])


@pytest.fixture(scope="session")
def aws_session() -> boto3.session.Session:
    """One session for all tests: each new one reads the models of the services again."""
    return boto3.session.Session()


@pytest.fixture(scope="session")
def moto_server() -> DomainDispatcherApplication:
    """One application for all tests: each new one makes those of the services again."""
    return DomainDispatcherApplication(create_backend_app)


@pytest.fixture
def machine(
    tmp_path: Path,
    aws_session: boto3.session.Session,
    moto_server: DomainDispatcherApplication,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machine]:
    monkeypatch.setattr("local_aws.service.boto3.session.Session", lambda: aws_session)
    monkeypatch.setattr("local_aws.gateway.DomainDispatcherApplication", lambda _: moto_server)
    # what a test finds of another one's: all else has names of its own, or is overwritten
    for backends in (cloudwatch_backends, sns_backends, sqs_backends):
        backends[DEFAULT_ACCOUNT][DEFAULT_REGION].reset()
    clock = Clock(standing_at=START)
    images = {"unused": Image(sys.executable, ())}
    with running(tmp_path / "state", images, clock) as server:
        server.context.client("s3").create_bucket(Bucket="lake")
        yield Machine(server.context, server.status, clock, images, tmp_path)


@pytest.fixture
def wait() -> Callable[..., Any]:
    """Call a probe until its answer is an end; fails after some time."""

    def until(probe: Callable[[], Any], ended: Callable[[Any], bool], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while not ended(answer := probe()):
            assert time.monotonic() < deadline, f"still {answer}"
            time.sleep(0.02)
        return answer

    return until


@pytest.fixture
def serving(machine: Machine, wait: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Serving:
    """An endpoint in the making; what hangs fails in seconds, since nothing here waits for a real model."""
    monkeypatch.setattr("local_aws.sagemaker.model_server.HEALTHY_WITHIN_SECONDS", 20)
    return Serving(machine, machine.client("sagemaker"), wait)
