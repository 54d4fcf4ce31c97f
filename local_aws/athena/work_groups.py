"""Workgroups and saved queries: what moto leaves out of them, and what a workgroup says about a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.athena.output import with_slash
from local_aws.json_api import ApiError
from local_aws.service import Call

Record = dict[str, Any]
ENGINE_VERSION = "Athena engine version 3"
PRIMARY = "primary"


@dataclass(frozen=True)
class QuerySettings:
    """What a workgroup and a request together say about a query. `results` is an Athena ResultConfiguration."""

    work_group: str
    results: Record
    bytes_cutoff: int | None
    engine: Record


def query_settings(call: Call, request: Record) -> QuerySettings:
    """Return the settings of a query that is to be started; ApiError if the workgroup doesn't let it start."""
    name = request.get("WorkGroup", PRIMARY)
    group = _work_group(_backend(call), name)
    if group.state != "ENABLED":
        raise ApiError("InvalidRequestException", f"WorkGroup {name} is disabled.")
    configuration = group.configuration
    if configuration.get("ManagedQueryResultsConfiguration", {}).get("Enabled"):
        raise _refusal(f"keeps no managed query results: give the workgroup {name} an output location")
    if configuration.get("ExecutionRole") or configuration.get("IdentityCenterConfiguration", {}).get(
        "EnableIdentityCenter"
    ):
        raise _refusal(f"runs SQL for the caller only, not for the workgroup {name}'s own role or Identity Center")
    of_group, own = configuration.get("ResultConfiguration") or {}, request.get("ResultConfiguration") or {}
    results = dict(of_group) if configuration.get("EnforceWorkGroupConfiguration") else {**of_group, **own}
    if not results.get("OutputLocation"):
        raise ApiError(
            "InvalidRequestException",
            "No output location provided. An output location is required either through the Workgroup result "
            "configuration setting or as an API input.",
        )
    results["OutputLocation"] = with_slash(results["OutputLocation"])
    encryption = results.get("EncryptionConfiguration", {}).get("EncryptionOption")
    if encryption == "CSE_KMS":
        raise _refusal("encrypts no results on the client's side: use SSE_KMS or SSE_S3")
    version = {**configuration.get("EngineVersion", {}), "EffectiveEngineVersion": ENGINE_VERSION}
    return QuerySettings(name, results, configuration.get("BytesScannedCutoffPerQuery"), version)


class WorkGroups:
    """The operations of workgroups and saved queries that moto doesn't have; None of an operation leaves it to moto."""

    def __init__(self) -> None:
        self.operations: dict[str, Callable[[Call, Record], Record | None]] = {
            "GetWorkGroup": self._get_work_group,
            "UpdateWorkGroup": self._update_work_group,
            "DeleteWorkGroup": self._delete_work_group,
            "GetNamedQuery": self._get_named_query,
            "GetPreparedStatement": self._get_prepared_statement,
            "DeleteNamedQuery": self._delete_named_query,
        }

    def _get_work_group(self, call: Call, request: Record) -> None:
        _work_group(_backend(call), request["WorkGroup"])

    def _update_work_group(self, call: Call, request: Record) -> Record:
        group = _work_group(_backend(call), request["WorkGroup"])
        if "Description" in request:
            group.description = request["Description"]
        if "State" in request:
            group.state = request["State"]
        _merge(group.configuration, request.get("ConfigurationUpdates", {}))
        group.configuration["EngineVersion"]["EffectiveEngineVersion"] = ENGINE_VERSION
        return {}

    def _delete_work_group(self, call: Call, request: Record) -> Record:
        backend, name = _backend(call), request["WorkGroup"]
        group = _work_group(backend, name)
        if name == PRIMARY:
            raise ApiError("InvalidRequestException", "The primary WorkGroup can't be deleted")
        saved = [query.id for query in backend.named_queries.values() if query.workgroup is group]
        if saved and not request.get("RecursiveDeleteOption"):
            raise ApiError("InvalidRequestException", f"WorkGroup {name} is not empty: it holds {len(saved)} queries")
        for query_id in saved:
            del backend.named_queries[query_id]
        backend.delete_work_group(name)
        return {}

    def _get_named_query(self, call: Call, request: Record) -> None:
        _check_named_query(_backend(call), request["NamedQueryId"])

    def _get_prepared_statement(self, call: Call, request: Record) -> None:
        name, group = request["StatementName"], request["WorkGroup"]
        if _backend(call).get_prepared_statement(name, group) is None:
            message = f"PreparedStatement {name} was not found in workGroup {group}"
            raise ApiError("ResourceNotFoundException", message)

    def _delete_named_query(self, call: Call, request: Record) -> Record:
        _check_named_query(_backend(call), request["NamedQueryId"])
        del _backend(call).named_queries[request["NamedQueryId"]]
        return {}


def _backend(call: Call) -> Any:
    from moto.athena.models import athena_backends

    return athena_backends[call.account][call.region]


def _work_group(backend: Any, name: str) -> Any:
    try:
        return backend.work_groups[name]
    except KeyError:
        raise ApiError("InvalidRequestException", f"WorkGroup {name} is not found.") from None


def _refusal(what: str) -> ApiError:
    return ApiError("InvalidRequestException", f"the local AWS {what}")


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
