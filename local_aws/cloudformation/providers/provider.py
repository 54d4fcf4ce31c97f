"""The contract between a deployment and the providers of resource types."""

from __future__ import annotations

import re
import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

_GONE = re.compile(r"NotFound|NoSuch|NonExist|DoesNotExist|NotExist|\.NotFound")
_GONE_MESSAGE = re.compile(r"[Cc]ould not find|does not exist|[Nn]ot found")
_SUFFIX_ALPHABET = string.ascii_uppercase + string.digits


class ProviderFailure(Exception):
    """A resource couldn't be deployed; the message becomes the reason of its event.

    `code` is one of the registry's handler error codes.
    """

    def __init__(self, message: str, code: str = "GeneralServiceException") -> None:
        super().__init__(message)
        self.code = code


class ReplacementRequired(Exception):
    """Raised by an update that the service can't do in place: the deployment replaces the resource."""


@dataclass(frozen=True)
class Provisioned:
    """What came of a resource: `physical_id` is its `Ref`, `attributes` its `Fn::GetAtt` values."""

    physical_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a provider is to do, and with which clients.

    `previous` holds the properties before an update; `physical_id` and `attributes` are set for updates and deletes.
    """

    logical_id: str
    type: str
    properties: dict[str, Any]
    stack_name: str
    stack_id: str
    account: str
    region: str
    clients: Callable[[str], Any]
    stopping: threading.Event
    physical_id: str = ""
    previous: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    identified: Callable[[str], None] = lambda _: None
    """To be called with the physical id as soon as the resource exists, so that a failure after that rolls it back."""

    def client(self, service: str) -> Any:
        """Return a boto3 client of the stack's account and region."""
        return self.clients(service)

    def name(self, property_name: str, *, length: int = 64, lower: bool = False, stack: bool = True) -> str:
        """Return the name given in a property, or a unique one made of the stack's and the logical id."""
        given = self.properties.get(property_name)
        if given is not None:
            return str(given)
        suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(12))
        stem = f"{self.stack_name}-{self.logical_id}" if stack else self.logical_id
        room = length - len(suffix) - 1
        if len(stem) > room:
            # what CloudFormation does: the start of the stack's name, the end of the logical id
            stem = f"{stem[: room // 2].rstrip('-')}-{stem[-(room - room // 2 - 1) :].lstrip('-')}"
        name = f"{stem}-{suffix}"
        return name.lower() if lower else name

    def changed(self, *names: str) -> bool:
        """Say whether any of the properties differs from before the update."""
        return any(self.properties.get(name) != self.previous.get(name) for name in names)

    def pause(self, seconds: float) -> None:
        """Wait for something to change; ProviderFailure if the local AWS stops meanwhile."""
        if self.stopping.wait(seconds):
            raise ProviderFailure("The local AWS is shutting down", "ServiceInternalError")


class Provider(Protocol):
    """The deployment of one resource type."""

    @property
    def name_property(self) -> str | None:
        """The property by which a user may name the resource, at the price of no replacement."""

    def create(self, request: Request) -> Provisioned:
        """Create the resource."""

    def update(self, request: Request) -> Provisioned:
        """Change the resource in place from `request.previous` to `request.properties`."""

    def delete(self, request: Request) -> None:
        """Delete the resource; one that is gone already is fine."""


def is_gone(error: ClientError) -> bool:
    """Say whether an error means that the thing isn't there."""
    details = error.response["Error"]
    if _GONE.search(details.get("Code", "")):
        return True
    if "Validation" not in details.get("Code", "") and details.get("Code") != "InvalidRequestException":
        return False
    return bool(_GONE_MESSAGE.search(details.get("Message", "")))


def reason_of(error: Exception, service_hint: str = "") -> str:
    """Return the reason of a failed resource as CloudFormation words it."""
    token = secrets.token_hex(4)
    if isinstance(error, ClientError):
        details = error.response["Error"]
        metadata = error.response.get("ResponseMetadata", {})
        message = (
            f"{details.get('Message')} (Service: {service_hint or error.operation_name}, "
            f"Status Code: {metadata.get('HTTPStatusCode', 400)}, Request ID: {metadata.get('RequestId', token)})"
        )
        code = "NotFound" if is_gone(error) else _handler_code(details.get("Code", ""))
    elif isinstance(error, ProviderFailure):
        message, code = str(error), error.code
    elif isinstance(error, BotoCoreError):
        message, code = str(error), "InvalidRequest"
    else:
        message, code = f"{type(error).__name__}: {error}", "InternalFailure"
    return f'Resource handler returned message: "{message}" (RequestToken: {token}, HandlerErrorCode: {code})'


def _handler_code(code: str) -> str:
    if "AlreadyExists" in code or "AlreadyOwned" in code or code in ("EntityAlreadyExists", "ResourceInUse"):
        return "AlreadyExists"
    return "AccessDenied" if "AccessDenied" in code else "InvalidRequest"


def tag_map(tags: Any) -> dict[str, str]:
    """Return tags as a mapping, however the template writes them."""
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in tags or []}
