"""The results of evaluations: what each ruleset said of a data source."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from local_aws.glue.operations import Handler, Owner, Record, owner_of, page
from local_aws.glue.quality.checks import judge
from local_aws.glue.quality.evaluation_run import EvaluationRun, Ruleset
from local_aws.glue.quality.measures import Measured
from local_aws.glue.quality.outcomes import Outcome
from local_aws.glue.quality.rules import AnyRule
from local_aws.json_api import ApiError
from local_aws.service import Call

LARGEST_PAGE = 1000
# the longest description and message that the API gives
TEXT_LIMIT = 2048


class Results:
    """Keeps results by account and region."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._results: dict[Owner, dict[str, Record]] = {}
        self.operations: dict[str, Handler] = {
            "GetDataQualityResult": self._get,
            "BatchGetDataQualityResult": self._batch_get,
            "ListDataQualityResults": self._list,
        }

    def keep(self, owner: Owner, results: list[Record]) -> None:
        """Keep results."""
        with self._lock:
            self._results.setdefault(owner, {}).update({result["ResultId"]: result for result in results})

    def drop(self, owner: Owner, results: list[Record]) -> None:
        """Forget results."""
        with self._lock:
            for result in results:
                self._results[owner].pop(result["ResultId"])

    def _get(self, call: Call, request: Record) -> Record:
        result = self._of(call).get(request["ResultId"])
        if result is None:
            raise ApiError("EntityNotFoundException", f"Data quality result not found: {request['ResultId']}")
        return result

    def _batch_get(self, call: Call, request: Record) -> Record:
        results = self._of(call)
        ids = request["ResultIds"]
        missing = [each for each in ids if each not in results]
        return {"Results": [results[each] for each in ids if each in results], "ResultsNotFound": missing or None}

    def _list(self, call: Call, request: Record) -> Record:
        wanted = request.get("Filter", {})
        found = [result for result in reversed(self._of(call).values()) if _fits(result, wanted)]
        shown, token = page(found, request, LARGEST_PAGE)
        return {"Results": shown, "NextToken": token}

    def _of(self, call: Call) -> dict[str, Record]:
        with self._lock:
            return dict(self._results.get(owner_of(call), {}))


def result_of(run: EvaluationRun, ruleset: Ruleset, measured: Measured, completed: datetime) -> Record:
    """Return what a ruleset says of the data that a run measured."""
    rules = [_rule_result(number, rule, measured) for number, rule in enumerate(ruleset.rules, start=1)]
    passed = sum(rule["Result"] == "PASS" for rule in rules)
    return {
        "ResultId": f"dqresult-{uuid.uuid4().hex}",
        "Score": passed / len(rules),
        "DataSource": run.record["DataSource"],
        "RulesetName": ruleset.name,
        "StartedOn": run.record["StartedOn"],
        "CompletedOn": completed,
        "RulesetEvaluationRunId": run.id,
        "RuleResults": rules,
        "AggregatedMetrics": {
            "TotalRulesProcessed": len(rules),
            "TotalRulesPassed": passed,
            "TotalRulesFailed": len(rules) - passed,
        },
    }


def told(result: Record) -> list[str]:
    """Return a result as lines of a log: the score, and each rule that failed with its reason."""
    counts = result["AggregatedMetrics"]
    lines = [f"{result['RulesetName']}: {counts['TotalRulesPassed']} of {counts['TotalRulesProcessed']} rules passed"]
    for rule in result["RuleResults"]:
        if rule["Result"] != "PASS":
            lines.append(f"{rule['Name']} failed: {rule['Description']}: {rule['EvaluationMessage']}")
    return lines


def _rule_result(number: int, rule: AnyRule, measured: Measured) -> Record:
    outcome: Outcome = judge(rule, measured)
    text = str(rule)[:TEXT_LIMIT]
    return {
        "Name": f"Rule_{number}",
        "Description": text,
        "EvaluationMessage": None if outcome.message is None else outcome.message[:TEXT_LIMIT],
        "Result": "PASS" if outcome.passed else "FAIL",
        # JSON has no number for NaN
        "EvaluatedMetrics": {name: value for name, value in outcome.metrics.items() if math.isfinite(value)},
        "EvaluatedRule": text,
    }


def _fits(result: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    started = result["StartedOn"].timestamp()
    return (
        # results of Glue jobs have a JobName; those of runs have none
        not any(member in wanted for member in ("JobName", "JobRunId", "DataQualityEvaluationConfig"))
        and wanted.get("EvaluationRunMode", "ON_DEMAND") == "ON_DEMAND"
        and wanted.get("DataSource", result["DataSource"]) == result["DataSource"]
        and started > wanted.get("StartedAfter", float("-inf"))
        and started < wanted.get("StartedBefore", float("inf"))
    )
