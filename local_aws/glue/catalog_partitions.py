"""Partitions of catalog tables. moto keeps them; paging, limits and safety among concurrent jobs are ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.exceptions import JsonRESTError

from local_aws import moto_fit
from local_aws.glue.operations import Handler, Record, page
from local_aws.json_api import ApiError, service_model
from local_aws.service import Call

PAGE_SIZE = 1000


class CatalogPartitions:
    """The operations of partitions. Each works alone: moto's tables don't bear several at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        handlers: dict[str, Callable[[Any, Call, Record], Record]] = {
            "GetPartition": _get,
            "GetPartitions": _get_all,
            "BatchGetPartition": _batch_get,
            "CreatePartition": _create,
            "BatchCreatePartition": _batch_create,
            "UpdatePartition": _update,
            "BatchUpdatePartition": _batch_update,
            "DeletePartition": _delete,
            "BatchDeletePartition": _batch_delete,
        }
        self.operations: Mapping[str, Handler] = {
            name: self._on_table(name, handler) for name, handler in handlers.items()
        }

    def close(self) -> None:
        """Do nothing: partitions don't run."""

    def _on_table(self, operation: str, handler: Callable[[Any, Call, Record], Record]) -> Handler:
        def handle(call: Call, request: Record) -> Record:
            _check_sizes(operation, request)
            with self._lock:
                try:
                    table = moto_fit.glue_table(
                        call.account, call.region, request["DatabaseName"], request["TableName"]
                    )
                    return handler(table, call, request)
                except JsonRESTError as error:
                    raise _api_error(error) from error

        return handle


def _get(table: Any, call: Call, request: Record) -> Record:
    return {"Partition": _described(table.get_partition(request["PartitionValues"]), call)}


def _get_all(table: Any, call: Call, request: Record) -> Record:
    found = table.get_partitions(request.get("Expression"))
    if segment := request.get("Segment"):
        found = found[segment["SegmentNumber"] :: segment["TotalSegments"]]
    shown, token = page(found, request, PAGE_SIZE)
    partitions = [_described(partition, call) for partition in shown]
    if request.get("ExcludeColumnSchema"):
        partitions = [_without_columns(partition) for partition in partitions]
    return {"Partitions": partitions, "NextToken": token}


def _batch_get(table: Any, call: Call, request: Record) -> Record:
    found = [table.partitions.get(str(each["Values"])) for each in request["PartitionsToGet"]]
    return {"Partitions": [_described(each, call) for each in found if each is not None], "UnprocessedKeys": []}


def _create(table: Any, _call: Call, request: Record) -> Record:
    _check_values(table, request["PartitionInput"])
    table.create_partition(request["PartitionInput"])
    return {}


def _batch_create(table: Any, call: Call, request: Record) -> Record:
    entries = [({"PartitionInput": given}, given.get("Values", [])) for given in request["PartitionInputList"]]
    return _batch(entries, "PartitionValues", lambda entry: _create(table, call, entry))


def _update(table: Any, _call: Call, request: Record) -> Record:
    values, given = request["PartitionValueList"], request["PartitionInput"]
    _check_values(table, given)
    created = table.get_partition(values).creation_time
    table.update_partition(values, given)
    table.get_partition(given["Values"]).creation_time = created
    return {}


def _batch_update(table: Any, call: Call, request: Record) -> Record:
    entries = [(entry, entry["PartitionValueList"]) for entry in request["Entries"]]
    return _batch(entries, "PartitionValueList", lambda entry: _update(table, call, entry))


def _delete(table: Any, _call: Call, request: Record) -> Record:
    table.delete_partition(request["PartitionValues"])
    return {}


def _batch_delete(table: Any, call: Call, request: Record) -> Record:
    entries = [({"PartitionValues": each["Values"]}, each["Values"]) for each in request["PartitionsToDelete"]]
    return _batch(entries, "PartitionValues", lambda entry: _delete(table, call, entry))


def _batch(entries: list[tuple[Record, list[str]]], name: str, act: Callable[[Record], Record]) -> Record:
    """Act on each entry; those that fail are listed as Errors under their values and don't keep others from it."""
    errors = []
    for entry, values in entries:
        try:
            act(entry)
        except JsonRESTError as error:
            refused = _api_error(error)
            detail = {"ErrorCode": refused.code, "ErrorMessage": refused.message}
            errors.append({name: values, "ErrorDetail": detail})
    return {"Errors": errors}


def _check_values(table: Any, given: Record) -> None:
    keys = [key["Name"] for key in table.as_dict().get("PartitionKeys", [])]
    values = given.get("Values", [])
    if len(values) != len(keys):
        raise JsonRESTError(
            "InvalidInputException",
            f"the values {values} don't match the partition keys {keys} of {table.database_name}.{table.name}",
        )


def _check_sizes(operation: str, request: Record) -> None:
    """Refuse lists that are longer than AWS takes: at most 25 partitions are deleted at once, 100 created."""
    shape = service_model("glue").operation_model(operation).input_shape
    for name, member in shape.members.items() if shape is not None else ():
        most = member.metadata.get("max")
        if member.type_name == "list" and most is not None and len(request.get(name, [])) > most:
            raise ApiError(
                "ValidationException",
                f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
                f"Member must have length less than or equal to {most}, not {len(request[name])}",
            )


def _described(partition: Any, call: Call) -> Record:
    return {**partition.as_dict(), "CatalogId": call.account}


def _without_columns(partition: Record) -> Record:
    storage = {name: value for name, value in partition.get("StorageDescriptor", {}).items() if name != "Columns"}
    return {**partition, "StorageDescriptor": storage}


def _api_error(error: JsonRESTError) -> ApiError:
    return ApiError(str(error.error_type), str(error.message))
