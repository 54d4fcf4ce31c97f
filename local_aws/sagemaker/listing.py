"""What the List* operations have in common: filters, order and pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.workspace import Record

_TIME_FILTERS = {
    "CreationTimeAfter": ("CreationTime", True),
    "CreationTimeBefore": ("CreationTime", False),
    "CreatedAfter": ("CreationTime", True),
    "CreatedBefore": ("CreationTime", False),
    "LastModifiedTimeAfter": ("LastModifiedTime", True),
    "LastModifiedTimeBefore": ("LastModifiedTime", False),
}


def listed(
    records: Iterable[Record],
    request: Mapping[str, Any],
    *,
    name: str,
    status: str | None = None,
    sort_fields: Mapping[str, str] | None = None,
    name_filters: tuple[str, ...] = ("NameContains",),
    default_order: str = "Descending",
) -> tuple[list[Record], str | None]:
    """Return one page of the records that a List* request asks for, and the token of the next page.

    `name` and `status` are the members that the name and status filters look at. `sort_fields` maps values of SortBy
    to members; CreationTime, which is also the default, and Name always work.
    """
    found = [record for record in records if _passes(record, request, name, status, name_filters)]
    fields = {"Name": name, "Status": status or name, **(sort_fields or {})}
    sort_by = request.get("SortBy", "CreationTime")
    member = fields.get(sort_by, sort_by if sort_by.endswith("Time") else "CreationTime")
    descending = request.get("SortOrder", default_order) == "Descending"
    # records are kept in the order of their creation: a stable sort keeps it among equals
    if descending:
        found.reverse()
    found.sort(key=_sort_key(member), reverse=descending)
    return page(found, request)


def page(found: list[Record], request: Mapping[str, Any]) -> tuple[list[Record], str | None]:
    """Return the part of the list that MaxResults and NextToken ask for, and the next token."""
    start = _offset(request.get("NextToken"))
    end = start + int(request.get("MaxResults") or 100)
    token = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(found) else None
    return found[start:end], token


def _sort_key(member: str) -> Callable[[Record], Any]:
    def key(record: Record) -> Any:
        value = record.get(member)
        return value.timestamp() if isinstance(value, datetime) else value or 0

    return key


def _passes(
    record: Record, request: Mapping[str, Any], name: str, status: str | None, name_filters: tuple[str, ...]
) -> bool:
    for name_filter in name_filters:
        if request.get(name_filter) and request[name_filter].lower() not in record[name].lower():
            return False
    if status and request.get("StatusEquals") and record[status] != request["StatusEquals"]:
        return False
    for time_filter, (member, after) in _TIME_FILTERS.items():
        limit = request.get(time_filter)
        if limit is None:
            continue
        moment = record[member].timestamp()
        if moment <= float(limit) if after else moment >= float(limit):
            return False
    return True


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError) as error:
        raise ApiError("ValidationException", f"NextToken {token!r} is not a token of this operation") from error
