"""A job's subprocess: its own process group, its output line by line, a time limit and a clean end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from local_aws.jobs.guard import MARK_VARIABLE, ProcessGuard, kill_group, kill_marked

_log = logging.getLogger(__name__)

LineSink = Callable[[str], None]
EndedBy = Literal["exit", "stop", "time limit"]

# CloudWatch Logs takes events of at most 256 KiB
LINE_LIMIT_BYTES = 256 * 1024

# what a user set up for other work: AWS, MLflow, Spark and Hadoop, Java and Python. No container sees any of it
_FOREIGN_PREFIXES = (
    "AWS_", "SAGEMAKER_", "SM_", "MLFLOW_", "SPARK_", "PYSPARK_", "HADOOP_", "HIVE_", "YARN_", "PYTHON"
)  # fmt: skip
_FOREIGN = frozenset({"CLASSPATH", "JAVA_OPTS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"})
# the packages that stand for an image's may lie there, and where bytecode goes changes nothing
_KEPT = frozenset({"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"})

_guard = ProcessGuard()


@dataclass(frozen=True)
class Outcome:
    """How a process ended. `exit_code` is 128 + the signal's number when a signal ended it, as in containers."""

    exit_code: int
    ended_by: EndedBy


class JobProcess:
    """A running subprocess with all that it starts.

    Lines of standard error go to `stderr`, or among those of standard output without one.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        stdout: LineSink,
        stderr: LineSink | None = None,
        stop_grace_seconds: float = 20.0,
    ) -> None:
        self._grace = stop_grace_seconds
        self._ended_by: EndedBy = "exit"
        self._ending = threading.Lock()
        self._kill_at: float | None = None
        self._mark = uuid.uuid4().hex
        self._process = subprocess.Popen(
            list(command),
            cwd=directory,
            env={**environment, MARK_VARIABLE: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if stderr is None else subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        _guard.watch(self.pid, self._mark)
        self._readers = [
            threading.Thread(target=_read_lines, args=(pipe, sink), daemon=True, name=f"output-of-{self.pid}")
            for pipe, sink in ((self._process.stdout, stdout), (self._process.stderr, stderr))
            if pipe is not None and sink is not None
        ]
        for reader in self._readers:
            reader.start()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, time_limit_seconds: float | None = None) -> Outcome:
        """Wait for the end; a process that outlives the limit is stopped. Leaves none of its children behind."""
        try:
            self._process.wait(time_limit_seconds)
        except subprocess.TimeoutExpired:
            self._end("time limit")
        code = self._process.wait()
        kill_group(self.pid, signal.SIGKILL)
        kill_marked({self._mark})
        for reader in self._readers:
            reader.join(timeout=5)
        _guard.forget(self.pid)
        return Outcome(exit_code=code if code >= 0 else 128 - code, ended_by=self._ended_by)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Send SIGTERM to the group and, when it is still there after the grace period, SIGKILL.

        Of two stops the one with the earlier end counts.
        """
        self._end("stop", grace_seconds)

    def _end(self, reason: EndedBy, grace_seconds: float | None = None) -> None:
        kill_at = time.monotonic() + (self._grace if grace_seconds is None else grace_seconds)
        with self._ending:
            if not self.running:
                return
            if self._kill_at is None:
                self._kill_at, self._ended_by = kill_at, reason
                kill_group(self.pid, signal.SIGTERM)
            self._kill_at = min(self._kill_at, kill_at)
        while self.running and time.monotonic() < self._kill_at:
            time.sleep(0.02)
        if self.running:
            kill_group(self.pid, signal.SIGKILL)


def scratch_directory(state_dir: Path) -> Path:
    """Make a directory for temporary files; its path is short, since those of sockets have to be."""
    directory = state_dir / "tmp" / uuid.uuid4().hex[:8]
    directory.mkdir(parents=True)
    return directory


def job_environment(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what a user set for other work, then the layers, the last winning."""
    merged = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    merged["PYTHONUNBUFFERED"] = "1"
    for layer in layers:
        merged.update(layer)
    return merged


def _is_foreign(name: str) -> bool:
    return name in _FOREIGN or (name.startswith(_FOREIGN_PREFIXES) and name not in _KEPT)


def _read_lines(pipe: IO[bytes], sink: LineSink) -> None:
    with pipe:
        while line := pipe.readline(LINE_LIMIT_BYTES - 1024):
            try:
                sink(line.decode("utf-8", errors="replace").rstrip("\r\n"))
            except Exception:
                # a process whose output isn't read would stand still
                _log.exception("a line of output was lost")
