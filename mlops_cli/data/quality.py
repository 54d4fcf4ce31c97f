"""What the data quality rules said of days: the results that partitions name, read from Glue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

IDS_A_CALL = 10
CALLS_AT_ONCE = 8
NUMBER = r"(-?\d+(?:\.\d+)?)"
BETWEEN = re.compile(rf"\bbetween\s+{NUMBER}\s+and\s+{NUMBER}\s*$")
COMPARED = re.compile(rf"(>=|<=|>|<|=)\s*{NUMBER}\s*$")


@dataclass(frozen=True)
class RuleResult:
    """One rule's result: its text in DQDL, the ruleset it belongs to, and the metrics that it was judged by."""

    rule: str
    ruleset: str
    passed: bool
    message: str
    metrics: Mapping[str, float]


def results(glue: Any, ids: Iterable[str]) -> dict[str, list[RuleResult]]:
    """Return the results of rules by the id of the result that they are in; ids that Glue no longer knows are left out.

    Glue keeps results for two years.
    """
    wanted = sorted(set(ids))
    batches = [wanted[start : start + IDS_A_CALL] for start in range(0, len(wanted), IDS_A_CALL)]
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        answers = pool.map(lambda batch: glue.batch_get_data_quality_result(ResultIds=batch)["Results"], batches)
        return {result["ResultId"]: list(_rules(result)) for answer in answers for result in answer}


def failing(found: Mapping[str, Sequence[RuleResult]], ids: Sequence[str]) -> list[RuleResult]:
    """Return the rules that don't hold in the results with these ids."""
    return [rule for each in ids for rule in found.get(each, []) if not rule.passed]


def bounds(rule: str) -> tuple[float | None, float | None]:
    """Return the lowest and the highest value that a rule allows, None where it sets no bound that is a number.

    `IsComplete` and its like stand for a metric of 1.
    """
    if found := BETWEEN.search(rule):
        return float(found[1]), float(found[2])
    if found := COMPARED.search(rule):
        value = float(found[2])
        return (
            None if found[1].startswith("<") else value,
            None if found[1].startswith(">") else value,
        )
    if rule.split(" ", 1)[0] in ("IsComplete", "IsUnique", "IsPrimaryKey"):
        return 1.0, 1.0
    return None, None


def _rules(result: Mapping[str, Any]) -> Iterator[RuleResult]:
    for rule in result.get("RuleResults", []):
        yield RuleResult(
            rule=rule.get("EvaluatedRule") or rule.get("Description") or rule["Name"],
            ruleset=result.get("RulesetName", ""),
            passed=rule["Result"] == "PASS",
            message=rule.get("EvaluationMessage") or "",
            metrics=rule.get("EvaluatedMetrics") or {},
        )
