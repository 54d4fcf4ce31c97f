"""A model's container behind an endpoint: a process that answers /ping and /invocations on a port of its own."""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarError
from typing import Any

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from local_aws.jobs.log_stream import LogStream
from local_aws.jobs.process import JobProcess, Outcome, job_environment
from local_aws.jobs.s3_files import S3Uri, download, find_file, unpack_archive
from local_aws.sagemaker.container_job import container_words
from local_aws.sagemaker.workspace import Record, UnknownImageError, Workspace

HOST = "127.0.0.1"
PING_SECONDS = 2.0
HEALTHY_WITHIN_SECONDS = 240
ANSWER_SECONDS = 60.0
DRAIN_SECONDS = 30.0
RESTART_PAUSE_SECONDS = 1.0
# as often a container is given another port when someone else has taken the one that it was told
PORTS_TRIED = 3
# reasons quote the container's last words, not its whole life
SHOWN_LOG_LINES = 5
_LOG = logging.getLogger(__name__)


class ServerFailure(Exception):
    """The container can't serve; the message becomes the endpoint's FailureReason."""


class ContainerUnavailable(Exception):
    """The container didn't take the request or answer it in time."""


class ConnectionBroken(ContainerUnavailable):
    """The connection ended before the answer; `sent` tells whether the container may have seen the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True)
class Answer:
    """A container's response."""

    status: int
    body: bytes
    content_type: str
    custom_attributes: str | None = None


class ModelServer:
    """One instance of a variant: its container, which is started again when it crashes, until it is stopped.

    `container` holds Image, ModelDataUrl, Environment and ExecutionRoleArn. The process sees `<directory>/opt/ml` as
    its /opt/ml through SAGEMAKER_BASE_DIR, and is told the port by SAGEMAKER_BIND_TO_PORT.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        endpoint: str,
        variant: Record,
        container: Mapping[str, Any],
        directory: Path,
        log_group: str | None = None,
    ) -> None:
        self.variant = str(variant["VariantName"])
        self.image = str(container["Image"])
        self._workspace = workspace
        self._container = container
        self._directory = directory
        self._base = directory / "opt" / "ml"
        self._patience = variant.get("ContainerStartupHealthCheckTimeoutInSeconds") or HEALTHY_WITHIN_SECONDS
        self._stopping = threading.Event()
        self._healthy = False
        self._process: JobProcess | None = None
        group = log_group or f"/aws/sagemaker/Endpoints/{endpoint}"
        self._log = LogStream(workspace.client("logs"), group, f"{self.variant}/{directory.name}")
        # of the container that runs now: each one is told a port that is free when it is started
        self.port = 0
        self._http = _connections(self.port)

    @property
    def log_stream(self) -> tuple[str, str]:
        """The group and stream that the container writes to."""
        return self._log.group, self._log.stream

    @property
    def ready(self) -> bool:
        """Whether it was healthy when it was asked last, and hasn't ended since."""
        return self._healthy and self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        """The container's process, which leads a group of its own; None before it is started."""
        return self._process.pid if self._process is not None else None

    @property
    def url(self) -> str:
        """Where the container answers directly."""
        return f"http://{HOST}:{self.port}/invocations"

    def start(self) -> None:
        """Fetch the model, start the container and wait until it is healthy; ServerFailure says why it isn't."""
        try:
            self._fetch_model()
            self._launch()
            self._wait_until_healthy()
            self._healthy = True
        except Exception:
            self.stop(0)
            raise
        threading.Thread(target=self._keep_alive, name=f"endpoint-{self.variant}", daemon=True).start()

    def invoke(self, body: bytes, headers: Mapping[str, str], seconds: float = ANSWER_SECONDS) -> Answer:
        """Pass a request on; ContainerUnavailable when the container takes longer than so many seconds.

        ConnectionBroken when it is gone, or goes before it has answered.
        """
        try:
            response = self._http.request(
                "POST",
                "/invocations",
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=PING_SECONDS, read=seconds),
            )
        except urllib3.exceptions.ReadTimeoutError as error:
            raise ContainerUnavailable(f"it didn't answer within {seconds:.0f} seconds") from error
        except urllib3.exceptions.HTTPError as error:
            refused = isinstance(error, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.NewConnectionError)
            raise ConnectionBroken(f"it is not reachable ({type(error).__name__})", sent=not refused) from error
        return Answer(
            response.status,
            response.data,
            response.headers.get("Content-Type", "application/octet-stream"),
            response.headers.get("X-Amzn-SageMaker-Custom-Attributes"),
        )

    def note(self, line: str) -> None:
        """Write a line of SageMaker's own into the container's log."""
        self._log.write(line)

    def stop(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """End the container: SIGTERM, and SIGKILL after the grace period, as SageMaker does."""
        self._stopping.set()
        if self._process is not None:
            self._process.stop(grace_seconds)
            self._process.wait()
        self._http.close()
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _fetch_model(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        model = self._base / "model"
        model.mkdir(parents=True)
        source = self._container.get("ModelDataUrl")
        if not source:
            return
        client = self._workspace.client("s3", self._container.get("ExecutionRoleArn"))
        try:
            uri = S3Uri.parse(source)
            file = find_file(client, uri)
            if file is None:
                raise ServerFailure(f"Could not find model data at {source}. Please ensure that the object exists.")
            archive = download(client, uri.bucket, [file], self._directory)[0]
            unpack_archive(archive, model)
            archive.unlink()
        except (ClientError, BotoCoreError, ValueError) as error:
            raise ServerFailure(f"Could not access model data at {source}: {error}") from error
        except (TarError, EOFError, OSError) as error:
            raise ServerFailure(f"Failed to extract model data archive {source}: {error}") from error

    def _launch(self) -> None:
        try:
            image = self._workspace.image(self.image)
        except UnknownImageError as error:
            raise ServerFailure(str(error)) from error
        self._http.close()
        self.port = _free_port()
        self._http = _connections(self.port)
        temporary = self._directory / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = job_environment(
            self._workspace.container_environment(self._container.get("ExecutionRoleArn")),
            self._container.get("Environment") or {},
            {
                "SAGEMAKER_BASE_DIR": str(self._base),
                "SAGEMAKER_BIND_TO_HOST": HOST,
                "SAGEMAKER_BIND_TO_PORT": str(self.port),
                "TMPDIR": str(temporary),
            },
        )
        command = container_words([*image.entrypoint, "serve"], image)
        try:
            self._process = JobProcess(command, directory=self._base, environment=environment, stdout=self._log.write)
        except OSError as error:
            raise ServerFailure(f"the container can't be started: {error}") from error
        if self._stopping.is_set():
            self._process.stop(0)

    def _wait_until_healthy(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._patience
        ports = 1
        while not self._is_healthy():
            if not self._process.running:
                code = self._process.wait().exit_code
                if ports == PORTS_TRIED or _is_free(self.port):
                    raise self._unhealthy(f"the container ended with exit code {code}")
                self.note(f"port {self.port} was taken by another process: the container is started on another one")
                self._launch()
                ports += 1
            if time.monotonic() > deadline:
                raise self._unhealthy(f"it wasn't healthy after {self._patience} seconds")
            if self._stopping.wait(0.05):
                raise ServerFailure("the endpoint is being deleted")

    def _is_healthy(self) -> bool:
        """Tell whether the container answers; what answers when it has ended is someone else's."""
        assert self._process is not None
        try:
            answers = self._http.request("GET", "/ping", timeout=PING_SECONDS).status == 200
        except urllib3.exceptions.HTTPError:
            return False
        return answers and self._process.running

    def _unhealthy(self, why: str) -> ServerFailure:
        said = self._log.tail(SHOWN_LOG_LINES)
        return ServerFailure(
            f"The primary container for production variant {self.variant} did not pass the ping health check: {why}. "
            f"Its log stream is {self._log.stream} of {self._log.group}"
            + (f"; its last lines:\n{said}" if said else "")
        )

    def _keep_alive(self) -> None:
        """Start the container again whenever it ends by itself."""
        while True:
            assert self._process is not None
            outcome: Outcome = self._process.wait()
            self._healthy = False
            if self._stopping.is_set():
                return
            self.note(f"the container ended with exit code {outcome.exit_code}: it is started again")
            while True:
                if self._stopping.wait(RESTART_PAUSE_SECONDS):
                    return
                try:
                    self._launch()
                    self._wait_until_healthy()
                    self._healthy = True
                    break
                except ServerFailure as error:
                    _LOG.warning("%s: %s", self.variant, error)
                    self._process.stop(0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # connections of the container that has ended don't count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _connections(port: int) -> urllib3.HTTPConnectionPool:
    return urllib3.HTTPConnectionPool(HOST, port, maxsize=64, retries=False)
