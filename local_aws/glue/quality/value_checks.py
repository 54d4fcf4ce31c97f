"""Rules on each value of a column: ColumnValues, ColumnDataType and DataFreshness."""

from __future__ import annotations

from local_aws.glue.quality.column_checks import completeness
from local_aws.glue.quality.measures import (
    ColumnKind,
    Measure,
    Measured,
    compliance,
    literal,
    name,
    non_null,
    row_count,
    statistic,
)
from local_aws.glue.quality.outcomes import Outcome, empty, judged, meets, unmet
from local_aws.glue.quality.rules import Condition, Date, Duration, Keyword, Number, Rule, Text

# of conditions on numbers that are judged by extremes: which ones they bind
_EXTREMES = {
    ">": ("Minimum",),
    ">=": ("Minimum",),
    "<": ("Maximum",),
    "<=": ("Maximum",),
    "=": ("Minimum", "Maximum"),
    "between": ("Minimum", "Maximum"),
}
_KEYWORDS = {
    Keyword.NULL: "{0} IS NULL",
    Keyword.EMPTY: "{0} = ''",
    Keyword.WHITESPACES_ONLY: "(trim({0}) = '' AND length({0}) > 0)",
}


class ColumnValues:
    """ColumnValues "x" between 1 and 7, with a threshold or without.

    Rows without a value fail, but for conditions with != and not in, and those that name NULL. A condition on numbers
    without a threshold is judged by the column's extremes, and shows them; all others by the share of rows that comply.
    """

    def measures(self, rule: Rule) -> list[Measure]:
        column, condition = rule.parameters[0], _condition(rule)
        if self._by_extremes(rule):
            return [row_count(rule.where), non_null(column, rule.where), *_extremes(rule).values()]
        return [row_count(rule.where), compliance(column, predicate(column, condition), rule.where, _kind(condition))]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        if self._by_extremes(rule):
            return self._judge_extremes(rule, measured)
        column = rule.parameters[0]
        share = _share(self.measures(rule)[1], rule.where, measured)
        if share is None:
            return empty("Compliance", column)
        return judged(share, rule.threshold, {f"Column.{column}.ColumnValues.Compliance": share})

    def _judge_extremes(self, rule: Rule, measured: Measured) -> Outcome:
        column, condition = rule.parameters[0], _condition(rule)
        values = {label: measured.number(measure) for label, measure in _extremes(rule).items()}
        share = completeness(column, rule.where, measured)
        metrics = {f"Column.{column}.{label}": value for label, value in values.items() if value is not None}
        if share is None or len(metrics) < len(values):
            return empty(next(iter(values)), column)
        outside = [value for value in metrics.values() if not _within(value, condition)]
        reasons = [unmet(value) for value in dict.fromkeys(outside)] + ([unmet(None)] if share < 1 else [])
        return Outcome(not reasons, "\n".join(reasons) or None, metrics)

    def _by_extremes(self, rule: Rule) -> bool:
        condition = _condition(rule)
        return condition.kind == "number" and condition.operator in _EXTREMES and rule.threshold is None


class ColumnDataType:
    """ColumnDataType "x" = "INTEGER": the share of rows whose value can be cast to the type."""

    def measures(self, rule: Rule) -> list[Measure]:
        condition, column = _condition(rule), rule.parameters[0]
        wanted = str(getattr(condition.operands[0], "value", "")).upper().replace("LONG", "BIGINT")
        castable = f"CAST({name(column)} AS {wanted}) IS NOT NULL"
        return [row_count(rule.where), compliance(column, _negated(castable, condition), rule.where)]

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        share = _share(self.measures(rule)[1], rule.where, measured)
        if share is None:
            return Outcome(True)
        return judged(share, rule.threshold, {f"Column.{rule.parameters[0]}.ColumnDataType.Compliance": share})


class DataFreshness:
    """DataFreshness "x" <= 24 hours: every value is as old as the condition says."""

    def measures(self, rule: Rule) -> list[Measure]:
        column, condition = rule.parameters[0], _condition(rule)
        seconds = f"(unix_timestamp(current_timestamp()) - unix_timestamp(CAST({name(column)} AS TIMESTAMP)))"
        hours = [f"{operand.hours!r}D" if isinstance(operand, Duration) else "NULL" for operand in condition.operands]
        return [row_count(rule.where), compliance(column, _compared(f"round({seconds} / 3600, 2)", condition, hours),
                                                  rule.where)]  # fmt: skip

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        share = _share(self.measures(rule)[1], rule.where, measured)
        if share is None:
            return Outcome(True)
        reason = None if share == 1 else f"{share * 100:.2f} % of rows passed the threshold"
        return Outcome(share == 1, reason, {f"Column.{rule.parameters[0]}.DataFreshness.Compliance": share})


def predicate(column: str, condition: Condition) -> str:
    """Return the condition on a column's values as SQL that is true for the rows that comply."""
    quoted = name(column)
    if condition.operator.endswith("matches"):
        pattern = str(getattr(condition.operands[0], "value", ""))
        return _negated(f"{quoted} RLIKE {literal(f'^(?:{pattern})$')}", condition)
    value = f"to_date({quoted})" if condition.kind == "date" else quoted
    if condition.operator not in ("=", "!=", "in", "not in"):
        return _compared(value, condition, [_sql(operand) for operand in condition.operands])
    keywords = [operand for operand in condition.operands if isinstance(operand, Keyword)]
    constants = [_sql(operand) for operand in condition.operands if not isinstance(operand, Keyword)]
    choices = [_KEYWORDS[keyword].format(quoted) for keyword in keywords]
    if constants:
        choices.append(f"{value} IN ({', '.join(constants)})")
    matching = f"coalesce({' OR '.join(choices)}, false)"
    return f"NOT {matching}" if condition.operator in ("!=", "not in") else matching


def _compared(value: str, condition: Condition, operands: list[str]) -> str:
    operator = condition.operator
    if operator.endswith("between"):
        return _negated(f"({value} > {operands[0]} AND {value} < {operands[1]})", condition)
    if operator.endswith("in"):
        return _negated(f"{value} IN ({', '.join(operands)})", condition)
    return f"{value} {operator} {operands[0]}"


def _negated(sql: str, condition: Condition) -> str:
    return f"NOT {sql}" if condition.operator.startswith("not ") or condition.operator == "!=" else sql


def _sql(operand: object) -> str:
    if isinstance(operand, Number):
        return f"{operand.value!r}D"
    if isinstance(operand, Text):
        return literal(operand.value)
    if isinstance(operand, Date):
        if operand.day is not None:
            return f"DATE'{operand.day}'"
        if operand.offset is None:
            return "current_date()"
        moved = f"INTERVAL '{operand.offset.amount}' {operand.offset.unit.removesuffix('s').upper()}"
        return f"to_date(current_timestamp() {operand.sign} {moved})"
    raise TypeError(f"{operand!r} has no form in SQL")


def _extremes(rule: Rule) -> dict[str, Measure]:
    functions = {"Minimum": "min", "Maximum": "max"}
    column, condition = rule.parameters[0], _condition(rule)
    return {label: statistic(functions[label], column, rule.where) for label in _EXTREMES[condition.operator]}


def _within(value: float, condition: Condition) -> bool:
    # values are compared exactly, unlike metrics
    operand = condition.operands[0]
    if condition.operator == "=" and isinstance(operand, Number):
        return value == operand.value
    return meets(value, condition)


def _share(measure: Measure, where: str | None, measured: Measured) -> float | None:
    rows, compliant = measured.number(row_count(where)), measured.number(measure)
    return compliant / rows if rows and compliant is not None else None


def _condition(rule: Rule) -> Condition:
    if rule.condition is None:
        raise ValueError(f"{rule} has no condition")
    return rule.condition


def _kind(condition: Condition) -> ColumnKind:
    return "string" if condition.operator.endswith("matches") else "any"
