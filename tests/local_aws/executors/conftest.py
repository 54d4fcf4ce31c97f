"""A server of the local AWS with the services that run jobs, and waiting for what they run."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from local_aws import moto_fit
from local_aws.gateway import Gateway
from local_aws.glue import GlueService
from local_aws.sagemaker import SageMakerService
from local_aws.service import Image, LocalContext, Service
from stacks.training_definition import Surroundings
from tests.local_aws.executors import toy_lake
from tests.local_aws.executors.glue_workflow import SCRIPT, Nightly
from tests.local_aws.executors.pipeline_builder import CONTAINER, PipelineBuilder
from tests.local_aws.executors.serving import Serving
from tests.local_aws.executors.toy_lake import ToyPipeline
from tests.runtime.container import RUNTIME


@dataclass
class JobServer:
    """The context of a running server, and the events that its services emitted."""

    context: LocalContext
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    images: dict[str, Image] = field(default_factory=dict)
    gateway: Gateway = field(default_factory=lambda: Gateway([], dict))

    def add(self, service: Service) -> None:
        self.services.append(service)
        self.gateway = Gateway(self.services, dict)

    def client(self, name: str) -> Any:
        return self.context.client(name)

    def image(self, script: str, name: str = "model") -> str:
        """Make a script the entrypoint of the containers of an image, and return the image's URI."""
        path = self.context.state_dir.parent / f"{name}.py"
        path.write_text(script)
        self.images[name] = Image(sys.executable, (sys.executable, str(path)))
        return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:1"

    def event(self, **detail: Any) -> dict[str, Any]:
        """Wait for an event whose detail has these members, and return its detail."""

        def found() -> dict[str, Any] | None:
            details = [each for _, _, each in list(self.events)]
            return next((each for each in details if detail.items() <= each.items()), None)

        return dict(wait_for(found, bool))

    def log(self, group: str, stream_prefix: str) -> str:
        logs = self.client("logs")
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream_prefix)["logStreams"]
        return "\n".join(
            event["message"]
            for stream in streams
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        )


class QuietHandler(MotoRequestHandler):
    """Keeps connections, and doesn't log requests."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


def wait_for(probe: Callable[[], Any], ended: Callable[[Any], bool], seconds: float = 30.0) -> Any:
    """Call the probe until its answer is an end; fails after the given time."""
    deadline = time.monotonic() + seconds
    while not ended(answer := probe()):
        assert time.monotonic() < deadline, f"still {answer}"
        time.sleep(0.03)
    return answer


@pytest.fixture
def wait() -> Callable[..., Any]:
    return wait_for


@pytest.fixture(scope="session")
def boto3_session() -> boto3.session.Session:
    """One session for all tests: each new one reads the models of the services again."""
    return boto3.session.Session()


@pytest.fixture
def server(
    tmp_path: Path, boto3_session: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> Iterator[JobServer]:
    """A server to which a test module's own fixture adds the services and images it needs."""
    monkeypatch.setattr("local_aws.service.boto3.session.Session", lambda: boto3_session)
    moto_fit.honour_loopback_transport()
    moto_fit.serialise_conditional_puts()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        return running.gateway(environ, start_response)

    listener = make_server("127.0.0.1", 0, application, threaded=True, request_handler=QuietHandler)
    images: dict[str, Image] = {}
    context = LocalContext(f"http://127.0.0.1:{listener.port}", tmp_path / "state", images=images)
    running = JobServer(context, images=images)
    context.emit = lambda source, kind, detail, _: running.events.append((source, kind, detail))
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    _forget_everything()
    s3 = context.client("s3")
    s3.create_bucket(Bucket="lake")
    yield running
    for service in running.services:
        service.close()
    listener.shutdown()
    listener.server_close()


def _forget_everything() -> None:
    from moto.core.config import default_user_config
    from moto.moto_api._internal.models import moto_api_backend

    # a CloudFormation of an earlier test has asked for AWS's own policies, which take seconds to load each time
    default_user_config["iam"]["load_aws_managed_policies"] = False
    moto_api_backend.reset()


@pytest.fixture
def sagemaker(server: JobServer) -> Any:
    """A client of SageMaker; `server.image(script)` makes the image that its jobs use."""
    server.add(SageMakerService(server.context))
    return server.client("sagemaker")


@pytest.fixture
def pipeline(server: JobServer, sagemaker: Any, tmp_path: Path) -> PipelineBuilder:
    """A pipeline whose containers do what their arguments say."""
    marks = tmp_path / "marks"
    marks.mkdir()
    return PipelineBuilder(sagemaker, server.image(CONTAINER), str(marks), wait_for)


@pytest.fixture
def serving(server: JobServer, sagemaker: Any, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """An endpoint in the making; what hangs fails in seconds, since nothing here waits for a real model."""
    monkeypatch.setattr("local_aws.sagemaker.model_server.HEALTHY_WITHIN_SECONDS", 20)
    return Serving(server, sagemaker, wait_for)


@pytest.fixture
def lake(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """The toy model's code and thirty days of rows in S3, and the runtime as the container."""
    monkeypatch.setenv("PYTHONPATH", str(RUNTIME))
    return toy_lake.fill(server)


@pytest.fixture
def toy(server: JobServer, sagemaker: Any) -> ToyPipeline:
    """The platform's pipeline for the toy model."""
    sagemaker.create_model_package_group(ModelPackageGroupName="toy")
    return ToyPipeline(server, wait_for)


@pytest.fixture
def nightly(server: JobServer) -> Nightly:
    """A workflow whose jobs say in S3 that they ran, and with which arguments."""
    server.add(GlueService(server.context))
    server.client("s3").put_object(Bucket="lake", Key="code/script.py", Body=SCRIPT.encode())
    glue = server.client("glue")
    glue.create_workflow(Name="nightly", DefaultRunProperties={"Redo": "changed", "FirstDay": "2013-01-01"})
    return Nightly(server, glue, wait_for)
