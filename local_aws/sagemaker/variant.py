"""The instances of a variant: processes that share its requests, come and go with its capacity, and replace each other.

An instance of SageMaker's is a process here. A variant runs at most MAX_LOCAL_INSTANCES of them, however many it was
asked for, and reports what it was asked for.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.endpoint_metrics import VariantKey
from local_aws.sagemaker.model_server import (
    ANSWER_SECONDS,
    DRAIN_SECONDS,
    Answer,
    ConnectionBroken,
    ContainerUnavailable,
    ModelServer,
)
from local_aws.sagemaker.workspace import Record, Workspace

MAX_LOCAL_INSTANCES = 4
_LOG = logging.getLogger(__name__)


class NoInstance(Exception):
    """The variant has no instance that could take a request."""


@dataclass(frozen=True)
class Reply:
    """What came of a request: the instance that had it last, its answer or why there is none, and how long it took."""

    server: ModelServer
    answer: Answer | None
    failure: str
    seconds: float


@dataclass(eq=False)
class _Instance:
    server: ModelServer
    in_flight: int = 0
    taken: int = 0


class Variant:
    """One variant of a fleet.

    `weight` is its share of the requests, relative to the other variants'. `desired_count` is the number of instances
    that was asked for last, `current_count` the number that there is; the two differ while it scales. Its requests are
    counted under `key`, and under `also`.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        key: VariantKey,
        definition: Record,
        container: Mapping[str, Any],
        directory: Path,
    ) -> None:
        self.key = key
        self.also: tuple[VariantKey, ...] = ()
        self.name = key.variant
        self.weight = float(definition["InitialVariantWeight"])
        self.image = str(container["Image"])
        self.desired_count = int(definition.get("InitialInstanceCount", 0))
        self.failure = ""
        self._workspace = workspace
        self._endpoint = key.endpoint
        self._definition = definition
        self._container = container
        self._directory = directory
        self._changed = threading.Condition()
        self._instances: list[_Instance] = []
        self._starting: list[ModelServer] = []
        self._leaving: dict[ModelServer, threading.Thread] = {}
        self._scaling = False
        self._closed = False

    @property
    def current_count(self) -> int:
        """The number of instances in service; beyond those that run here, as many as were asked for."""
        with self._changed:
            running = len(self._instances)
            return self.desired_count if running == self._wanted() else running

    @property
    def servers(self) -> list[ModelServer]:
        """The instances in service."""
        with self._changed:
            return [instance.server for instance in self._instances]

    def capacity(self) -> Record:
        """Return the members of DescribeEndpoint that say how much of the variant there is."""
        return {"CurrentInstanceCount": self.current_count, "DesiredInstanceCount": self.desired_count}

    def check_wish(self, wish: Mapping[str, Any]) -> None:
        """Refuse a DesiredWeightAndCapacity that asks for what the variant doesn't have: ApiError."""
        if "ServerlessUpdateConfig" in wish:
            raise ApiError("ValidationException", f"variant {self.name} has instances, and no ServerlessUpdateConfig")

    def start(self) -> None:
        """Start the first instances and wait until they are healthy; ServerFailure when one isn't."""
        self._say_cap()
        failures = self._add(self._wanted())
        if failures:
            raise failures[0]

    def scale(self, count: int) -> None:
        """Go to a number of instances in the background: those that leave finish what they have accepted.

        When an instance can't be started, the variant stays at the number that it has, and `failure` says why.
        """
        with self._changed:
            self.desired_count, self.failure = count, ""
            self._say_cap()
            if self._scaling or self._closed:
                return
            self._scaling = True
        worker = self._workspace.context.clock.worker(f"scaling of {self._endpoint}")

        def work() -> None:
            try:
                self._reconcile()
            finally:
                worker.end()

        threading.Thread(target=work, name=f"scaling-{self._endpoint}-{self.name}", daemon=True).start()

    def settle(self) -> None:
        """Wait until the scaling is done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._scaling)

    def invoke(self, body: bytes, headers: Mapping[str, str], seconds: float = ANSWER_SECONDS) -> Reply:
        """Have a request answered by the instance that has the fewest in flight; NoInstance when there is none.

        `seconds` is how long an instance may take.

        When the connection breaks before the answer, another instance is asked, or the same if it is the only one:
        once if the first may have seen the request, and as long as there are others if it can't have.
        """
        began = time.monotonic()
        tried: list[_Instance] = []
        again = True
        while True:
            instance = self._lend(tried)
            try:
                answer = instance.server.invoke(body, headers, seconds)
                return Reply(instance.server, answer, "", time.monotonic() - began)
            except ContainerUnavailable as error:
                broken = isinstance(error, ConnectionBroken)
                refused = isinstance(error, ConnectionBroken) and not error.sent
                seen = instance in tried
                if not broken or seen or not (again or refused):
                    return Reply(instance.server, None, str(error), time.monotonic() - began)
                again = again and refused
                tried.append(instance)
            finally:
                with self._changed:
                    instance.in_flight -= 1
                    self._changed.notify_all()

    def note(self, line: str) -> None:
        """Write a line of SageMaker's own into the log of the first instance, if there is one."""
        for server in self.servers[:1]:
            server.note(line)

    def close(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Stop every instance: no more requests are on their way."""
        with self._changed:
            self._closed = True
            starting, instances, leaving = list(self._starting), self._instances, dict(self._leaving)
            self._instances = []
            self._changed.notify_all()
        stopping = [
            threading.Thread(target=server.stop, args=(grace_seconds,), daemon=True)
            for server in (*starting, *(instance.server for instance in instances), *leaving)
        ]
        for thread in stopping:
            thread.start()
        for thread in (*stopping, *leaving.values()):
            thread.join(timeout=grace_seconds + DRAIN_SECONDS)

    def _wanted(self) -> int:
        return min(self.desired_count, MAX_LOCAL_INSTANCES)

    def _say_cap(self) -> None:
        if self.desired_count > MAX_LOCAL_INSTANCES:
            _LOG.warning(
                "variant %s of endpoint %s has %d instances: %d of them run on this machine",
                self.name, self._endpoint, self.desired_count, MAX_LOCAL_INSTANCES,
            )  # fmt: skip

    def _lend(self, tried: list[_Instance]) -> _Instance:
        with self._changed:
            fresh = [instance for instance in self._instances if instance not in tried] or self._instances
            ready = [instance for instance in fresh if instance.server.ready] or fresh
            if not ready:
                raise NoInstance(f"variant {self.name} of endpoint {self._endpoint} has no instance")
            chosen = min(ready, key=lambda instance: (instance.in_flight, instance.taken))
            chosen.in_flight += 1
            chosen.taken += 1
            return chosen

    def _reconcile(self) -> None:
        while True:
            with self._changed:
                missing = self._wanted() - len(self._instances)
                if missing == 0 or self._closed:
                    self._scaling = False
                    self._changed.notify_all()
                    return
                if missing < 0:
                    # those that aren't healthy leave first, then the newest
                    kept = sorted(self._instances, key=lambda instance: not instance.server.ready)
                    self._instances, surplus = kept[:missing], kept[missing:]
                    for instance in surplus:
                        leaver = threading.Thread(target=self._drain, args=(instance,), daemon=True)
                        self._leaving[instance.server] = leaver
                        leaver.start()
                    self._changed.notify_all()
            if missing > 0 and (failures := self._add(missing)):
                with self._changed:
                    self.failure = str(failures[0])
                    self.desired_count = len(self._instances)

    def _add(self, number: int) -> list[Exception]:
        """Start instances side by side, each in service as soon as it is healthy; return what went wrong."""

        def start(server: ModelServer) -> None:
            try:
                server.start()
            finally:
                with self._changed:
                    self._starting.remove(server)
            with self._changed:
                if not self._closed:
                    self._instances.append(_Instance(server))
                    self._changed.notify_all()
                    return
            server.stop(0)

        servers: list[ModelServer] = []
        failures: list[Exception] = []
        for _ in range(number):
            try:
                servers.append(self._server())
            except Exception as error:
                failures.append(error)
        with self._changed:
            self._starting += servers
        with ThreadPoolExecutor(max_workers=max(number, 1), thread_name_prefix=f"start-{self._endpoint}") as pool:
            started = [pool.submit(start, server) for server in servers]
        ends = [each.exception() for each in started]
        return failures + [end for end in ends if isinstance(end, Exception)]

    def _server(self) -> ModelServer:
        return ModelServer(
            self._workspace,
            endpoint=self._endpoint,
            variant=self._definition,
            container=self._container,
            directory=self._directory / f"{self.name}-{uuid.uuid4().hex[:8]}",
        )

    def _drain(self, instance: _Instance) -> None:
        with self._changed:
            self._changed.wait_for(lambda: instance.in_flight == 0 or self._closed, timeout=DRAIN_SECONDS)
        instance.server.stop()
        with self._changed:
            self._leaving.pop(instance.server, None)
