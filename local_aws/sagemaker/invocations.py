"""SageMaker's runtime API: InvokeEndpoint."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from werkzeug import Request, Response

from local_aws.json_api import ApiError
from local_aws.sagemaker.data_capture import Exchange
from local_aws.sagemaker.endpoints import Endpoints
from local_aws.sagemaker.fleet import Fleet, FleetRetired
from local_aws.sagemaker.model_server import Answer, ModelServer
from local_aws.sagemaker.variant import NoInstance, Reply, Variant
from local_aws.sagemaker.workspace import Workspace

PATH = re.compile(r"/endpoints/(?P<endpoint>[^/]+)/invocations")
_PREFIX = "X-Amzn-SageMaker-"
# what a container gets to see of a request
_FORWARDED = ("Content-Type", "Accept", f"{_PREFIX}Custom-Attributes", f"{_PREFIX}Inference-Id")
_REFUSED = ("Target-Model", "Target-Container-Hostname", "Inference-Component", "Enable-Explanations", "Session-Id")


class Invocations:
    """Passes requests on to the containers of endpoints, and captures them."""

    def __init__(self, workspace: Workspace, endpoints: Endpoints) -> None:
        self._workspace = workspace
        self._endpoints = endpoints

    def invoke(self, endpoint: str, request: Request) -> Response:
        """Answer one invocation; every failure is an answer in the shape of the API."""
        try:
            while True:
                fleet, target = self._fleet(endpoint), self._target(request)
                if target and target not in fleet.variants:
                    raise ApiError("ValidationError", f"Variant {target} not found for endpoint {endpoint}")
                try:
                    with fleet.serving(target) as variant:
                        return self.through(variant, fleet, request)
                except FleetRetired:
                    continue
                except NoInstance as error:
                    raise ApiError("ServiceUnavailable", str(error), 503) from error
        except ApiError as error:
            return refused(error)

    def through(self, variant: Variant, fleet: Fleet, request: Request) -> Response:
        """Have a variant answer a request, which is measured, and captured as its fleet is; NoInstance for none."""
        began = time.monotonic()
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        body = request.get_data()
        reply = variant.invoke(body, headers)
        server, answer = reply.server, reply.answer
        self._count(variant, reply, time.monotonic() - began - reply.seconds)
        if fleet.shadow is not None:
            fleet.shadow.copy(body, headers, self._of_shadow(fleet, request, body))
        if answer is None:
            return self._model_error(server, 500, f"Received server error (0) from primary: {reply.failure}", "")
        if answer.status >= 400:
            kind = "client" if answer.status < 500 else "server"
            said = answer.body.decode("utf-8", errors="replace")
            message = f'Received {kind} error ({answer.status}) from primary with message "{said}"'
            return self._model_error(server, answer.status, message, said)
        if fleet.capture is not None:
            fleet.capture.take(_exchange(variant.name, request, body, answer, self._workspace.now()))
        response = Response(answer.body, content_type=answer.content_type)
        response.headers["x-Amzn-Invoked-Production-Variant"] = variant.name
        if answer.custom_attributes is not None:
            response.headers[f"{_PREFIX}Custom-Attributes"] = answer.custom_attributes
        return response

    def _count(self, variant: Variant, reply: Reply, overhead: float) -> None:
        for key in (variant.key, *variant.also):
            self._endpoints.metrics.count(
                key,
                status=None if reply.answer is None else reply.answer.status,
                model=reply.seconds,
                overhead=overhead,
                instances=variant.desired_count,
            )

    def _of_shadow(self, fleet: Fleet, request: Request, body: bytes) -> Callable[[Variant, Reply], None]:
        """Return what is done with the answer of a shadow: it is measured and captured, and nobody gets it."""

        def answered(variant: Variant, reply: Reply) -> None:
            self._count(variant, reply, 0.0)
            if fleet.capture is not None and reply.answer is not None and reply.answer.status < 400:
                fleet.capture.take(_exchange(variant.name, request, body, reply.answer, self._workspace.now()))

        return answered

    def _fleet(self, name: str) -> Fleet:
        workspace = self._workspace
        try:
            endpoint = self._endpoints.endpoint(name)
        except ApiError:
            message = f"Endpoint {name} of account {workspace.account} not found."
            raise ApiError("ValidationError", message) from None
        fleet = endpoint.route()
        if fleet is None or endpoint.status == "Deleting":
            raise ApiError("ValidationError", f"Endpoint {name} of account {workspace.account} is not in service.")
        return fleet

    def _target(self, request: Request) -> str | None:
        for name in _REFUSED:
            if _PREFIX + name in request.headers:
                raise ApiError("ValidationError", f"the local AWS's endpoints don't take the header {_PREFIX}{name}")
        return request.headers.get(f"{_PREFIX}Target-Variant")

    def _model_error(self, server: ModelServer, status: int, message: str, original: str) -> Response:
        group, stream = server.log_stream
        workspace = self._workspace
        return _error(
            "ModelError",
            424,
            {
                "Message": f"{message}. See the log stream {stream} of {group} in account {workspace.account}.",
                "OriginalStatusCode": status,
                "OriginalMessage": original,
                "LogStreamArn": f"arn:aws:logs:{workspace.region}:{workspace.account}:log-group:{group}",
            },
        )


def refused(error: ApiError) -> Response:
    """Return an error as the runtime API words it."""
    return _error(error.code, error.status, {"Message": error.message})


def _exchange(variant: str, request: Request, body: bytes, answer: Answer, time: datetime) -> Exchange:
    return Exchange(
        variant,
        time,
        request.headers.get("Content-Type", ""),
        body,
        answer.content_type,
        answer.body,
        request.headers.get(f"{_PREFIX}Inference-Id"),
        request.headers.get(f"{_PREFIX}Custom-Attributes"),
    )


def _error(code: str, status: int, body: Mapping[str, object]) -> Response:
    return Response(
        json.dumps(body), status=status, content_type="application/json", headers={"x-amzn-ErrorType": code}
    )
