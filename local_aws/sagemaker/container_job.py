"""The life of a training or processing job: data in, a container run, data out."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Protocol

from local_aws.jobs.log_stream import LogStream
from local_aws.jobs.manifest import read_manifest
from local_aws.jobs.process import JobProcess, Outcome, job_environment, scratch_directory
from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, download, list_prefix
from local_aws.sagemaker.isolation import in_no_network, network_can_be_taken, without_access
from local_aws.sagemaker.workspace import Record, UnknownImageError, Workspace
from local_aws.service import Image

_log = logging.getLogger(__name__)

FAILURE_LENGTH = 1024
LOG_TAIL_LENGTH = 900
CLOSE_GRACE_SECONDS = 2.0
OPT_ML = PurePosixPath("/opt/ml")


class Container(Protocol):
    """A running container, whether it is one process or several."""

    def wait(self, time_limit_seconds: float | None = None) -> Outcome:
        """Wait for the end; stop what outlives the limit."""

    def stop(self, grace_seconds: float | None = None) -> None:
        """Ask it to end, and end it when it doesn't."""


class JobFailure(Exception):
    """A job can't go on; the message is its FailureReason."""


class ContainerJob(threading.Thread, ABC):
    """A job that runs one container as a subprocess in a thread of its own.

    `record` is what the Describe operation returns; it changes as the job goes on, under a lock, since a stop comes
    from another thread. `finished` is set after the last change. The container sees `<job directory>/opt/ml` as its
    /opt/ml through SAGEMAKER_BASE_DIR.
    """

    kind: ClassVar[str]
    log_group: ClassVar[str]
    name_member: ClassVar[str]
    arn_member: ClassVar[str]
    status_member: ClassVar[str]
    event: ClassVar[str]

    def __init__(self, workspace: Workspace, record: Record) -> None:
        self.record = record
        self.name_ = str(record[self.name_member])
        super().__init__(name=f"{self.kind}-{self.name_}", daemon=True)
        self.finished = threading.Event()
        self._workspace = workspace
        self._directory = workspace.job_directory(self.kind, self.name_)
        self._lock = threading.RLock()
        self._stop_requested = threading.Event()
        self._process: Container | None = None
        self._log: LogStream | None = None
        # removed whatever becomes of the job
        self._scratch: list[Path] = []

    @classmethod
    def check(cls, request: Record) -> None:
        """Refuse a request that SageMaker refuses beyond the shape of the API: ApiError(ValidationException)."""

    @property
    def status(self) -> str:
        return str(self.record[self.status_member])

    def start(self) -> None:
        """Start the thread; the clock knows of it from now on."""
        self._worker = self._workspace.context.clock.worker(f"{self.kind} job {self.name_}")
        super().start()

    def stop(self, grace_seconds: float | None = None) -> None:
        """Ask the job to stop: SIGTERM, later SIGKILL. Returns when the process has ended."""
        with self._lock:
            if self.status not in ("InProgress", "Stopping"):
                return
            if not self._stop_requested.is_set():
                self._transition("Stopping")
                self._stop_requested.set()
            process = self._process
        if process is not None:
            process.stop(grace_seconds)

    def run(self) -> None:
        """Run the job to its end; whatever happens is in the record."""
        reason: str | None = None
        with self._lock:
            self._announce()
        try:
            status = self._execute()
        except (JobFailure, UnknownImageError) as error:
            status, reason = "Failed", str(error)
        except S3_ERRORS as error:
            status, reason = "Failed", f"ClientError: {error}"
        except OSError as error:
            status = "Failed"
            full = error.errno == errno.ENOSPC
            reason = f"ClientError: No space left on the disk: {error}" if full else f"InternalServerError: {error}"
        except Exception as error:
            _log.exception("the %s job %s broke", self.kind, self.name_)
            status, reason = "Failed", f"InternalServerError: {type(error).__name__}: {error}"
        if self._log is not None:
            if reason:
                self._log.write(reason)
            self._log.close()
        try:
            with self._lock:
                if reason:
                    self.record["FailureReason"] = reason[:FAILURE_LENGTH]
                self._finish(status)
                self._announce()
            # what failed or was stopped stays, to be looked at, but for copies of what is in S3
            for directory in [*self._scratch, *([self._directory] if status == "Completed" else [])]:
                shutil.rmtree(directory, ignore_errors=True)
        finally:
            self._process = self._log = None
            self.finished.set()
            self._worker.end()

    @abstractmethod
    def _command(self, image: Image) -> list[str]:
        """Return the container's command."""

    @abstractmethod
    def _image_uri(self) -> str:
        """Return the image that the container is made from."""

    @abstractmethod
    def _instance_count(self) -> int:
        """Return how many instances the request asks for."""

    @abstractmethod
    def _prepare(self) -> None:
        """Write configuration files and download inputs."""

    @abstractmethod
    def _upload(self, outcome: Outcome) -> None:
        """Upload what the container left behind; called for stopped jobs as well."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """Return the variables of this job."""

    def _enter(self, phase: str) -> None:
        """Go on to a phase, unless the job is stopping."""
        with self._lock:
            if not self._stop_requested.is_set():
                self._transition(phase)

    def _note(self, **members: Any) -> None:
        with self._lock:
            self.record.update(members)

    def _transition(self, phase: str) -> None:
        """Note the phase that the job enters: Downloading, Training, Uploading or Stopping."""
        self.record["LastModifiedTime"] = self._workspace.now()
        if phase == "Stopping":
            self.record[self.status_member] = "Stopping"
            self._announce()

    def _finish(self, status: str) -> None:
        self.record["LastModifiedTime"] = self._workspace.now()
        self.record[self.status_member] = status

    def _execute(self) -> str:
        image = self._workspace.image(self._image_uri())
        command = self._command(image)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._path(OPT_ML).mkdir(parents=True)
        stream = f"{self.name_}/algo-1-{int(time.time())}"
        self._log = LogStream(self._client("logs"), self.log_group, stream)
        for note in self._differences():
            self._log.write(f"local AWS: {note}")
        self._enter("Downloading")
        self._prepare()
        if self._stop_requested.is_set():
            return "Stopped"
        self._enter("Training")
        outcome = self._run_to_end(command)
        if outcome.ended_by == "exit" and outcome.exit_code != 0:
            raise JobFailure(self._container_failure(outcome))
        self._enter("Uploading")
        self._upload(outcome)
        return "Completed" if outcome.ended_by == "exit" else self._interrupted(outcome)

    def _differences(self) -> Iterator[str]:
        """Say what is asked for and is different here."""
        if self._instance_count() > 1:
            yield f"one process stands for {self._instance_count()} instances"
        if self._isolated() and not network_can_be_taken():
            yield "this machine can't take the network away: isolation means no credentials and no address of AWS"

    def _isolated(self) -> bool:
        """Say whether the container has no network."""
        return bool(self.record.get("NetworkConfig", {}).get("EnableNetworkIsolation"))

    def _run_to_end(self, command: list[str]) -> Outcome:
        """Run the container, again if its machine is taken away."""
        return self._run_container(command)

    def _time_limit(self) -> float:
        """Return the seconds that the container may run."""
        return float(self.record["StoppingCondition"]["MaxRuntimeInSeconds"])

    @abstractmethod
    def _interrupted(self, outcome: Outcome) -> str:
        """Return the status of a job that was stopped or ran out of time."""

    def _run_container(self, command: list[str]) -> Outcome:
        temporary = scratch_directory(self._workspace.context.state_dir)
        self._scratch.append(temporary)
        variables = self._environment()
        own = self._workspace.container_environment(self.record.get("RoleArn"))
        environment = job_environment(own, variables, self._workspace.variables(variables), {"TMPDIR": str(temporary)})
        self.record.setdefault(f"{self.kind.capitalize()}StartTime", self._workspace.now())
        try:
            process = self._start(command, without_access(environment) if self._isolated() else environment)
        except OSError as error:
            raise JobFailure(f"ClientError: the container can't be started: {error}") from error
        with self._lock:
            self._process, stopping = process, self._stop_requested.is_set()
        if stopping:
            process.stop()
        outcome = process.wait(self._time_limit())
        self._note(**{f"{self.kind.capitalize()}EndTime": self._workspace.now()})
        return outcome

    def _start(self, command: list[str], environment: Mapping[str, str]) -> Container:
        if self._isolated() and network_can_be_taken():
            command = in_no_network(command)
        place = {"SAGEMAKER_BASE_DIR": str(self._path(OPT_ML))}
        return JobProcess(
            command, directory=self._path(OPT_ML), environment={**environment, **place}, stdout=self._take_line
        )

    def _take_line(self, line: str) -> None:
        if self._log is not None:
            self._log.write(line)

    def _container_failure(self, outcome: Outcome) -> str:
        message = self._first_text("output/failure")
        if not message and self._log is not None:
            # the end of a log says what happened
            message = self._log.tail(5)[-LOG_TAIL_LENGTH:]
        return algorithm_error(message or "the container ended without a message; see its logs", outcome)

    def _first_text(self, relative: str, root: Path | None = None) -> str:
        """Return the first 1,024 characters of a file of the container, or nothing."""
        path = self._path(OPT_ML / relative, root)
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(4 * FAILURE_LENGTH).decode("utf-8", errors="replace")[:FAILURE_LENGTH].strip()

    def _path(self, container_path: PurePosixPath | str, root: Path | None = None) -> Path:
        """Return where a path of the container lies on this machine; JobFailure when it leaves the container."""
        root = (root or self._directory).resolve()
        path = (root / PurePosixPath(container_path).relative_to("/")).resolve()
        if not path.is_relative_to(root):
            raise JobFailure(f"ClientError: the path {container_path} leaves the container")
        return path

    def _made(self, container_path: PurePosixPath | str, root: Path | None = None) -> Path:
        path = self._path(container_path, root)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _write_json(self, container_path: PurePosixPath, content: Any, root: Path | None = None) -> None:
        self._made(container_path.parent, root)
        self._path(container_path, root).write_text(json.dumps(content, indent=1))

    def _download_input(self, source: str, data_type: str, directory: Path, part: slice = slice(None)) -> None:
        """Download an S3Prefix or a ManifestFile, or a part of its objects in the order of their keys.

        JobFailure as SageMaker words it when there is nothing.
        """
        client = self._client("s3")
        directory.mkdir(parents=True, exist_ok=True)
        self._scratch.append(directory)
        if data_type not in ("S3Prefix", "ManifestFile"):
            raise JobFailure(f"ClientError: {source}: data of the type {data_type} can't be read locally")
        try:
            uri = S3Uri.parse(source)
            if data_type == "ManifestFile":
                uri, files = read_manifest(client, uri)
            else:
                files = list_prefix(client, uri)
            if not files:
                raise self._nothing_found(uri)
            download(client, uri.bucket, sorted(files, key=lambda file: file.key)[part], directory)
        except (*S3_ERRORS, ValueError) as error:
            raise JobFailure(f"ClientError: Data download failed: {source}: {error}") from error

    def _nothing_found(self, uri: S3Uri) -> JobFailure:
        return JobFailure(
            f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}" given in input data source. '
            f"Please ensure that the bucket exists in the selected region ({self._workspace.region}) and that objects "
            f"exist under that S3 prefix."
        )

    def _client(self, service: str) -> Any:
        return self._workspace.client(service, self.record.get("RoleArn"))

    def _announce(self) -> None:
        self._workspace.emit(self.event, self.record, self.record[self.arn_member])


def algorithm_error(message: str, outcome: Outcome) -> str:
    """Return the FailureReason of a container that failed; a long message is cut, the exit code is always there."""
    suffix = f", exit code: {outcome.exit_code}"
    return f"AlgorithmError: {message}"[: FAILURE_LENGTH - len(suffix)] + suffix


def container_words(words: list[str], image: Image) -> list[str]:
    """Return a command with `python` and `python3` replaced by the interpreter that stands for the image's."""
    return [image.python if words[0] in ("python", "python3") else words[0], *words[1:]]
