"""The parent of a server's processes: it binds the port, keeps as many running as asked for, and ends with them.

A process for each core answers, since Python works on one core at a time. The parent loads nothing: what a model's code
does to its process can't take the others with it, and one that ends is replaced while the others answer.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths
from model_runtime.serving.settings import ServerSettings

# a little longer than a process takes to drain, and shorter than SageMaker waits before it kills the container
END_SECONDS = 28.0
POLL_SECONDS = 0.02
# A process that ends before it is ready is tried again this often, with pauses that double.
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.5


@dataclass
class Worker:
    """A process, the parent's end of the line to it, and whether it has said that it is ready."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    ready: bool = False
    said: bytes = b""


@dataclass
class Supervisor:
    """Keeps `count` workers running on a bound socket until it is told to stop."""

    listener: socket.socket
    count: int
    address: str
    workers: list[Worker] = field(default_factory=list)
    stopping: bool = False
    failures: int = 0
    due: float = 0.0

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; raises JobError when a worker can't start and none has ever been ready."""
        wake, woken = socket.socketpair()
        for each in (wake, woken):
            each.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, _noted)
        told = False
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            while not self.stopping:
                self._fill(selector)
                pause = max(self.due - time.monotonic(), 0.0) if len(self.workers) < self.count else None
                for key, _ in selector.select(pause):
                    if key.data is None:
                        _emptied(wake)
                    else:
                        self._hear(key.data, selector)
                self._reap(selector)
                if not told and any(worker.ready for worker in self.workers):
                    told = True
                    print(f"serving on {self.address}", flush=True)
        self._end()

    def _stop(self, number: int, frame: object) -> None:
        del number, frame
        self.stopping = True

    def _fill(self, selector: selectors.BaseSelector) -> None:
        while len(self.workers) < self.count and not self.stopping and time.monotonic() >= self.due:
            mine, its = socket.socketpair()
            command = [sys.executable, "-m", "model_runtime.serving.worker", str(self.listener.fileno())]
            with its:
                process = subprocess.Popen(
                    [*command, str(its.fileno())], pass_fds=(self.listener.fileno(), its.fileno())
                )
            mine.setblocking(False)
            worker = Worker(process, mine)
            self.workers.append(worker)
            selector.register(mine, selectors.EVENT_READ, worker)

    def _hear(self, worker: Worker, selector: selectors.BaseSelector) -> None:
        try:
            said = worker.line.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            said = b""
        if not said:
            selector.unregister(worker.line)
            worker.line.close()
            return
        worker.said += said
        if worker.said.endswith(b"\n") and json.loads(worker.said).get("ready"):
            worker.ready, worker.said, self.failures = True, b"", 0

    def _reap(self, selector: selectors.BaseSelector) -> None:
        """Take leave of workers that have ended; they are replaced, unless none can be."""
        for worker in [each for each in self.workers if each.process.poll() is not None]:
            if worker.line.fileno() != -1:
                self._hear(worker, selector)
            if worker.line.fileno() != -1:
                selector.unregister(worker.line)
                worker.line.close()
            self.workers.remove(worker)
            if self.stopping:
                continue
            code = worker.process.returncode
            end = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            reason = json.loads(worker.said)["failed"] if worker.said.endswith(b"\n") else f"it ended with {end}"
            if worker.ready:
                print(f"server process {worker.process.pid} ended with {end}: another takes its place", flush=True)
                continue
            self.failures += 1
            others = any(each.ready for each in self.workers)
            if not others and (worker.said or self.failures >= ATTEMPTS):
                self._end(kill=True)
                raise JobError(reason)
            self.due = time.monotonic() + FIRST_PAUSE_SECONDS * 2 ** min(self.failures, 6)
            print(f"server process {worker.process.pid} couldn't start: {reason}", file=sys.stderr, flush=True)

    def _end(self, *, kill: bool = False) -> None:
        """End every worker: each answers what it has accepted, unless it takes too long."""
        self.stopping = True
        for worker in self.workers:
            worker.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        while any(worker.process.poll() is None for worker in self.workers) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()


def _noted(number: int, frame: object) -> None:
    """Let the signal wake the parent, which a signal without a handler doesn't."""
    del number, frame


def _emptied(line: socket.socket) -> None:
    try:
        while line.recv(4096):
            pass
    except BlockingIOError:
        return


def main(paths: ContainerPaths) -> None:
    """Serve the model of the model directory until SIGTERM or SIGINT.

    Raises JobError when the port is taken, or when the model can't be served.
    """
    del paths  # the workers find it by the same variables
    settings = ServerSettings.from_environment()
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # bound and not listening: until a worker is ready, clients are refused
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise JobError(f"can't listen on {settings.address}: {reason}") from error
        Supervisor(listener, settings.workers, settings.address).run()
