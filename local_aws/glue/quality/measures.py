"""What has to be measured of a data set to judge a rule, in Spark SQL.

Measures are values: two rules that need the same number share it, and so do all runs of one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from local_aws.glue.quality.rules import Rule

ColumnKind = Literal["any", "number", "string"]


@dataclass(frozen=True)
class Measure:
    """A number (or a few, by name) of the rows of one run.

    `kind` is `aggregate` (`sql` is an aggregate expression; `empty` its value when there are no rows), `groups` (of
    the groups of equal values in `columns`: `rows`, `groups`, and `single`, those of one row) or `reference` (`rows`
    and `found`, those whose `columns` are among `other_columns` of the data set `alias`).
    """

    kind: Literal["aggregate", "groups", "reference"]
    columns: tuple[str, ...] = ()
    column_kind: ColumnKind = "any"
    where: str | None = None
    sql: str = ""
    empty: int | None = None
    alias: str = ""
    other_columns: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the measure as the evaluator reads it."""
        return asdict(self)


class NotMeasuredError(Exception):
    """A measure that a run has no value for; the message is the rule's reason to fail."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one run: `columns` are its columns with their Spark types, in order."""

    columns: Mapping[str, str]
    values: Mapping[Measure, Any]
    errors: Mapping[Measure, str]

    def number(self, measure: Measure) -> float | None:
        """Return the value of an aggregate, None when no row had a value; NotMeasuredError if it has none at all."""
        return None if self._value(measure) is None else float(self._value(measure))

    def parts(self, measure: Measure) -> dict[str, int]:
        """Return the numbers of a measure that has several."""
        return dict(self._value(measure))

    def _value(self, measure: Measure) -> Any:
        if measure in self.errors:
            raise NotMeasuredError(self.errors[measure])
        return self.values[measure]


def row_count(where: str | None) -> Measure:
    """Measure the number of rows."""
    return Measure("aggregate", where=where, sql="count(1)", empty=0)


def non_null(column: str, where: str | None) -> Measure:
    """Measure the number of rows that have a value in the column."""
    return Measure("aggregate", (column,), where=where, sql=f"count({name(column)})", empty=0)


def statistic(function: str, column: str, where: str | None) -> Measure:
    """Measure an aggregate function of a column of numbers."""
    sql = f"{function}({name(column)})"
    return Measure("aggregate", (column,), "number", where, sql)


def compliance(column: str, predicate: str, where: str | None, kind: ColumnKind = "any") -> Measure:
    """Measure the number of rows for which a predicate on the column is true."""
    return Measure("aggregate", (column,), kind, where, f"count_if({predicate})", empty=0)


def groups(rule: Rule) -> Measure:
    """Measure the groups of equal values in the rule's columns."""
    return Measure("groups", rule.parameters, where=rule.where)


def name(column: str) -> str:
    """Return a column's name as Spark SQL quotes it."""
    return "`" + column.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return a text as Spark SQL quotes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
