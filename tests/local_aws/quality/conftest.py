"""Small tables, and one Spark process that measures them for all tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from local_aws.glue.quality.checks import judge, measures_of
from local_aws.glue.quality.evaluator_process import EvaluatorProcess
from local_aws.glue.quality.measures import Measured
from local_aws.glue.quality.outcomes import Outcome
from local_aws.glue.quality.parser import parse_ruleset
from local_aws.service import LocalContext


@dataclass
class Tables:
    """Writes tables to a folder, and evaluates rules on them. A table is a query of DuckDB."""

    process: EvaluatorProcess
    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def unit(self, *queries: str, values: Sequence[str] = (), parent: Path | None = None) -> dict[str, Any]:
        """Write the rows of a query as the Parquet file of a partition; of several queries, a file each."""
        parent = parent or self.folder / str(next(self.numbers))
        folder = parent / f"dq_unit={len(list(parent.glob('*'))) if parent.exists() else 0}"
        folder.mkdir(parents=True)
        for number, query in enumerate(queries):
            duckdb.sql(f"COPY ({query}) TO '{folder}/{number}.parquet'")
        return {"folder": str(folder), "values": list(values)}

    def csv_unit(self, content: str) -> dict[str, Any]:
        folder = self.folder / str(next(self.numbers)) / "dq_unit=0"
        folder.mkdir(parents=True)
        (folder / "rows.csv").write_text(content)
        return {"folder": str(folder), "values": []}

    def plan(
        self, units: list[dict[str, Any]], runs: dict[str, list[int]], rules: str, **more: Any
    ) -> tuple[dict[str, Any], Callable[[dict[str, Any]], Measured]]:
        """Return a plan for the evaluator, and what reads its answer for a run."""
        measures = measures_of(parse_ruleset(rules))
        table = {
            "format": "parquet",
            "columns": [],
            "keys": [],
            "csv": {},
            "references": {},
            "units": units,
            "runs": runs,
            "measures": {str(number): measure.as_json() for number, measure in enumerate(measures)},
        } | more

        def read(answer: dict[str, Any]) -> Measured:
            values = {measures[int(key)]: value for key, value in answer["values"].items()}
            errors = {measures[int(key)]: error for key, error in answer["errors"].items()}
            return Measured(answer["columns"], values, errors)

        return table, read

    def evaluate_runs(
        self, units: list[dict[str, Any]], runs: dict[str, list[int]], *rules: str, **more: Any
    ) -> dict[str, list[Outcome]]:
        ruleset = f"Rules = [{', '.join(rules)}]"
        plan, read = self.plan(units, runs, ruleset, **more)
        answer = self.process.measure([plan], lambda: False)
        assert answer is not None
        return {run: [judge(rule, read(answer[run])) for rule in parse_ruleset(ruleset)] for run in runs}

    def evaluate(self, query: str, *rules: str, **more: Any) -> list[Outcome]:
        """Return the ends of rules on the rows of a query."""
        return self.evaluate_runs([self.unit(query)], {"run": [0]}, *rules, **more)["run"]


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    state = tmp_path_factory.mktemp("state")
    process = EvaluatorProcess(LocalContext("http://127.0.0.1:9", state), idle_seconds=120)
    yield Tables(process, tmp_path_factory.mktemp("tables"))
    process.stop()
