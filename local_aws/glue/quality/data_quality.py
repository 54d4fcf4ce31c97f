"""Glue Data Quality on tables of the catalog: rulesets, runs that evaluate them, and their results."""

from __future__ import annotations

import logging
import threading
import uuid
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from local_aws.glue.operations import Handler, Owner, Record, owner_of, page
from local_aws.glue.quality.dispatcher import Dispatcher
from local_aws.glue.quality.evaluation_run import EvaluationRun
from local_aws.glue.quality.measures import Measured
from local_aws.glue.quality.results import Results, result_of, told
from local_aws.glue.quality.rulesets import Rulesets
from local_aws.glue.quality.run_log import write_log
from local_aws.glue.quality.sources import PREDICATES, catalog, glue_table
from local_aws.json_api import ApiError
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)

LARGEST_PAGE = 1000
DEFAULT_TIMEOUT_MINUTES = 2880
DEFAULT_WORKERS = 5


class DataQuality:
    """The operations of Glue Data Quality. `minute_seconds` is the length of the minute that timeouts count in."""

    def __init__(self, context: LocalContext, *, minute_seconds: float = 60.0) -> None:
        self._context = context
        self._minute = minute_seconds
        self._lock = threading.RLock()
        self._rulesets = Rulesets(context)
        self._results = Results()
        self._runs: dict[Owner, dict[str, EvaluationRun]] = {}
        self._tokens: dict[tuple[str, str, str], str] = {}
        self._dispatcher = Dispatcher(context, self._conclude)
        self.operations: dict[str, Handler] = {
            **self._rulesets.operations,
            **self._results.operations,
            "StartDataQualityRulesetEvaluationRun": self._start,
            "GetDataQualityRulesetEvaluationRun": self._get,
            "ListDataQualityRulesetEvaluationRuns": self._list,
            "CancelDataQualityRulesetEvaluationRun": self._cancel,
        }

    def close(self) -> None:
        """Stop what is being evaluated."""
        self._dispatcher.close()

    def _start(self, call: Call, request: Record) -> Record:
        owner = owner_of(call)
        token = (*owner, request.get("ClientToken") or uuid.uuid4().hex)
        sources = [request["DataSource"], *request.get("AdditionalDataSources", {}).values()]
        for source in sources:
            self._check_source(call, source)
        _check_options(request.get("AdditionalRunOptions", {}))
        now = datetime.now(UTC)
        record = {
            "RunId": f"dqrun-{uuid.uuid4().hex}",
            "DataSource": request["DataSource"],
            "Role": request["Role"],
            "NumberOfWorkers": request.get("NumberOfWorkers", DEFAULT_WORKERS),
            "Timeout": request.get("Timeout", DEFAULT_TIMEOUT_MINUTES),
            "AdditionalRunOptions": request.get("AdditionalRunOptions"),
            "Status": "STARTING",
            "StartedOn": now,
            "LastModifiedOn": now,
            "RulesetNames": request["RulesetNames"],
            "AdditionalDataSources": request.get("AdditionalDataSources", {}),
        }
        rulesets = [self._rulesets.rules(owner, name) for name in request["RulesetNames"]]
        role = request["Role"]
        arn = role if role.startswith("arn:") else f"arn:aws:iam::{call.account}:role/{role}"
        run = EvaluationRun(owner, arn, rulesets, record, record["Timeout"] * self._minute)
        with self._lock:
            if token in self._tokens:
                return {"RunId": self._tokens[token]}
            self._tokens[token] = run.id
            self._runs.setdefault(owner, {})[run.id] = run
        self._dispatcher.submit(run)
        return {"RunId": run.id}

    def _get(self, call: Call, request: Record) -> Record:
        return self._run(call, request["RunId"]).record

    def _list(self, call: Call, request: Record) -> Record:
        wanted = request.get("Filter", {})
        with self._lock:
            runs = list(self._runs.get(owner_of(call), {}).values())
        found = [run.record for run in reversed(runs) if _fits(run.record, wanted)]
        shown, token = page(found, request, LARGEST_PAGE)
        return {"Runs": shown, "NextToken": token}

    def _cancel(self, call: Call, request: Record) -> Record:
        run = self._run(call, request["RunId"])
        if not run.end("STOPPED"):
            raise ApiError("InvalidInputException", f"The run {run.id} has ended already")
        return {}

    def _run(self, call: Call, run_id: str) -> EvaluationRun:
        with self._lock:
            run = self._runs.get(owner_of(call), {}).get(run_id)
        if run is None:
            raise ApiError("EntityNotFoundException", f"Data quality ruleset evaluation run not found: {run_id}")
        return run

    def _check_source(self, call: Call, source: Record) -> None:
        if len(source) != 1:
            raise ApiError("InvalidInputException", "a DataSource is either a GlueTable or a DataQualityGlueTable")
        table = glue_table(source)
        if table.get("PreProcessingQuery") or "ConnectionName" in table:
            raise ApiError("InvalidInputException", "the local AWS evaluates tables of S3, without PreProcessingQuery")
        if table.get("CatalogId", call.account) != call.account:
            raise ApiError("InvalidInputException", f"the local AWS evaluates tables of the own catalog {call.account}")
        unknown = sorted(table.get("AdditionalOptions", {}).keys() - set(PREDICATES))
        if unknown:
            raise ApiError(
                "InvalidInputException",
                f"the local AWS knows the AdditionalOptions {', '.join(PREDICATES)}, not {', '.join(unknown)}",
            )
        try:
            catalog(self._context, owner_of(call)).get_table(
                DatabaseName=table["DatabaseName"], Name=table["TableName"]
            )
        except ClientError as error:
            raise ApiError(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error

    def _conclude(self, measured: list[tuple[EvaluationRun, Measured]]) -> None:
        """End runs with one result for each ruleset, and then tell of them."""
        ended = [(run, results) for run, found in measured if (results := self._end(run, found))]
        for run, results in ended:
            write_log(self._context, run, "output", [line for result in results for line in told(result)])
            for result in results:
                try:
                    self._announce(run, result)
                except Exception:
                    # a run has ended whatever becomes of its event
                    _log.exception("the event of the result %s wasn't delivered", result["ResultId"])

    def _end(self, run: EvaluationRun, measured: Measured) -> list[Record]:
        """End a run and return its results, none if it has ended before."""
        completed = datetime.now(UTC)
        results = [result_of(run, ruleset, measured, completed) for ruleset in run.rulesets]
        # whoever sees the run's end finds its results
        self._results.keep(run.owner, results)
        if run.end("SUCCEEDED", result_ids=[result["ResultId"] for result in results]):
            return results
        self._results.drop(run.owner, results)
        return []

    def _announce(self, run: EvaluationRun, result: Record) -> None:
        table, counts = glue_table(run.record["DataSource"]), result["AggregatedMetrics"]
        failed = counts["TotalRulesFailed"]
        detail = {
            "context": {
                "contextType": "GLUE_DATA_CATALOG",
                "runId": run.id,
                "databaseName": table["DatabaseName"],
                "tableName": table["TableName"],
                "catalogId": run.owner[0],
            },
            "resultID": result["ResultId"],
            "rulesetNames": [result["RulesetName"]],
            "state": "FAILED" if failed else "SUCCEEDED",
            "score": result["Score"],
            "rulesSucceeded": counts["TotalRulesPassed"],
            "rulesFailed": failed,
            "rulesSkipped": 0,
        }
        self._context.emit("aws.glue-dataquality", "Data Quality Evaluation Results Available", detail, [])


def _check_options(options: Record) -> None:
    known = {"CloudWatchMetricsEnabled": False, "CompositeRuleEvaluationMethod": "COLUMN"}
    for option, value in options.items():
        if option not in known or value != known[option]:
            raise ApiError("InvalidInputException", f"the local AWS doesn't evaluate with {option}={value!r}")


def _fits(record: Record, wanted: Record) -> bool:
    started = record["StartedOn"].timestamp()
    return bool(
        wanted.get("DataSource", record["DataSource"]) == record["DataSource"]
        and wanted.get("RulesetName", record["RulesetNames"][0]) in record["RulesetNames"]
        and started > wanted.get("StartedAfter", float("-inf"))
        and started < wanted.get("StartedBefore", float("inf"))
    )
