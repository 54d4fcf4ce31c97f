"""What each type of rule measures, and how it judges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from local_aws.glue.quality.column_checks import (
    Completeness,
    PrimaryKey,
    ReferentialIntegrity,
    RowCount,
    Schema,
    Statistic,
    Uniqueness,
)
from local_aws.glue.quality.measures import Measure, Measured, NotMeasuredError
from local_aws.glue.quality.outcomes import Outcome
from local_aws.glue.quality.rules import AnyRule, Rule, simple_rules
from local_aws.glue.quality.value_checks import ColumnDataType, ColumnValues, DataFreshness


class Check(Protocol):
    """A type of rule."""

    def measures(self, rule: Rule) -> list[Measure]:
        """Return what has to be measured to judge the rule."""

    def judge(self, rule: Rule, measured: Measured) -> Outcome:
        """Return the rule's end; NotMeasuredError when a measure has no value."""


_CHECKS: dict[str, Check] = {
    "ColumnCount": Schema(),
    "ColumnDataType": ColumnDataType(),
    "ColumnExists": Schema(),
    "ColumnValues": ColumnValues(),
    "Completeness": Completeness(),
    "DataFreshness": DataFreshness(),
    "DistinctValuesCount": Uniqueness(),
    "IsComplete": Completeness(),
    "IsPrimaryKey": PrimaryKey(),
    "IsUnique": Uniqueness(),
    "Mean": Statistic(),
    "ReferentialIntegrity": ReferentialIntegrity(),
    "RowCount": RowCount(),
    "StandardDeviation": Statistic(),
    "Sum": Statistic(),
    "UniqueValueRatio": Uniqueness(),
    "Uniqueness": Uniqueness(),
}


def measures_of(rules: Iterable[AnyRule]) -> list[Measure]:
    """Return all that has to be measured to judge the rules, each measure once."""
    needed = (
        measure for rule in rules for simple in simple_rules(rule) for measure in _CHECKS[simple.type].measures(simple)
    )
    return list(dict.fromkeys(needed))


def judge(rule: AnyRule, measured: Measured) -> Outcome:
    """Return the end of a rule; of composite ones, all reasons and metrics of their parts."""
    if isinstance(rule, Rule):
        try:
            return _CHECKS[rule.type].judge(rule, measured)
        except NotMeasuredError as error:
            return Outcome(False, str(error))
    outcomes = [judge(part, measured) for part in rule.rules]
    passed = (all if rule.operator == "and" else any)(outcome.passed for outcome in outcomes)
    reasons = [outcome.message for outcome in outcomes if outcome.message]
    metrics = {label: value for outcome in outcomes for label, value in outcome.metrics.items()}
    return Outcome(passed, None if passed else "\n".join(reasons), metrics)
