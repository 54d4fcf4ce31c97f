"""What a part of the Glue API offers to the service: its operations, and an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from local_aws.json_api import ApiError
from local_aws.service import Call

Record = dict[str, Any]
Handler = Callable[[Call, Record], Mapping[str, Any]]
# account and region
Owner = tuple[str, str]

T = TypeVar("T")


class OperationGroup(Protocol):
    """Some operations of the API by name.

    A handler gets the request's members, which fit botocore's model of the operation, and returns the answer's. It
    raises ApiError for what the client did wrong.
    """

    @property
    def operations(self) -> Mapping[str, Handler]: ...

    def close(self) -> None:
        """Stop what the group has started, and refuse to start more."""


def owner_of(call: Call) -> Owner:
    """Return whose resources a request is about."""
    return call.account, call.region


def page(items: Sequence[T], request: Mapping[str, Any], default_size: int) -> tuple[Sequence[T], str | None]:
    """Return the part of a list that a request with MaxResults and NextToken asks for, and the token of the next."""
    token = str(request.get("NextToken") or 0)
    if not token.isdigit():
        raise ApiError("InvalidInputException", f"NextToken {token!r} is not a token of this operation")
    start = int(token)
    end = start + request.get("MaxResults", default_size)
    return items[start:end], str(end) if end < len(items) else None
