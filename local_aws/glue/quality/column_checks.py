"""Rules on a data set as a whole and on statistics of a column."""

from __future__ import annotations

from local_aws.glue.quality.measures import Measure, Measured, groups, non_null, row_count, statistic
from local_aws.glue.quality.outcomes import Outcome, empty, judged, unmet
from local_aws.glue.quality.rule_types import reference_columns
from local_aws.glue.quality.rules import Rule

_FUNCTIONS = {"Mean": "avg", "StandardDeviation": "stddev_pop", "Sum": "sum"}


class RowCount:
    """RowCount > 100"""

    def measures(self, rule: Rule) -> list[Measure]:
        return [row_count(rule.where)]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        rows = measured.number(row_count(rule.where)) or 0.0
        return judged(rows, rule.condition, {"Dataset.*.RowCount": rows})


class Schema:
    """ColumnCount = 10, ColumnExists "x" """

    def measures(self, rule: Rule) -> list[Measure]:  # noqa: ARG002  # one signature for all checks
        return []

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        if rule.type == "ColumnExists":
            exists = rule.parameters[0].lower() in {column.lower() for column in measured.columns}
            metric = {f"Dataset.{rule.parameters[0]}.ColumnExists": float(exists)}
            return Outcome(exists, None if exists else unmet(0.0), metric)
        count = float(len(measured.columns))
        outcome = judged(count, rule.condition, {"Dataset.*.ColumnCount": count})
        reason = None if outcome.passed else f"Dataset has {count} columns and failed to satisfy constraint"
        return Outcome(outcome.passed, reason, outcome.metrics)


class Completeness:
    """Completeness "x" > 0.9, IsComplete "x": the share of rows that have a value."""

    def measures(self, rule: Rule) -> list[Measure]:
        return [row_count(rule.where), non_null(rule.parameters[0], rule.where)]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        column = rule.parameters[0]
        share = completeness(column, rule.where, measured)
        if share is None:
            return empty("Completeness", column)
        return judged(share, rule.condition, {f"Column.{column}.Completeness": share})


class Statistic:
    """Mean "x" > 3, and the like; rows without a value don't count."""

    def measures(self, rule: Rule) -> list[Measure]:
        return [self._measure(rule)]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        column = rule.parameters[0]
        value = measured.number(self._measure(rule))
        if value is None:
            return empty(rule.type, column)
        return judged(value, rule.condition, {f"Column.{column}.{rule.type}": value})

    def _measure(self, rule: Rule) -> Measure:
        return statistic(_FUNCTIONS[rule.type], rule.parameters[0], rule.where)


class Uniqueness:
    """Uniqueness "x" "y" > 0.9, IsUnique, UniqueValueRatio, DistinctValuesCount.

    As in Deequ, rows without a value in any of the columns don't count; uniqueness is the share of rows whose value
    no other row has, and UniqueValueRatio the share of values that occur once.
    """

    def measures(self, rule: Rule) -> list[Measure]:
        return [groups(rule)]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        found = measured.parts(groups(rule))
        metric = "Uniqueness" if rule.type == "IsUnique" else rule.type
        label = f"{_entity(rule.parameters)}.{metric}"
        if rule.type == "DistinctValuesCount":
            return judged(float(found["groups"]), rule.condition, {label: float(found["groups"])})
        total = found["groups"] if rule.type == "UniqueValueRatio" else found["rows"]
        if not total:
            return empty(metric, f"List({', '.join(rule.parameters)})")
        value = found["single"] / total
        return judged(value, rule.condition, {label: value})


class PrimaryKey:
    """IsPrimaryKey "x" "y": each combination occurs once, and no column lacks a value."""

    def measures(self, rule: Rule) -> list[Measure]:
        columns = [non_null(column, rule.where) for column in rule.parameters]
        return [groups(rule), row_count(rule.where), *columns]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        outcomes = [Uniqueness().judge(Rule("IsUnique", rule.parameters, where=rule.where), measured)]
        for column in rule.parameters:
            outcomes.append(Completeness().judge(Rule("IsComplete", (column,), where=rule.where), measured))
        reasons = [outcome.message for outcome in outcomes if outcome.message]
        metrics = {label: value for outcome in outcomes for label, value in outcome.metrics.items()}
        return Outcome(not reasons, "\n".join(reasons) or None, metrics)


class ReferentialIntegrity:
    """ReferentialIntegrity "x" "other.{y}" = 1.0: the share of rows whose value the other data set has."""

    def measures(self, rule: Rule) -> list[Measure]:
        own, alias, other = reference_columns(rule)
        return [Measure("reference", own, alias=alias, other_columns=other)]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        _, alias, _ = reference_columns(rule)
        found = measured.parts(self.measures(rule)[0])
        if not found["rows"]:
            return empty("ReferentialIntegrity", rule.parameters[0])
        share = found["found"] / found["rows"]
        return judged(share, rule.condition, {f"Column.{alias}.ReferentialIntegrity": share})


def completeness(column: str, where: str | None, measured: Measured) -> float | None:
    """Return the share of rows that have a value, None when there are no rows."""
    rows, complete = measured.number(row_count(where)), measured.number(non_null(column, where))
    return complete / rows if rows and complete is not None else None


def _entity(columns: tuple[str, ...]) -> str:
    return f"Column.{columns[0]}" if len(columns) == 1 else f"Multicolumn.{','.join(columns)}"
