"""The AWS query protocol, both ways, driven by botocore's model of the service.

Requests are forms whose keys are paths (`Parameters.member.1.ParameterKey`); answers are XML.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from werkzeug import Response

from local_aws.cloudformation.errors import CloudFormationError


@cache
def cloudformation_model() -> ServiceModel:
    """Return botocore's model of CloudFormation."""
    return botocore.session.get_session().get_service_model("cloudformation")


def parse_form(operation: OperationModel, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the operation's input; scalars have their Python types, absent members are left out."""
    shape = operation.input_shape
    return _parse(shape, "", form) or {} if isinstance(shape, StructureShape) else {}


def _parse(shape: Shape, prefix: str, form: Mapping[str, str]) -> Any:
    if isinstance(shape, StructureShape):
        base = f"{prefix}." if prefix else ""
        members = {name: _parse(member, base + name, form) for name, member in shape.members.items()}
        return {name: value for name, value in members.items() if value is not None} or None
    if isinstance(shape, ListShape):
        return _parse_list(shape, prefix, form)
    text = form.get(prefix)
    if text is None:
        return None
    if shape.type_name == "boolean":
        return text.lower() == "true"
    if shape.type_name in ("integer", "long"):
        return int(text)
    return text


def _parse_list(shape: ListShape, prefix: str, form: Mapping[str, str]) -> list[Any] | None:
    if form.get(prefix) == "":
        return []
    items: list[Any] = []
    while True:
        key = f"{prefix}.member.{len(items) + 1}"
        if not any(name == key or name.startswith(f"{key}.") for name in form):
            return items or None
        items.append(_parse(shape.member, key, form))


def result_response(operation: OperationModel, result: Mapping[str, Any]) -> Response:
    """Return the answer of an operation that succeeded."""
    name, shape = operation.name, operation.output_shape
    body = _render(shape, f"{name}Result", result) if shape is not None else ""
    namespace = operation.service_model.metadata["xmlNamespace"]
    return _xml(
        f'<{name}Response xmlns="{namespace}">{body}'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{name}Response>",
        200,
    )


def error_response(error: CloudFormationError) -> Response:
    """Return the answer of an operation that failed."""
    namespace = cloudformation_model().metadata["xmlNamespace"]
    return _xml(
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{"Sender" if error.status < 500 else "Receiver"}</Type>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>",
        error.status,
    )


def _xml(body: str, status: int) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', status=status, content_type="text/xml")


def _render(shape: Shape, tag: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(shape, StructureShape):
        inner = "".join(_render(member, name, value.get(name)) for name, member in shape.members.items())
    elif isinstance(shape, ListShape):
        inner = "".join(_render(shape.member, "member", item) for item in value)
    elif isinstance(shape, MapShape):
        inner = "".join(
            f"<entry><key>{escape(str(key))}</key>{_render(shape.value, 'value', item)}</entry>"
            for key, item in value.items()
        )
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    elif isinstance(value, datetime.datetime):
        inner = value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    else:
        inner = escape(str(value))
    return f"<{tag}>{inner}</{tag}>"
