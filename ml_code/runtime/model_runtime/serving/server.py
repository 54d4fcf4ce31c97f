"""The server process: loads the model, listens, and on SIGTERM answers what it has accepted before it ends."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType

import uvicorn

from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths
from model_runtime.serving.application import MEBIBYTE, Application
from model_runtime.serving.handler import InvocationHandler

# SageMaker kills a container 30 seconds after SIGTERM.
DRAIN_SECONDS = 25
# Longer than a caller's pool keeps an idle connection, so that none is closed under a request.
KEEP_ALIVE_SECONDS = 75


@dataclass(frozen=True)
class ServerSettings:
    """Where to listen and what to accept, from SageMaker's environment variables."""

    host: str
    port: int
    max_body_bytes: int
    default_accept: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServerSettings:
        """Read the variables; raises JobError for a value that isn't a number in range."""
        return cls(
            host=environment.get("SAGEMAKER_BIND_TO_HOST") or "0.0.0.0",  # noqa: S104  # the contract: all interfaces
            port=_number(environment, "SAGEMAKER_BIND_TO_PORT", 8080, 65535),
            max_body_bytes=_number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 6, 100) * MEBIBYTE,
            default_accept=environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", ""),
        )


def _number(environment: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= highest:
        raise JobError(f"{name} must be a number from 1 to {highest}, got {text!r}")
    return int(text)


def main(paths: ContainerPaths) -> None:
    """Serve the model of the model directory until SIGTERM or SIGINT."""
    settings = ServerSettings.from_environment()
    handler = InvocationHandler.load(paths.model)
    application = Application(handler, settings.max_body_bytes, settings.default_accept)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # uvicorn raises the signal again once it has drained
    gc.collect()
    gc.freeze()  # what is loaded now stays: no collection has to look at it while a client waits
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False,
        )
    )
    try:
        listener = socket.create_server((settings.host, settings.port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise JobError(f"can't listen on {settings.host}:{settings.port}: {reason}") from error
    print(f"serving on {settings.host}:{settings.port}", flush=True)
    server.run(sockets=[listener])


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(0)
