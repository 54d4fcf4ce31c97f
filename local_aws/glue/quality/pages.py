"""Lists that answers show a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local_aws.json_api import ApiError

LARGEST_PAGE = 1000


def page(name: str, items: Sequence[Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the items that the request's NextToken and MaxResults ask for, and the token of those that follow."""
    token = str(request.get("NextToken") or 0)
    if not token.isdigit():
        raise ApiError("InvalidInputException", f"NextToken {token!r} is not a token of this operation")
    start = int(token)
    end = start + request.get("MaxResults", LARGEST_PAGE)
    return {name: list(items[start:end]), "NextToken": str(end) if end < len(items) else None}
