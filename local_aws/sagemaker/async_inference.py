"""SageMaker's runtime API for asynchronous endpoints: InvokeEndpointAsync."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import Any

from werkzeug import Request, Response

from local_aws.json_api import ApiError
from local_aws.sagemaker.async_queue import AsyncQueue
from local_aws.sagemaker.async_request import parsed
from local_aws.sagemaker.endpoint import Endpoint
from local_aws.sagemaker.endpoints import EVENT, Endpoints
from local_aws.sagemaker.models import Models
from local_aws.sagemaker.workspace import Workspace

PATH = re.compile(r"/endpoints/(?P<endpoint>[^/]+)/async-invocations")
_PREFIX = "X-Amzn-SageMaker-"


class AsyncInference:
    """The queues of the asynchronous endpoints of one account and region."""

    def __init__(self, workspace: Workspace, endpoints: Endpoints, models: Models) -> None:
        self._workspace = workspace
        self._endpoints = endpoints
        self._models = models
        self._lock = threading.Lock()
        self._queues: dict[str, tuple[Endpoint, AsyncQueue]] = {}
        workspace.listeners.setdefault(EVENT, []).append(self._heard)

    def invoke(self, endpoint: str, request: Request) -> Response:
        """Take a request in; every failure is an answer in the shape of the API."""
        try:
            found = self._serving(endpoint)
            assert found.fleet is not None
            output = found.fleet.config["AsyncInferenceConfig"]["OutputConfig"]
            asked = parsed(endpoint, output, request, self._workspace.now())
            self._queue(found).put(asked)
        except ApiError as error:
            return _refused(error)
        headers = {
            f"{_PREFIX}OutputLocation": asked.output_location,
            f"{_PREFIX}FailureLocation": asked.failure_location,
        }
        return _answer(202, {"InferenceId": asked.inference_id}, headers)

    def refusal(self, endpoint: str) -> Response | None:
        """Return the answer to InvokeEndpoint where an endpoint is asynchronous; None where it isn't."""
        try:
            fleet = self._endpoints.endpoint(endpoint).fleet
        except ApiError:
            return None
        if fleet is None or "AsyncInferenceConfig" not in fleet.config:
            return None
        told = f"Endpoint {endpoint} of account {self._workspace.account} is asynchronous. Use InvokeEndpointAsync."
        return _refused(ApiError("ValidationError", told))

    def close(self) -> None:
        """Answer nothing any more."""
        with self._lock:
            queues = list(self._queues.values())
        for _, queue in queues:
            queue.close()

    def _serving(self, name: str) -> Endpoint:
        account = self._workspace.account
        try:
            endpoint = self._endpoints.endpoint(name)
        except ApiError:
            raise ApiError("ValidationError", f"Endpoint {name} of account {account} not found.") from None
        if endpoint.fleet is None or endpoint.status == "Deleting":
            raise ApiError("ValidationError", f"Endpoint {name} of account {account} is not in service.")
        if "AsyncInferenceConfig" not in endpoint.fleet.config:
            raise ApiError(
                "ValidationError",
                f"Endpoint {name} of account {account} is not asynchronous: its configuration has no "
                "AsyncInferenceConfig. Use InvokeEndpoint.",
            )
        return endpoint

    def _queue(self, endpoint: Endpoint) -> AsyncQueue:
        name = str(endpoint.record["EndpointName"])
        with self._lock:
            known = self._queues.get(name)
            if known is None or known[0] is not endpoint:
                known = (endpoint, AsyncQueue(self._workspace, self._models, self._endpoints.metrics, endpoint))
                self._queues[name] = known
            return known[1]

    def _heard(self, detail: Mapping[str, Any]) -> None:
        """An endpoint may have got instances, be new, or go."""
        name = str(detail["EndpointName"])
        deleted = _status(detail) == "DELETING"
        with self._lock:
            found = self._queues.pop(name, None) if deleted else self._queues.get(name)
        if found is not None and deleted:
            found[1].close()
        elif found is not None:
            found[1].look()
        elif _status(detail) == "INSERVICE":
            endpoint = self._endpoints.endpoint(name)
            if endpoint.fleet is not None and "AsyncInferenceConfig" in endpoint.fleet.config:
                # its backlog is measured from the start, so that it can be scaled to none
                self._queue(endpoint)


def _answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str | None]) -> Response:
    response = Response(json.dumps(body), status=status, content_type="application/json")
    response.headers.extend({name: value for name, value in headers.items() if value is not None})
    return response


def _refused(error: ApiError) -> Response:
    return _answer(error.status, {"Message": error.message}, {"x-amzn-ErrorType": error.code})


def _status(detail: Mapping[str, Any]) -> str:
    # events write it otherwise than Describe: IN_SERVICE
    return str(detail["EndpointStatus"]).upper().replace("_", "")
