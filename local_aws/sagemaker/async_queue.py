"""The queue of an asynchronous endpoint: requests wait for an instance, are answered, and leave their answer in S3."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.jobs.s3_files import S3Uri
from local_aws.sagemaker.async_request import AsyncRequest, response_body
from local_aws.sagemaker.data_capture import Exchange
from local_aws.sagemaker.endpoint import Endpoint
from local_aws.sagemaker.endpoint_metrics import EndpointMetrics
from local_aws.sagemaker.fleet import Fleet, FleetRetired
from local_aws.sagemaker.model_server import Answer
from local_aws.sagemaker.models import Models
from local_aws.sagemaker.variant import NoInstance, Variant
from local_aws.sagemaker.workspace import Workspace

_log = logging.getLogger(__name__)

NAMESPACE = "AWS/SageMaker"
# SageMaker chooses a number by itself where MaxConcurrentInvocationsPerInstance is left out
CONCURRENT_PER_INSTANCE = 4
# how often the backlog is told: at most, and at least while something goes on
_SOONEST = timedelta(seconds=1)
_HEARTBEAT = timedelta(minutes=1)
# alarms and policies look back a quarter of an hour, and rest for minutes
_QUIET_AFTER = timedelta(minutes=30)


class RequestFailure(Exception):
    """A request couldn't be answered; the message is the failureReason, `metric` what counts it."""

    def __init__(self, reason: str, metric: str = "InvocationFailures", body: bytes | None = None) -> None:
        super().__init__(reason)
        self.metric = metric
        self.body = body


class AsyncQueue:
    """The requests of one endpoint. They wait as long as there is no instance that could take them."""

    def __init__(self, workspace: Workspace, models: Models, metrics: EndpointMetrics, endpoint: Endpoint) -> None:
        self._workspace = workspace
        self._models = models
        self._metrics = metrics
        self._endpoint = endpoint
        self._name = str(endpoint.record["EndpointName"])
        self._waiting: deque[AsyncRequest] = deque()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._told: tuple[datetime, tuple[int, int]] | None = None
        self._active_until = workspace.now() + _QUIET_AFTER
        self._worker = workspace.context.clock.worker(f"the requests to {self._name}")
        threading.Thread(target=self._run, name=f"async-{self._name}", daemon=True).start()

    def put(self, request: AsyncRequest) -> None:
        """Add a request."""
        with self._lock:
            self._waiting.append(request)
        self.look()

    def look(self) -> None:
        """Look for instances: there may be others."""
        self._changed.set()
        self._workspace.context.clock.wake()

    def close(self) -> None:
        """Answer no request any more; those that wait are lost with the endpoint."""
        self._closed.set()
        self._workspace.context.clock.wake()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._changed.clear()
            try:
                upcoming = self._work()
            except Exception:
                # the queue goes on whatever one request did
                _log.exception("the queue of %s stumbled", self._name)
                upcoming = self._workspace.now() + _HEARTBEAT
            self._worker.wait_until(upcoming, lambda: self._closed.is_set() or self._changed.is_set())
        self._worker.end()

    def _work(self) -> datetime | None:
        now = self._workspace.now()
        self._expire(now)
        fleet = self._endpoint.fleet
        variant = next(iter(fleet.variants.values())) if fleet is not None else None
        if fleet is not None and variant is not None:
            self._hand_out(fleet, variant)
        moments = [self._tell(now, variant.current_count if variant else 0)]
        with self._lock:
            moments += [request.expires for request in self._waiting]
        return min((moment for moment in moments if moment is not None), default=None)

    def _expire(self, now: datetime) -> None:
        with self._lock:
            expired = [request for request in self._waiting if request.expires <= now]
            self._waiting = deque(request for request in self._waiting if request.expires > now)
        for request in expired:
            reason = "ClientError: The request has expired: it waited longer than its RequestTTLSeconds."
            self._fail(request, RequestFailure(reason, "ExpiredRequests"))

    def _hand_out(self, fleet: Fleet, variant: Variant) -> None:
        client = fleet.config["AsyncInferenceConfig"].get("ClientConfig", {})
        each = client.get("MaxConcurrentInvocationsPerInstance") or CONCURRENT_PER_INSTANCE
        while True:
            with self._lock:
                if not self._waiting or self._in_flight >= each * len(variant.servers):
                    return
                request = self._waiting.popleft()
                self._in_flight += 1
            worker = self._workspace.context.clock.worker(f"a request to {self._name}")

            def work(request: AsyncRequest = request, worker: Any = worker) -> None:
                try:
                    self._process(request)
                finally:
                    with self._lock:
                        self._in_flight -= 1
                    self.look()
                    worker.end()

            threading.Thread(target=work, name=f"async-{self._name}-request", daemon=True).start()

    def _tell(self, now: datetime, instances: int) -> datetime | None:
        """Put the metrics of the backlog if they are due, and return when they are next."""
        with self._lock:
            state = (len(self._waiting) + self._in_flight, instances)
            oldest = min((request.received for request in self._waiting), default=now)
        last, before = self._told or (now - _HEARTBEAT, None)
        if state != before:
            due = last + _SOONEST
            self._active_until = now + _QUIET_AFTER
        elif state[0] or now < self._active_until:
            due = last + _HEARTBEAT
        else:
            return None
        if due > now:
            return due
        backlog = state[0]
        self._told = (now, state)
        metrics = {
            "ApproximateBacklogSize": float(backlog),
            "HasBacklogWithoutCapacity": float(backlog > 0 and instances == 0),
            "ApproximateAgeOfOldestRequest": (now - oldest).total_seconds(),
        }
        if instances:
            metrics["ApproximateBacklogSizePerInstance"] = backlog / instances
        self._measure(metrics)
        return now + _HEARTBEAT

    def _process(self, request: AsyncRequest) -> None:
        began = self._workspace.now()
        try:
            answer, variant = self._answered(request)
        except NoInstance:
            with self._lock:
                self._waiting.appendleft(request)
            return
        except RequestFailure as failure:
            self._fail(request, failure)
            return
        except Exception as error:
            _log.exception("a request to %s failed", self._name)
            self._fail(request, RequestFailure(f"InternalFailure: {type(error).__name__}: {error}"))
            return
        try:
            self._store(request.output_location, answer.body, answer.content_type)
        except (ClientError, BotoCoreError) as error:
            reason = f"ClientError: The answer can't be written to {request.output_location}: {error}"
            self._fail(request, RequestFailure(reason, "ResponseUploadFailures"))
            return
        now = self._workspace.now()
        outcome: dict[str, Any] = {
            "invocationStatus": "Completed",
            "responseParameters": {"contentType": answer.content_type, "outputLocation": request.output_location},
        }
        self._notify("SuccessTopic", "SUCCESS_NOTIFICATION_TOPIC", request, outcome, answer)
        measured = {
            "InvocationsProcessed": 1.0,
            "TimeInBacklog": (began - request.received).total_seconds() * 1000,
            "TotalProcessingTime": (now - request.received).total_seconds() * 1000,
        }
        self._measure(measured, VariantName=variant)

    def _answered(self, request: AsyncRequest) -> tuple[Answer, str]:
        body = request.body if request.body is not None else self._read(request.input_location or "")
        while True:
            fleet = self._endpoint.route()
            if fleet is None or self._closed.is_set():
                raise NoInstance(f"endpoint {self._name} has no instance")
            try:
                with fleet.serving(None) as variant:
                    reply = variant.invoke(body, request.headers, request.timeout)
            except FleetRetired:
                time.sleep(0.01)  # until its successor is there
                continue
            break
        answer = reply.answer
        status = None if answer is None else answer.status
        self._metrics.count(
            variant.key, status=status, model=reply.seconds, overhead=0.0, instances=variant.desired_count
        )
        if answer is None:
            raise RequestFailure(f"ClientError: {reply.failure}")
        if answer.status >= 400:
            kind = "client" if answer.status < 500 else "server"
            raise RequestFailure(
                f"ClientError: Received {kind} error ({answer.status}) from model. "
                "See the SageMaker Endpoint logs in your account for more information.",
                body=answer.body,
            )
        if fleet.capture is not None:
            kind = request.headers.get("Content-Type", "")
            fleet.capture.take(
                Exchange(
                    variant.name, self._workspace.now(), kind, body, answer.content_type, answer.body,
                    request.inference_id,
                )
            )  # fmt: skip
        return answer, variant.name

    def _fail(self, request: AsyncRequest, failure: RequestFailure) -> None:
        reason = str(failure)
        try:
            self._store(request.failure_location, failure.body or reason.encode(), "text/plain")
        except (ClientError, BotoCoreError) as error:
            _log.warning("%s can't be written: %s", request.failure_location, error)
        outcome: dict[str, Any] = {"invocationStatus": "Failed", "failureReason": reason}
        if request.failure_location:
            outcome["failureLocation"] = request.failure_location
        self._notify("ErrorTopic", "ERROR_NOTIFICATION_TOPIC", request, outcome, None)
        self._measure({failure.metric: 1.0})

    def _notify(
        self, topic: str, kind: str, request: AsyncRequest, outcome: dict[str, Any], answer: Answer | None
    ) -> None:
        config = self._output().get("NotificationConfig", {})
        if topic not in config:
            return
        if answer is not None and kind in config.get("IncludeInferenceResponseIn", []):
            outcome = {**outcome, "responseBody": response_body(answer)}
        message = request.message(self._workspace.region, self._workspace.now(), **outcome)
        try:
            self._client("sns").publish(TopicArn=config[topic], Message=json.dumps(message))
        except (ClientError, BotoCoreError) as error:
            _log.warning("%s can't be told of a request to %s: %s", config[topic], self._name, error)
            self._measure({"NotificationFailures": 1.0})

    def _read(self, location: str) -> bytes:
        try:
            uri = S3Uri.parse(location)
            return bytes(self._client("s3").get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read())
        except (ClientError, BotoCoreError, ValueError) as error:
            raise RequestFailure(
                f"ClientError: The input {location} can't be read: {error}", "RequestDownloadFailures"
            ) from error

    def _store(self, location: str | None, body: bytes, content_type: str) -> None:
        if location is None:
            return
        uri, key = S3Uri.parse(location), self._output().get("KmsKeyId")
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
        self._client("s3").put_object(Bucket=uri.bucket, Key=uri.key, Body=body, ContentType=content_type, **encryption)

    def _output(self) -> Mapping[str, Any]:
        fleet = self._endpoint.fleet
        return fleet.config["AsyncInferenceConfig"]["OutputConfig"] if fleet is not None else {}

    def _client(self, service: str) -> Any:
        """Return a client that acts in the role of the model."""
        fleet = self._endpoint.fleet
        role = None
        if fleet is not None:
            variant = fleet.config["ProductionVariants"][0]
            role = self._models.model(variant["ModelName"]).get("ExecutionRoleArn")
        return self._workspace.client(service, role)

    def _measure(self, values: Mapping[str, float], **dimensions: str) -> None:
        from moto.cloudwatch.models import cloudwatch_backends

        moment = self._workspace.now().replace(tzinfo=None)  # as moto keeps times: in UTC without saying so
        where = [{"Name": name, "Value": value} for name, value in {"EndpointName": self._name, **dimensions}.items()]
        cloudwatch_backends[self._workspace.account][self._workspace.region].put_metric_data(
            NAMESPACE,
            [
                {"MetricName": name, "Value": value, "Timestamp": moment, "Dimensions": where}
                for name, value in values.items()
            ],
        )
