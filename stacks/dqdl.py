"""A light check of data quality rules (DQDL), so that a misspelt one is told at synth and not by the first day.

The Glue service parses a rule when it runs; what is checked here is what a typo breaks: the rule's type, quotes and
brackets that don't close, and names of columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from .nearest import nearest

RULE_TYPES = (
    "ColumnCorrelation",
    "ColumnCount",
    "ColumnDataType",
    "ColumnExists",
    "ColumnLength",
    "ColumnNamesMatchPattern",
    "ColumnValues",
    "Completeness",
    "CustomSql",
    "DataFreshness",
    "DistinctValuesCount",
    "Entropy",
    "IsComplete",
    "IsPrimaryKey",
    "IsUnique",
    "Mean",
    "ReferentialIntegrity",
    "RowCount",
    "StandardDeviation",
    "Sum",
    "UniqueValueRatio",
    "Uniqueness",
)
"""The types of rules that look at one day of a table, alone or beside a reference table."""

_WITHOUT_COLUMNS = {"ColumnCount", "ColumnNamesMatchPattern", "CustomSql", "RowCount"}
_LEADING_NAMES = re.compile(r'(\s*"[^"]*")+')  # later texts are values, as in `in ["EWR", "JFK"]`
_CLOSING = {")": "(", "]": "["}


def check_rule(rule: str, columns: Collection[str], references: Collection[str] = ()) -> str | None:
    """What is wrong with a rule: its type, open quotes or brackets, an unknown column; None when nothing is.

    `references` are the reference tables that ReferentialIntegrity may look at, as `"route" "routes.name"`.
    """
    pieces = rule.split('"')
    if len(pieces) % 2 == 0:
        return f"{rule!r} has a quote that doesn't close"
    open_bracket = _unbalanced(" ".join(pieces[::2]))
    if open_bracket:
        return f"{rule!r} has a {open_bracket!r} without its other half"
    if rule.startswith("("):
        return _check_composite(rule, columns, references)
    kind, _, rest = rule.partition(" ")
    if kind not in RULE_TYPES:
        return f"{rule!r} must start with a type of rule, as RowCount{nearest(kind, RULE_TYPES)}"
    if re.search(r"([<>=]|\b(between|in|and|matches|threshold|not))$", rule.rstrip()):
        return f"{rule!r} ends before its value"
    if kind in _WITHOUT_COLUMNS:
        return None
    named = _LEADING_NAMES.match(rest)
    names = re.findall(r'"([^"]*)"', named[0]) if named else []
    if not names:
        return f'{rule!r} must name its column in double quotes, as {kind} "distance"'
    if kind == "ReferentialIntegrity":
        names, *others = names
        names = [each.strip() for each in names.split(",")]
        for other in others:
            table = other.partition(".")[0]
            if table not in references:
                return f"{rule!r}: {table!r} is no reference table of the dataset{nearest(table, references)}"
    unknown = next((name for name in names if name not in columns), None)
    if unknown is None:
        return None
    return f"{rule!r}: {unknown!r} is no column of the prepared table{nearest(unknown, columns)}"


def referenced(rules: Iterable[str], references: Collection[str]) -> list[str]:
    """The reference tables that rules look at, in their order."""
    found = [match for rule in rules for match in re.findall(r'ReferentialIntegrity\s+"[^"]*"\s+"(\w+)\.', rule)]
    return [table for table in references if table in found]


def _check_composite(rule: str, columns: Collection[str], references: Collection[str]) -> str | None:
    """`(rule) and (rule) or (rule)`, nested as deep as wanted."""
    start, depth, between = 0, 0, ""
    for index, character in enumerate(_without_texts(rule)):
        if character == "(":
            start, depth = (index + 1 if depth == 0 else start), depth + 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                problem = check_rule(rule[start:index].strip(), columns, references)
                if problem:
                    return problem
        elif depth == 0:
            between += character
    if not set(between.split()) <= {"and", "or"}:
        return f"{rule!r} must join rules in parentheses by and, or"
    return None


def _without_texts(rule: str) -> str:
    """The rule with what stands in quotes blanked, letter by letter."""
    return re.sub(r'"[^"]*"', lambda found: " " * len(found[0]), rule)


def _unbalanced(text: str) -> str | None:
    opened: list[str] = []
    for character in text:
        if character in _CLOSING.values():
            opened.append(character)
        elif character in _CLOSING and (not opened or opened.pop() != _CLOSING[character]):
            return character
    return opened[-1] if opened else None
