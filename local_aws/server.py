"""The server process: `python -m local_aws.server --port N --state DIR`. Listens on the loopback interface only."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from local_aws import moto_fit
from local_aws.athena.service import AthenaService
from local_aws.autoscaling import AutoScalingService
from local_aws.clock import Clock
from local_aws.cloudformation import CloudFormationService
from local_aws.cloudwatch import CloudWatchService
from local_aws.event_targets import deliver_events
from local_aws.gateway import Gateway
from local_aws.glue import GlueService
from local_aws.process import no_proxy, source_fingerprint
from local_aws.sagemaker import SageMakerService
from local_aws.schedules import SchedulerService
from local_aws.service import Image, LocalContext
from local_aws.states import StepFunctionsService

HOST = "127.0.0.1"


class _Handler(MotoRequestHandler):  # type: ignore[misc]  # moto has no types
    protocol_version = "HTTP/1.1"  # clients keep their connection

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Leave requests out of the log: it is for what goes wrong."""


class LocalAwsServer:
    """A running local AWS. `port=0` takes a free port; `close()` stops every job and endpoint with it.

    Schedules go by the clock, if none is given by the machine's.
    """

    def __init__(self, port: int, state_dir: Path, images: Mapping[str, Image], clock: Clock | None = None) -> None:
        moto_fit.honour_loopback_transport()
        moto_fit.serialise_conditional_puts()
        self._started = time.time()
        self._source = source_fingerprint()
        self._stopped: SimpleQueue[None] = SimpleQueue()
        self._server: BaseWSGIServer = make_server(HOST, port, self._answer, threaded=True, request_handler=_Handler)
        self.context = LocalContext(
            endpoint_url=f"http://{HOST}:{self._server.port}",
            state_dir=state_dir.resolve(),
            images=images,
            clock=clock or Clock(),
        )
        deliver_events(self.context)
        self.context.emit = partial(moto_fit.put_service_event, self.context)
        os.environ.update(no_proxy())
        # moto's own service integrations call back through this port
        os.environ["MOTO_PORT"] = str(self._server.port)
        self._cloudformation = CloudFormationService(self.context)
        self._sagemaker = SageMakerService(self.context)
        self._glue = GlueService(self.context)
        self._services = (
            SchedulerService(self.context), StepFunctionsService(self.context), self._cloudformation, self._sagemaker,
            self._glue, AthenaService(self.context), CloudWatchService(self.context),
            AutoScalingService(self.context),
        )  # fmt: skip
        self._gateway = Gateway(self._services, self.status, self.context.clock)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self._gateway(environ, start_response)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._server.port

    def status(self) -> dict[str, Any]:
        """Return what `mlops local status` shows."""
        return {
            "pid": os.getpid(),
            "port": self.port,
            "endpoint_url": self.context.endpoint_url,
            "state_dir": str(self.context.state_dir),
            "source": self._source,
            "time": self.context.clock.now().isoformat(timespec="seconds"),
            "uptime_seconds": round(time.time() - self._started),
            "endpoints": self._sagemaker.endpoints(),
            "mlflow_apps": self._sagemaker.mlflow_apps(),
            "inert_resource_types": self._cloudformation.inert_types(),
        }

    def start(self) -> None:
        """Answer requests in a thread of its own."""
        threading.Thread(target=self._server.serve_forever, name="local-aws", daemon=True).start()

    def wait_until_stopped(self) -> None:
        """Return after `stop()`, at most a second later.

        A signal that comes after the interpreter's last look and before the wait begins would wake nobody.
        """
        while True:
            with suppress(Empty):
                return self._stopped.get(timeout=1)

    def stop(self) -> None:
        """Ask `wait_until_stopped()` to return; safe in a signal handler, where an Event would wait for itself."""
        self._stopped.put(None)

    def close(self) -> None:
        """Stop jobs and endpoints while they can still call back, then the listener."""
        for service in self._services:
            service.close()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running(
    state_dir: Path, images: Mapping[str, Image] | None = None, clock: Clock | None = None
) -> Iterator[LocalAwsServer]:
    """Run a local AWS in this process, on a free port, for the length of a `with` block."""
    server = LocalAwsServer(0, state_dir, images or {}, clock)
    server.start()
    try:
        yield server
    finally:
        server.close()


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local_aws.server", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder for jobs, logs and the process id")
    parser.add_argument("--images", default="{}", help='JSON: {"<repository>": {"python": "...", "entrypoint": [...]}}')
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    images = {
        name: Image(python=image["python"], entrypoint=tuple(image["entrypoint"]))
        for name, image in json.loads(options.images).items()
    }
    options.state.mkdir(parents=True, exist_ok=True)
    try:
        server = LocalAwsServer(options.port, options.state, images)
    except (OSError, SystemExit) as error:  # werkzeug exits when the port is taken
        print(f"port {options.port} can't be used: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    server.start()
    print(f"listening on {server.context.endpoint_url}", flush=True)
    server.wait_until_stopped()
    server.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
