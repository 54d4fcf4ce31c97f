"""The Athena API of the local AWS: queries run, workgroups and saved queries are moto's with what it leaves out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from werkzeug import Response

from local_aws.athena.object_cache import ObjectCache
from local_aws.athena.output import check_bucket
from local_aws.athena.query import ENDED_STATES, Query, QueryLimits
from local_aws.athena.result_pages import page
from local_aws.athena.statements import Execute, parse_statement
from local_aws.athena.work_groups import PRIMARY, Record, WorkGroups, query_settings
from local_aws.json_api import ApiError, JsonApi
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)

MOST_ACTIVE = 200
PAGE_OF_ROWS = 1000
PAGE_OF_QUERIES = 50
CATALOG_NAME = "AwsDataCatalog"
_REFUSED = {
    "EngineConfiguration": "has no engine to configure: leave EngineConfiguration out",
}


class AthenaService:
    """Starts, shows and stops queries, several at the same time; the rest wait in state QUEUED."""

    scopes = frozenset({"athena"})

    def __init__(self, context: LocalContext, limits: QueryLimits | None = None) -> None:
        self._context = context
        self._limits = limits or QueryLimits()
        self._api = JsonApi("athena")
        self._lock = threading.RLock()
        self._closed = False
        # by account and region, oldest first
        self._queries: dict[tuple[str, str], dict[str, Query]] = {}
        self._tokens: dict[tuple[str, str, str], tuple[Record, str]] = {}
        self._slots = threading.Semaphore(self._limits.parallel)
        self._cache = ObjectCache(context.state_dir / "jobs" / "athena" / "cache")
        self._operations: dict[str, Callable[[Call, Record], Record | None]] = {
            "StartQueryExecution": self._start,
            "GetQueryExecution": self._get,
            "BatchGetQueryExecution": self._batch_get,
            "GetQueryResults": self._get_results,
            "ListQueryExecutions": self._list,
            "StopQueryExecution": self._stop,
            "GetQueryRuntimeStatistics": self._get_runtime_statistics,
            **WorkGroups().operations,
        }

    def handle(self, call: Call) -> Response | None:
        """Answer the operations that are ours; the others are moto's."""
        operation = self._api.operation(call.request.headers.get("X-Amz-Target", ""))
        handler = self._operations.get(operation)
        if handler is None:
            return None
        try:
            request = self._api.parse(operation, call.request.get_data())
            answer = handler(call, request)
            return None if answer is None else self._api.answer(operation, answer)
        except ApiError as error:
            # Athena words what is wrong with a request's members as this, too
            code = "InvalidRequestException" if error.code == "ValidationException" else error.code
            return ApiError(code, error.message, error.status).response()
        except Exception as error:
            _log.exception("%s failed", operation)
            return ApiError("InternalServerException", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Stop every query, and wait until none runs."""
        with self._lock:
            self._closed = True
            running = [each for queries in self._queries.values() for each in queries.values() if each.is_alive()]
        for query in running:
            query.stop()
        for query in running:
            query.join(timeout=10)

    def _start(self, call: Call, request: Record) -> Record:
        for member, why in _REFUSED.items():
            if member in request:
                raise ApiError("InvalidRequestException", f"the local AWS {why}")
        catalog = request.get("QueryExecutionContext", {}).get("Catalog", CATALOG_NAME)
        if catalog.lower() != CATALOG_NAME.lower():
            raise ApiError("InvalidRequestException", f"the local AWS queries {CATALOG_NAME} only, not {catalog!r}")
        settings = query_settings(call, request)
        statement = parse_statement(request["QueryString"])
        role = None if call.account == self._context.account else f"arn:aws:iam::{call.account}:role/athena"

        def client(service: str) -> Any:
            return self._context.client(service, region=call.region, role_arn=role)

        if isinstance(statement, Execute):
            statement.check_prepared(client("athena"), settings.work_group)
        check_bucket(client("s3"), settings.results["OutputLocation"])
        with self._lock:
            if self._closed:
                raise ApiError("InternalServerException", "the local AWS is stopping", 503)
            owner = (call.account, call.region)
            earlier = self._earlier(owner, request)
            if earlier is not None:
                return {"QueryExecutionId": earlier}
            queries = self._queries.setdefault(owner, {})
            if sum(not query.ended for query in queries.values()) >= MOST_ACTIVE:
                raise ApiError(
                    "TooManyRequestsException",
                    f"You have exceeded the limit for the number of queries you can run concurrently: {MOST_ACTIVE}",
                )
            query = Query(
                self._context,
                client,
                request,
                statement,
                settings,
                limits=self._limits,
                slots=self._slots,
                cache=self._cache,
            )
            queries[query.id] = query
            if token := request.get("ClientRequestToken"):
                self._tokens[*owner, token] = (request, query.id)
            query.start()
        return {"QueryExecutionId": query.id}

    def _earlier(self, owner: tuple[str, str], request: Record) -> str | None:
        """Return the query that a request with the same token has started."""
        known = self._tokens.get((*owner, request.get("ClientRequestToken", "")))
        if known is None:
            return None
        if known[0] != request:
            raise ApiError("InvalidRequestException", "Idempotent parameters do not match")
        return known[1]

    def _get(self, call: Call, request: Record) -> Record:
        return {"QueryExecution": self._query(call, request["QueryExecutionId"]).record}

    def _batch_get(self, call: Call, request: Record) -> Record:
        found, unknown = [], []
        for query_id in request["QueryExecutionIds"]:
            try:
                found.append(self._query(call, query_id).record)
            except ApiError as error:
                unknown.append(
                    {"QueryExecutionId": query_id, "ErrorCode": "INVALID_INPUT", "ErrorMessage": error.message}
                )
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": unknown}

    def _get_results(self, call: Call, request: Record) -> Record:
        if request.get("QueryResultType", "DATA_ROWS") != "DATA_ROWS":
            raise ApiError("InvalidRequestException", "the local AWS writes no data manifests")
        query = self._query(call, request["QueryExecutionId"])
        state = query.record["Status"]["State"]
        if state not in ENDED_STATES:
            raise ApiError("InvalidRequestException", f"Query has not yet finished. Current state: {state}")
        if state != "SUCCEEDED" or query.result is None:
            raise ApiError("InvalidRequestException", f"Query did not finish successfully. Final query state: {state}")
        return page(query.result, request.get("NextToken"), request.get("MaxResults", PAGE_OF_ROWS))

    def _list(self, call: Call, request: Record) -> Record:
        group = request.get("WorkGroup", PRIMARY)
        with self._lock:
            queries = list(self._queries.get((call.account, call.region), {}).values())
        ids = [query.id for query in reversed(queries) if query.record["WorkGroup"] == group]
        token = str(request.get("NextToken") or 0)
        if not token.isdigit():
            raise ApiError("InvalidRequestException", f"NextToken {token!r} is not a token of this operation")
        end = int(token) + (request.get("MaxResults") or PAGE_OF_QUERIES)
        return {"QueryExecutionIds": ids[int(token) : end], "NextToken": str(end) if end < len(ids) else None}

    def _stop(self, call: Call, request: Record) -> Record:
        query = self._query(call, request["QueryExecutionId"])
        threading.Thread(target=query.stop, daemon=True).start()
        return {}

    def _get_runtime_statistics(self, call: Call, request: Record) -> Record:
        query = self._query(call, request["QueryExecutionId"])
        times = {name: value for name, value in query.record["Statistics"].items() if name.endswith("InMillis")}
        rows = {"InputBytes": query.record["Statistics"]["DataScannedInBytes"]}
        if query.result is not None:
            rows["OutputRows"] = query.result.count
        return {"QueryRuntimeStatistics": {"Timeline": times, "Rows": rows}}

    def _query(self, call: Call, query_id: str) -> Query:
        with self._lock:
            found = self._queries.get((call.account, call.region), {}).get(query_id)
        if found is None:
            raise ApiError("InvalidRequestException", f"QueryExecution {query_id} was not found")
        return found
