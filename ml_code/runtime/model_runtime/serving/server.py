"""The parent of a server's processes: it binds the port, keeps as many running as asked for, and ends with them.

A process for each core answers, since Python works on one core at a time. The parent takes the clients and hands each
to the process that has the fewest: processes that take them from one socket by themselves leave all to the first one.
It loads nothing: what a model's code does to its process can't take the others with it, and one that ends is replaced
while the others answer.
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
from collections import deque
from dataclasses import dataclass, field

from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths
from model_runtime.serving.settings import ServerSettings

READY, TAKEN, ENDED = b'{"ready": true}\n', b"+", b"-"

# a little longer than a process takes to drain, and shorter than SageMaker waits before it kills the container
END_SECONDS = 28.0
POLL_SECONDS = 0.02
# A process that ends before it is ready is tried again this often, with pauses that double.
ATTEMPTS = 5
BACKLOG = 2048
PAUSE_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 0.5


@dataclass
class Worker:
    """A process, the parent's end of the line to it, and how many clients it has; ready once it has said so.

    `handed` are the clients that it hasn't taken yet: should it end before, another one gets them.
    """

    process: subprocess.Popen[bytes]
    line: socket.socket
    ready: bool = False
    clients: int = 0
    handed: deque[socket.socket] = field(default_factory=deque)
    said: bytes = b""


@dataclass
class Supervisor:
    """Keeps `count` workers running, and hands each client of the bound socket to the one that has the fewest."""

    listener: socket.socket
    count: int
    address: str
    workers: list[Worker] = field(default_factory=list)
    stopping: bool = False
    listening: bool = False
    failures: int = 0
    due: float = 0.0

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; raises JobError when no worker can start."""
        wake, woken = socket.socketpair()
        for each in (wake, woken, self.listener):
            each.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, _noted)
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ, wake)
            while not self.stopping:
                self._fill(selector)
                pause = max(self.due - time.monotonic(), 0.0) if len(self.workers) < self.count else None
                for key, _ in selector.select(pause):
                    if key.data is wake:
                        _emptied(wake)
                    elif key.data is self.listener:
                        self._hand_over()
                    else:
                        self._hear(key.data, selector)
                self._reap(selector)
                self._listen(selector)
        self._hand_over()  # who has connected is answered
        self._end()

    def _stop(self, number: int, frame: object) -> None:
        del number, frame
        self.stopping = True

    def _fill(self, selector: selectors.BaseSelector) -> None:
        while len(self.workers) < self.count and not self.stopping and time.monotonic() >= self.due:
            mine, its = socket.socketpair()
            with its:
                process = subprocess.Popen(
                    [sys.executable, "-m", "model_runtime.serving.worker", str(its.fileno())], pass_fds=[its.fileno()]
                )
            mine.setblocking(False)
            worker = Worker(process, mine)
            self.workers.append(worker)
            selector.register(mine, selectors.EVENT_READ, worker)

    def _listen(self, selector: selectors.BaseSelector) -> None:
        """Take clients as long as a worker is ready; those that come in between wait."""
        ready = any(worker.ready for worker in self.workers)
        if ready and not self.listening:
            try:
                self.listener.listen(BACKLOG)
            except OSError as error:
                self._end(kill=True)
                raise _no_listening(self.address, error) from error
            self.listening = True
            print(f"serving on {self.address}", flush=True)
        registered = self.listener in selector.get_map()
        if ready and not registered:
            selector.register(self.listener, selectors.EVENT_READ, self.listener)
        elif registered and not ready:
            selector.unregister(self.listener)

    def _hand_over(self) -> None:
        while self.listening:
            ready = [worker for worker in self.workers if worker.ready]
            if not ready:
                return
            try:
                client, _ = self.listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:  # no file descriptor is left: the client waits
                print(f"no client can be taken: {error}", file=sys.stderr, flush=True)
                time.sleep(PAUSE_SECONDS)
                return
            self._hand(client)

    def _hand(self, client: socket.socket) -> None:
        for worker in sorted((each for each in self.workers if each.ready), key=lambda each: each.clients):
            try:
                socket.send_fds(worker.line, [b"+"], [client.fileno()])
            except OSError:  # it has just ended, or doesn't listen: the next one takes the client
                continue
            worker.clients += 1
            worker.handed.append(client)
            return
        client.close()

    def _hear(self, worker: Worker, selector: selectors.BaseSelector) -> bool:
        """Take what a worker says; returns whether there may be more."""
        try:
            said = worker.line.recv(65536)
        except BlockingIOError:
            return False
        except ConnectionError:
            said = b""
        if not said:
            worker.ready = False
            selector.unregister(worker.line)
            return False
        worker.said += said
        if not worker.ready and worker.said.startswith(READY):
            worker.ready, worker.said, self.failures = True, worker.said[len(READY) :], 0
        if worker.ready:
            worker.clients -= worker.said.count(ENDED)
            for _ in range(worker.said.count(TAKEN)):
                worker.handed.popleft().close()
            worker.said = b""
        return True

    def _reap(self, selector: selectors.BaseSelector) -> None:
        """Take leave of workers that have ended; they are replaced, unless none can be."""
        for worker in [each for each in self.workers if each.process.poll() is not None]:
            was_ready = worker.ready or not worker.said
            while worker.line in selector.get_map() and self._hear(worker, selector):
                pass
            if worker.line in selector.get_map():
                selector.unregister(worker.line)
            worker.line.close()
            self.workers.remove(worker)
            for client in worker.handed:
                self._hand(client)
            if self.stopping:
                continue
            code = worker.process.returncode
            end = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            if was_ready and not worker.said and self.listening:
                print(f"server process {worker.process.pid} ended with {end}: another takes its place", flush=True)
                continue
            reason = str(json.loads(worker.said)["failed"]) if worker.said else f"it ended with {end}"
            self.failures += 1
            if not any(each.ready for each in self.workers) and (worker.said or self.failures >= ATTEMPTS):
                self._end(kill=True)
                raise JobError(reason)
            self.due = time.monotonic() + FIRST_PAUSE_SECONDS * 2 ** min(self.failures, 6)
            print(f"server process {worker.process.pid} couldn't start: {reason}", file=sys.stderr, flush=True)

    def _end(self, *, kill: bool = False) -> None:
        """End every worker: each answers the clients that it has, unless it takes too long."""
        self.stopping = True
        for worker in self.workers:
            if kill or not worker.ready:
                worker.process.kill()
            worker.line.close()
            for client in worker.handed:  # on its way to the worker, and the worker's alone now
                client.close()
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
            raise _no_listening(settings.address, error) from error
        Supervisor(listener, settings.workers, settings.address).run()


def _no_listening(address: str, error: OSError) -> JobError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return JobError(f"can't listen on {address}: {reason}")
