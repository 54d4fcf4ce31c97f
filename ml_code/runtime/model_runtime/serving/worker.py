"""One of a server's processes: `python -m model_runtime.serving.worker <line to the parent>`.

It loads the model, asks it once, and tells the parent, which hands clients over from then on. It ends when the parent's
end of the line is closed, after the last client that came over it: nothing is lost on the way.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import uvloop

from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths
from model_runtime.prediction_baseline import PredictionBaseline
from model_runtime.serving.connection import Connection
from model_runtime.serving.handler import InvocationHandler
from model_runtime.serving.metrics import ServingMetrics
from model_runtime.serving.server import ENDED, READY, TAKEN
from model_runtime.serving.service import SWEEP_SECONDS, Service
from model_runtime.serving.settings import ServerSettings

MOST_AT_ONCE = 64
# SageMaker kills a container 30 seconds after SIGTERM.
DRAIN_SECONDS = 25


async def serve(service: Service, parent: socket.socket) -> None:
    """Answer the clients that the parent hands over, until it has closed its end; then what they have begun."""
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    taken: set[asyncio.Task[object]] = set()

    def take_clients() -> None:
        while True:
            try:
                marks, descriptors, _, _ = socket.recv_fds(parent, MOST_AT_ONCE, MOST_AT_ONCE)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                marks, descriptors = b"", []
            for descriptor in descriptors:
                client = socket.socket(fileno=descriptor)
                client.setblocking(False)
                task = loop.create_task(loop.connect_accepted_socket(lambda: Connection(service), client))
                taken.add(task)
                task.add_done_callback(taken.discard)
                tell(TAKEN)
            if not marks:
                loop.remove_reader(parent)
                leaving.set()
                return

    def tell(mark: bytes) -> None:
        # a mark that doesn't fit is lost: the parent takes this process for busier than it is
        with suppress(OSError):
            parent.send(mark)

    service.ended = lambda: tell(ENDED)
    loop.add_reader(parent, take_clients)
    while not leaving.is_set():
        service.sweep()
        with suppress(TimeoutError):
            await asyncio.wait_for(leaving.wait(), SWEEP_SECONDS)
    if taken:
        await asyncio.wait(taken)
    service.drain()
    deadline = loop.time() + DRAIN_SECONDS
    while service.connections and loop.time() < deadline:
        service.sweep()
        await asyncio.sleep(0.02)
    service.write_metrics()


def load() -> Service:
    """Load what is served; the model has answered once then."""
    settings = ServerSettings.from_environment()
    metrics = ServingMetrics.from_environment()
    directory = ContainerPaths.from_environment().model
    metrics.compare_with(PredictionBaseline.read(directory))
    handler = InvocationHandler.load(directory, parquet=settings.batch)
    return Service(handler, settings, metrics)


def main(argv: Sequence[str]) -> int:
    """Serve; returns the exit code, and tells the parent when it is ready, or why it can't be."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a signal to the whole group is the parent's to act on
        signal.signal(number, signal.SIG_IGN)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parent = socket.socket(fileno=int(argv[0]))
    try:
        service = load()
    except Exception as error:
        if not isinstance(error, JobError):
            traceback.print_exc()
        reason = str(error) if isinstance(error, JobError) else f"{type(error).__name__}: {error}"
        parent.sendall(json.dumps({"failed": reason}).encode() + b"\n")
        return 1
    gc.collect()
    gc.freeze()  # what is loaded now stays: no collection has to look at it while a client waits
    parent.sendall(READY)
    parent.setblocking(False)
    uvloop.run(serve(service, parent))
    sys.stdout.flush()
    os._exit(0)  # threads of requests that outlasted the drain must not hold the process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
