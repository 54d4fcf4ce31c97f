"""The containers of a serverless variant: as many as requests come at the same time, and none when none come.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.model_server import (
    ANSWER_SECONDS,
    DRAIN_SECONDS,
    ConnectionBroken,
    ContainerUnavailable,
    ModelServer,
    ServerFailure,
)
from local_aws.sagemaker.variant import MAX_LOCAL_INSTANCES, Reply, Variant
from local_aws.sagemaker.workspace import Record

# SageMaker doesn't say after how long an idle container goes
IDLE = timedelta(minutes=5)
TELL_SECONDS = 1.0
NAMESPACE = "AWS/SageMaker"


class ServerlessVariant(Variant):
    """A variant whose containers start with its requests.

    A request that finds every container busy starts another one and waits for it, as long as there are fewer than
    `maximum`, and here than MAX_LOCAL_INSTANCES: beyond those, requests share containers. More than `maximum` requests
    at the same time are refused. `provisioned` containers are kept warm; others go when they were idle for a while.
    """

    def __init__(self, *arguments: Any, definition: Record, **named: Any) -> None:
        super().__init__(*arguments, definition=definition, **named)
        config = definition["ServerlessConfig"]
        self.memory = int(config["MemorySizeInMB"])
        self.maximum = int(config["MaxConcurrency"])
        self.provisioned = int(config.get("ProvisionedConcurrency", 0))
        self._warm: list[_Container] = []
        self._in_flight = 0
        self._told = (0.0, 0.0)
        self._ended = threading.Event()
        self._touched = threading.Event()
        self._idle_worker = self._workspace.context.clock.worker(f"the idle containers of {self._endpoint}")
        threading.Thread(target=self._let_go, name=f"serverless-{self._endpoint}", daemon=True).start()

    @property
    def current_count(self) -> int:
        """A serverless variant has no instances."""
        return 0

    @property
    def servers(self) -> list[ModelServer]:
        """The containers that are there."""
        with self._changed:
            return [container.server for container in self._warm if container.started]

    def start(self) -> None:
        """Start the provisioned containers; ServerFailure when one isn't healthy. Others start with requests."""
        while len(self._warm) < min(self.provisioned, MAX_LOCAL_INSTANCES):
            container = _Container(self._server(), self._workspace.now())
            with self._changed:
                self._warm.append(container)
            self._set_up(container)

    def check_wish(self, wish: Mapping[str, Any]) -> None:
        """Refuse a number of instances, and a concurrency that can't be kept warm."""
        if "DesiredInstanceCount" in wish:
            raise ApiError("ValidationException", f"variant {self.name} is serverless, and has no DesiredInstanceCount")
        config = wish.get("ServerlessUpdateConfig", {})
        maximum = config.get("MaxConcurrency", self.maximum)
        provisioned = config.get("ProvisionedConcurrency", self.provisioned)
        if provisioned > maximum:
            raise ApiError(
                "ValidationException",
                f"ProvisionedConcurrency {provisioned} must not be above MaxConcurrency {maximum}",
            )

    def reconfigure(self, config: Mapping[str, int]) -> None:
        """Change the concurrency, as a ServerlessUpdateConfig asks for; what is to be warm starts in the background."""
        with self._changed:
            self.maximum = config.get("MaxConcurrency", self.maximum)
            self.provisioned, self.failure = config.get("ProvisionedConcurrency", self.provisioned), ""
            self._scaling = True
        worker = self._workspace.context.clock.worker(f"scaling of {self._endpoint}")

        def work() -> None:
            try:
                self.start()
            except ServerFailure as failure:
                self.failure = str(failure)
            finally:
                with self._changed:
                    self._scaling = False
                    self._changed.notify_all()
                worker.end()

        threading.Thread(target=work, name=f"scaling-{self._endpoint}-{self.name}", daemon=True).start()

    def capacity(self) -> Record:
        """Return the concurrency as DescribeEndpoint shows it."""
        config = {"MemorySizeInMB": self.memory, "MaxConcurrency": self.maximum}
        if self.provisioned:
            config["ProvisionedConcurrency"] = self.provisioned
        return {"CurrentServerlessConfig": config, "DesiredServerlessConfig": config}

    def invoke(self, body: bytes, headers: Mapping[str, str], seconds: float = ANSWER_SECONDS) -> Reply:
        """Have a request answered by a container of its own; ApiError(ThrottlingException) when there are too many.

        The time that a container takes to start isn't part of the reply's: it is SageMaker's own overhead.
        """
        with self._changed:
            if self._in_flight >= self.maximum:
                raise ApiError(
                    "ThrottlingException",
                    f"Endpoint {self._endpoint} has {self._in_flight} requests in flight, and a MaxConcurrency of "
                    f"{self.maximum}.",
                    429,
                )
            self._in_flight += 1
            share = self._in_flight / self.maximum
            # the first of each second, and what is above that
            told, moment = self._told
            tells = share > told or time.monotonic() - moment >= TELL_SECONDS
            if tells:
                self._told = (share, time.monotonic())
        try:
            if tells:
                self._measure({"ServerlessConcurrentExecutionsUtilization": (share, "None")})
            again = True
            while True:
                reply, broken = self._through(self._container_for(), body, headers, seconds)
                if not (broken and again):
                    return reply
                again = False
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def close(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Stop every container."""
        self._ended.set()
        self._workspace.context.clock.wake()
        with self._changed:
            self._closed = True
            containers, self._warm = self._warm, []
        stopping = [
            threading.Thread(target=container.server.stop, args=(grace_seconds,), daemon=True)
            for container in containers
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join(timeout=grace_seconds + DRAIN_SECONDS)

    def _container_for(self) -> _Container:
        """Lend a container: an idle one, a new one, or where there mustn't be more the one with the fewest requests."""
        with self._changed:
            idle = [each for each in self._warm if each.started and each.in_flight == 0]
            if idle:
                # the newest one, so that the others may go
                chosen = idle[-1]
            elif len(self._warm) < min(self.maximum, MAX_LOCAL_INSTANCES):
                chosen = _Container(self._server(), self._workspace.now())
                self._warm.append(chosen)
            else:
                chosen = min(self._warm, key=lambda each: each.in_flight)
            chosen.in_flight += 1
            return chosen

    def _through(
        self, container: _Container, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> tuple[Reply, bool]:
        """Return the reply of a container, and whether its connection broke before there was one."""
        began = time.monotonic()
        try:
            self._set_up(container)
            began = time.monotonic()
            answer = container.server.invoke(body, headers, seconds)
            return Reply(container.server, answer, "", time.monotonic() - began), False
        except (ContainerUnavailable, ServerFailure) as error:
            broken = isinstance(error, ConnectionBroken)
            if broken:
                self._drop(container)
            return Reply(container.server, None, str(error), time.monotonic() - began), broken
        finally:
            with self._changed:
                container.in_flight -= 1
                container.used = self._workspace.now()
                self._changed.notify_all()
            self._touched.set()
            self._workspace.context.clock.wake()

    def _set_up(self, container: _Container) -> None:
        """Start a container if that wasn't done, and measure how long it takes; ServerFailure when it isn't healthy."""
        with container.lock:
            if container.started:
                return
            if container.failure is not None:
                raise ServerFailure(container.failure)
            began = time.monotonic()
            try:
                container.server.start()
            except Exception as error:
                container.failure = str(error)
                self._drop(container)
                raise
            container.started = True
        self._measure({"ModelSetupTime": ((time.monotonic() - began) * 1_000_000, "Microseconds")})

    def _drop(self, container: _Container) -> None:
        """Have a container no more."""
        with self._changed:
            if container not in self._warm:
                return
            self._warm.remove(container)
        threading.Thread(target=container.server.stop, args=(0,), daemon=True).start()

    def _let_go(self) -> None:
        """Stop containers that were idle for long, but those that are provisioned, by the clock."""
        while not self._ended.is_set():
            self._touched.clear()
            now = self._workspace.now()
            with self._changed:
                idle = [each for each in self._warm if each.started and each.in_flight == 0]
                surplus = max(len(self._warm) - self.provisioned, 0)
                candidates = sorted(idle, key=lambda each: each.used)[:surplus]
                over = [each for each in candidates if each.used + IDLE <= now]
                self._warm = [each for each in self._warm if each not in over]
            for container in over:
                threading.Thread(target=container.server.stop, daemon=True).start()
            moments = [each.used + IDLE for each in candidates if each not in over]
            self._idle_worker.wait_until(
                min(moments, default=None), lambda: self._ended.is_set() or self._touched.is_set()
            )
        self._idle_worker.end()

    def _measure(self, values: Mapping[str, tuple[float, str]]) -> None:
        from moto.cloudwatch.models import cloudwatch_backends

        moment = self._workspace.now().replace(tzinfo=None)  # as moto keeps times: in UTC without saying so
        where = [{"Name": "EndpointName", "Value": self._endpoint}, {"Name": "VariantName", "Value": self.name}]
        cloudwatch_backends[self._workspace.account][self._workspace.region].put_metric_data(
            NAMESPACE,
            [
                {"MetricName": name, "Value": value, "Unit": unit, "Timestamp": moment, "Dimensions": where}
                for name, (value, unit) in values.items()
            ],
        )


class _Container:
    """A container; `used` is when it had its last request, `failure` why it didn't start."""

    def __init__(self, server: ModelServer, used: datetime) -> None:
        self.server = server
        self.used = used
        self.in_flight = 0
        self.started = False
        self.failure: str | None = None
        self.lock = threading.Lock()
