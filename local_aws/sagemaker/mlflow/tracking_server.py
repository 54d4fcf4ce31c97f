"""A running MLflow server: a process on a port of its own, with a SQLite database in the state folder."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import urllib3

from local_aws.jobs.process import JobProcess, job_environment

HOST = "127.0.0.1"
READY_WITHIN_SECONDS = 180.0
POLL_SECONDS = 0.2
ANSWER_SECONDS = 30.0
STOP_SECONDS = 3.0
# nobody waits for it before the first training: jobs come first
NICENESS = 5
_EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"
_LOG = logging.getLogger(__name__)


class ServerFailure(Exception):
    """The server doesn't answer; the message says why."""


class TrackingServer:
    """Starts in the background; `url` waits until it answers.

    Parameters
    ----------
    directory
        Holds the database and the server's log.
    artifacts
        The S3 URI that clients write the files of runs to, and that the server reads them from.
    environment
        Variables with which the server reaches S3.
    """

    def __init__(self, directory: Path, artifacts: str, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._artifacts = artifacts
        self._environment = environment
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._failure = ""
        self._process: JobProcess | None = None
        self._lock = threading.Lock()
        self.port = _free_port()
        self._starter = threading.Thread(target=self._start, name="mlflow-start", daemon=True)
        self._starter.start()

    @property
    def address(self) -> str:
        """Where it answers, or will."""
        return f"http://{HOST}:{self.port}"

    @property
    def state(self) -> str:
        """`starting`, `ready`, or what went wrong."""
        if not self._ready.is_set():
            return "starting"
        if not self._failure and self._process is not None and not self._process.running:
            return f"ended by itself; its log is {self._log}"
        return self._failure or "ready"

    def url(self) -> str:
        """Where it answers, once it does; ServerFailure when it can't be started."""
        self._ready.wait()
        if self._failure:
            raise ServerFailure(self._failure)
        return self.address

    def close(self) -> None:
        """Stop the process."""
        self._stopping.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.stop(STOP_SECONDS)
            process.wait()
        self._starter.join(STOP_SECONDS)

    def _start(self) -> None:
        try:
            self._launch()
            self._wait_until_ready()
        except (OSError, ServerFailure) as error:
            self._failure = f"the MLflow server can't be started: {error}"
            _LOG.warning("%s", self._failure)
        finally:
            self._ready.set()

    def _launch(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", str(Path(__file__).with_name("serve.py"))]
        command += ["--port", str(self.port), "--database", str(self._directory / "mlflow.db")]
        command += ["--artifacts", self._artifacts]
        with self._lock:
            if self._stopping.is_set():
                return
            self._process = JobProcess(
                command, directory=self._directory, environment=job_environment(self._environment), stdout=self._note
            )
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    def _wait_until_ready(self) -> None:
        pool = urllib3.HTTPConnectionPool(HOST, self.port, maxsize=1, retries=False)
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._stopping.wait(POLL_SECONDS):
            assert self._process is not None
            if not self._process.running:
                raise ServerFailure(f"it ended at once; its log is {self._log}")
            if time.monotonic() > deadline:
                raise ServerFailure(f"it didn't answer within {READY_WITHIN_SECONDS:.0f} s; its log is {self._log}")
            try:
                # the first question for experiments makes the tables
                answer = pool.request("GET", _EXPERIMENTS, timeout=ANSWER_SECONDS)
            except urllib3.exceptions.HTTPError:
                continue
            if answer.status != 200:
                raise ServerFailure(f"it answers with {answer.status}; its log is {self._log}")
            return
        raise ServerFailure("the app is deleted")

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"

    def _note(self, line: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
