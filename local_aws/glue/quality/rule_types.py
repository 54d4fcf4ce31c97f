"""The types of rules that the local AWS evaluates, and the form of each."""

from __future__ import annotations

from dataclasses import dataclass

from local_aws.glue.quality.rules import Kind, Rule
from local_aws.glue.quality.tokens import DqdlError

DATA_TYPES = ("BOOLEAN", "DATE", "TIMESTAMP", "INTEGER", "DOUBLE", "FLOAT", "LONG")


@dataclass(frozen=True)
class RuleType:
    """How rules of a type are written.

    `parameters` is the least and the largest number of parameters, None for any; `conditions` the kinds of condition
    of which one must follow, none for rules without condition.
    """

    parameters: tuple[int, int | None]
    conditions: tuple[Kind, ...] = ()
    where: bool = True
    threshold: bool = False


_COLUMN, _COLUMNS = (1, 1), (1, None)
RULE_TYPES = {
    "ColumnCount": RuleType((0, 0), ("number",), where=False),
    "ColumnDataType": RuleType(_COLUMN, ("string",), threshold=True),
    "ColumnExists": RuleType(_COLUMN, where=False),
    "ColumnValues": RuleType(_COLUMN, ("number", "string", "date"), threshold=True),
    "Completeness": RuleType(_COLUMN, ("number",)),
    "DataFreshness": RuleType(_COLUMN, ("duration",)),
    "DistinctValuesCount": RuleType(_COLUMNS, ("number",)),
    "IsComplete": RuleType(_COLUMN),
    "IsPrimaryKey": RuleType(_COLUMNS),
    "IsUnique": RuleType(_COLUMNS),
    "Mean": RuleType(_COLUMN, ("number",)),
    "ReferentialIntegrity": RuleType((2, 2), ("number",), where=False),
    "RowCount": RuleType((0, 0), ("number",)),
    "StandardDeviation": RuleType(_COLUMN, ("number",)),
    "Sum": RuleType(_COLUMN, ("number",)),
    "UniqueValueRatio": RuleType(_COLUMNS, ("number",)),
    "Uniqueness": RuleType(_COLUMNS, ("number",)),
}  # fmt: skip


def check_type_known(name: str) -> None:
    """Refuse types of rules that the local AWS doesn't evaluate."""
    if name not in RULE_TYPES:
        known = ", ".join(RULE_TYPES)
        raise DqdlError(f"the local AWS has no rules of the type {name}: it evaluates {known}")


def check_form(rule: Rule) -> None:
    """Refuse a rule whose parameters, condition, filter or threshold aren't those of its type."""
    form = RULE_TYPES[rule.type]
    least, most = form.parameters
    count = len(rule.parameters)
    if count < least or (most is not None and count > most):
        wanted = str(least) if least == most else f"{least} or more"
        raise DqdlError(f"{rule.type} takes {wanted} parameters, not {count}")
    if form.conditions and rule.condition is None:
        raise DqdlError(f"{rule.type} needs a condition on a {' or '.join(form.conditions)}, such as '> 0.9'")
    if rule.condition is not None and rule.condition.kind not in form.conditions:
        wanted = f"a condition on a {' or '.join(form.conditions)}" if form.conditions else "no condition"
        raise DqdlError(f"{rule.type} takes {wanted}, not '{rule.condition}'")
    if rule.where is not None and not form.where:
        raise DqdlError(f"{rule.type} takes no where clause")
    if rule.threshold is not None and not form.threshold:
        having = ", ".join(name for name, each in RULE_TYPES.items() if each.threshold)
        raise DqdlError(f"{rule.type} takes no threshold: only {having} do")
    if rule.type == "ColumnDataType":
        _check_data_type(rule)
    if rule.type == "ReferentialIntegrity":
        reference_columns(rule)


def _check_data_type(rule: Rule) -> None:
    condition = rule.condition
    if condition is None or condition.operator not in ("=", "!="):
        raise DqdlError("ColumnDataType compares with = or !=")
    name = str(getattr(condition.operands[0], "value", ""))
    if name.upper() not in DATA_TYPES:
        raise DqdlError(f"ColumnDataType doesn't know the type {name!r}: use one of {', '.join(DATA_TYPES)}")


def reference_columns(rule: Rule) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Return the columns of a ReferentialIntegrity rule, the alias of the other data set, and its columns."""
    own = _names(rule.parameters[0])
    alias, dot, rest = rule.parameters[1].partition(".")
    other = _names(rest.removeprefix("{").removesuffix("}"))
    if not (alias and dot and other):
        raise DqdlError(
            f'ReferentialIntegrity needs "alias.{{column}}" as second parameter, not "{rule.parameters[1]}"'
        )
    if len(own) != len(other):
        raise DqdlError(f"ReferentialIntegrity compares {len(own)} columns with {len(other)} columns")
    return own, alias, other


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
