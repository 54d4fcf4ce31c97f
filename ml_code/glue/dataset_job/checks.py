"""The rules of a dataset and of the models that read it, evaluated day by day by Glue Data Quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from dataset_job.errors import DatasetError

TIMEOUT_MINUTES = 60
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 10.0
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR"})


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a day: how many hold, how many there are, and each that doesn't with what was found.

    `error` is the reason why the rules weren't evaluated.
    """

    day: date
    passed: int
    total: int
    failures: tuple[str, ...]
    results: tuple[str, ...]
    error: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the day must not be published; None when every rule holds."""
        if not self.failures:
            return None
        verb = "fails" if len(self.failures) == 1 else "fail"
        return f"{len(self.failures)} of {self.total} rules {verb}: {'; '.join(self.failures)}"


@dataclass(frozen=True)
class Checks:
    """Evaluates rulesets on day partitions of a table, some days at a time.

    `workers` are the Glue workers of one evaluation, `parallel` the evaluations at the same time. `references` are the
    tables that rules refer to, by the name that rules use.
    """

    glue: Any
    database: str
    table: str
    rulesets: Sequence[str]
    role: str
    workers: int = 2
    parallel: int = 25
    references: Mapping[str, str] = field(default_factory=dict)
    sleep: Callable[[float], None] = time.sleep

    def evaluate(self, days: Sequence[date]) -> Iterator[Verdict]:
        """One verdict for each day, in order."""
        if not self.rulesets:
            yield from (Verdict(day, 0, 0, (), ()) for day in days)
            return
        with ThreadPoolExecutor(self.parallel) as pool:
            yield from pool.map(self._evaluate_day, days)

    def _evaluate_day(self, day: date) -> Verdict:
        try:
            return self._judge(day)
        except Exception as error:
            # of one day: the others aren't checked for nothing
            return Verdict(day, 0, 0, (), (), error=f"the rules of {day} weren't evaluated: {error}")

    def _judge(self, day: date) -> Verdict:
        references = {
            alias: {"GlueTable": {"DatabaseName": self.database, "TableName": table}}
            for alias, table in self.references.items()
        }
        run = self.glue.start_data_quality_ruleset_evaluation_run(
            DataSource={
                "GlueTable": {
                    "DatabaseName": self.database,
                    "TableName": self.table,
                    "AdditionalOptions": {"catalogPartitionPredicate": f"day = '{day}'"},
                }
            },
            Role=self.role,
            NumberOfWorkers=self.workers,
            RulesetNames=list(self.rulesets),
            Timeout=TIMEOUT_MINUTES,
            **({"AdditionalDataSources": references} if references else {}),
        )["RunId"]
        return self._verdict(day, self._wait(run))

    def _wait(self, run: str) -> list[str]:
        pause = FIRST_WAIT_SECONDS
        while True:
            found = self.glue.get_data_quality_ruleset_evaluation_run(RunId=run)
            if found["Status"] in ENDED:
                break
            self.sleep(pause)
            pause = min(pause * 1.5, LONGEST_WAIT_SECONDS)
        if found["Status"] != "SUCCEEDED":
            raise DatasetError(f"the run {run} ended {found['Status']}: {found.get('ErrorString', 'no reason given')}")
        return list(found["ResultIds"])

    def _verdict(self, day: date, results: Sequence[str]) -> Verdict:
        total, failures = 0, []
        if len(results) != len(self.rulesets):
            raise DatasetError(f"{len(results)} results came for {len(self.rulesets)} rulesets")
        for result in results:
            found = self.glue.get_data_quality_result(ResultId=result)
            if not found.get("RuleResults"):
                raise DatasetError(f"the result {result} has no rules")
            for rule in found["RuleResults"]:
                total += 1
                if rule["Result"] != "PASS":
                    failures.append(_told(rule, found.get("RulesetName", "")))
        return Verdict(day, total - len(failures), total, tuple(failures), tuple(results))


def _told(rule: Mapping[str, Any], ruleset: str) -> str:
    text = rule.get("Description") or rule.get("EvaluatedRule") or rule.get("Name", "a rule")
    metrics = ", ".join(f"{name} = {value:g}" for name, value in rule.get("EvaluatedMetrics", {}).items())
    message = " ".join(rule.get("EvaluationMessage", "").split())
    return f"{text} ({ruleset}): {message or metrics or rule['Result']}"
