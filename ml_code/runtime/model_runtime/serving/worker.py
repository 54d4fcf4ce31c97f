"""One of a server's processes: `python -m model_runtime.serving.worker <listening socket> <line to the parent>`.

It loads the model, asks it once, and only then takes clients. All processes take them from one socket: a connection
that none has taken yet survives the end of any of them. It ends when it is told to, or when its parent is gone.
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

import uvloop

from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths
from model_runtime.serving.connection import Connection
from model_runtime.serving.handler import InvocationHandler
from model_runtime.serving.metrics import ServingMetrics
from model_runtime.serving.service import SWEEP_SECONDS, Service
from model_runtime.serving.settings import ServerSettings

BACKLOG = 2048
# SageMaker kills a container 30 seconds after SIGTERM.
DRAIN_SECONDS = 25
# With no file descriptor left for another client, none is taken for a moment.
PAUSE_SECONDS = 0.2


async def serve(service: Service, listener: socket.socket, parent: socket.socket) -> None:
    """Answer until SIGTERM, or until the parent has closed its end; what was accepted by then is answered."""
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    taken: set[asyncio.Task[object]] = set()

    def take_client() -> bool:
        # one at a time: processes that wait take turns, and the one that is busy gets none
        try:
            client, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return False
        except OSError as error:
            print(f"no client can be taken: {error}", file=sys.stderr, flush=True)
            loop.remove_reader(listener)
            loop.call_later(PAUSE_SECONDS, listen)
            return False
        client.setblocking(False)
        task = loop.create_task(loop.connect_accepted_socket(lambda: Connection(service), client))
        taken.add(task)
        task.add_done_callback(taken.discard)
        return True

    def listen() -> None:
        if not leaving.is_set():
            loop.add_reader(listener, take_client)

    loop.add_signal_handler(signal.SIGTERM, leaving.set)
    loop.add_reader(parent, leaving.set)
    listen()
    while not leaving.is_set():
        service.sweep()
        try:
            await asyncio.wait_for(leaving.wait(), SWEEP_SECONDS)
        except TimeoutError:
            continue
    loop.remove_reader(parent)
    while take_client():  # who has connected is answered
        pass
    loop.remove_reader(listener)
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
    handler = InvocationHandler.load(ContainerPaths.from_environment().model, parquet=settings.batch)
    return Service(handler, settings, metrics)


def main(argv: Sequence[str]) -> int:
    """Serve; returns the exit code, and tells the parent when it is ready, or why it can't be."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C the parent tells
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    listener, parent = (socket.socket(fileno=int(each)) for each in argv)
    try:
        service = load()
        listener.setblocking(False)
        listener.listen(BACKLOG)
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            reason = f"can't listen on {ServerSettings.from_environment().address}: {os.strerror(error.errno)}"
        elif isinstance(error, JobError):
            reason = str(error)
        else:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
        parent.sendall(json.dumps({"failed": reason}).encode() + b"\n")
        return 1
    gc.collect()
    gc.freeze()  # what is loaded now stays: no collection has to look at it while a client waits
    parent.sendall(b'{"ready": true}\n')
    uvloop.run(serve(service, listener, parent))
    sys.stdout.flush()
    os._exit(0)  # threads of requests that outlasted the drain must not hold the process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
