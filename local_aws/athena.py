"""The Athena API of the local AWS: workgroups and saved queries. Queries are not run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug import Response

from local_aws.json_api import ApiError, JsonApi
from local_aws.service import Call

_log = logging.getLogger(__name__)

Record = dict[str, Any]
ENGINE_VERSION = "Athena engine version 3"


class AthenaService:
    """Answers what moto leaves out of workgroups and saved queries, and refuses what it would only pretend to run."""

    scopes = frozenset({"athena"})

    def __init__(self) -> None:
        self._api = JsonApi("athena")
        self._operations: dict[str, Callable[[Any, Record], Record | None]] = {
            "GetWorkGroup": self._get_work_group,
            "UpdateWorkGroup": self._update_work_group,
            "DeleteWorkGroup": self._delete_work_group,
            "GetNamedQuery": self._get_named_query,
            "DeleteNamedQuery": self._delete_named_query,
            "StartQueryExecution": self._start_query_execution,
        }

    def handle(self, call: Call) -> Response | None:
        """Answer the operations that are ours; the others are moto's."""
        operation = self._api.operation(call.request.headers.get("X-Amz-Target", ""))
        handler = self._operations.get(operation)
        if handler is None:
            return None
        try:
            request = self._api.parse(operation, call.request.get_data())
            answer = handler(_backend(call), request)
            return None if answer is None else self._api.answer(operation, answer)
        except ApiError as error:
            return error.response()
        except Exception as error:
            _log.exception("%s failed", operation)
            return ApiError("InternalServerException", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Nothing runs here."""

    def _get_work_group(self, backend: Any, request: Record) -> None:
        _work_group(backend, request["WorkGroup"])

    def _update_work_group(self, backend: Any, request: Record) -> Record:
        group = _work_group(backend, request["WorkGroup"])
        if "Description" in request:
            group.description = request["Description"]
        if "State" in request:
            group.state = request["State"]
        _merge(group.configuration, request.get("ConfigurationUpdates", {}))
        group.configuration["EngineVersion"]["EffectiveEngineVersion"] = ENGINE_VERSION
        return {}

    def _delete_work_group(self, backend: Any, request: Record) -> Record:
        name = request["WorkGroup"]
        group = _work_group(backend, name)
        if name == "primary":
            raise ApiError("InvalidRequestException", "The primary WorkGroup can't be deleted")
        saved = [query.id for query in backend.named_queries.values() if query.workgroup is group]
        if saved and not request.get("RecursiveDeleteOption"):
            raise ApiError("InvalidRequestException", f"WorkGroup {name} is not empty: it holds {len(saved)} queries")
        for query_id in saved:
            del backend.named_queries[query_id]
        backend.delete_work_group(name)
        return {}

    def _get_named_query(self, backend: Any, request: Record) -> None:
        _check_named_query(backend, request["NamedQueryId"])

    def _delete_named_query(self, backend: Any, request: Record) -> Record:
        _check_named_query(backend, request["NamedQueryId"])
        del backend.named_queries[request["NamedQueryId"]]
        return {}

    def _start_query_execution(self, backend: Any, request: Record) -> Record:
        del backend, request
        raise ApiError("InvalidRequestException", "the local AWS runs no Athena queries")


def _backend(call: Call) -> Any:
    from moto.athena.models import athena_backends

    return athena_backends[call.account][call.region]


def _work_group(backend: Any, name: str) -> Any:
    try:
        return backend.work_groups[name]
    except KeyError:
        raise ApiError("InvalidRequestException", f"WorkGroup {name} is not found.") from None


def _check_named_query(backend: Any, query_id: str) -> None:
    if query_id not in backend.named_queries:
        raise ApiError("InvalidRequestException", f"NamedQuery {query_id} is not found.")


def _merge(configuration: Record, updates: Mapping[str, Any]) -> None:
    """Change a configuration as updates say: `<Member>`, `<Member>Updates` of a structure, or `Remove<Member>`."""
    for name, value in updates.items():
        if name.startswith("Remove"):
            if value:
                configuration.pop(name.removeprefix("Remove"), None)
        elif name.endswith("Updates"):
            _merge(configuration.setdefault(name.removesuffix("Updates"), {}), value)
        else:
            configuration[name] = value
