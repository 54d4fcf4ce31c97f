"""A light check of data quality rules (DQDL), so that a misspelt one is told at synth and not by the first day.

The Glue service parses a rule when it runs; what is checked here is what a typo breaks: the rule's type, quotes and
brackets that don't close, and names of columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection

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
    "DistinctValuesCount",
    "Entropy",
    "IsComplete",
    "IsPrimaryKey",
    "IsUnique",
    "Mean",
    "RowCount",
    "StandardDeviation",
    "Sum",
    "UniqueValueRatio",
    "Uniqueness",
)
"""The types of rules that look at one table and one day."""

_WITHOUT_COLUMNS = {"ColumnCount", "ColumnNamesMatchPattern", "CustomSql", "RowCount"}
_LEADING_NAMES = re.compile(r'(\s*"[^"]*")+')  # later texts are values, as in `in ["EWR", "JFK"]`
_CLOSING = {")": "(", "]": "["}


def check_rule(rule: str, columns: Collection[str]) -> str | None:
    """What is wrong with a rule: its type, open quotes or brackets, an unknown column; None when nothing is."""
    kind, _, rest = rule.partition(" ")
    if kind not in RULE_TYPES:
        return f"{rule!r} must start with a type of rule, as RowCount{nearest(kind, RULE_TYPES)}"
    pieces = rest.split('"')
    if len(pieces) % 2 == 0:
        return f"{rule!r} has a quote that doesn't close"
    open_bracket = _unbalanced(" ".join(pieces[::2]))
    if open_bracket:
        return f"{rule!r} has a {open_bracket!r} without its other half"
    if kind in _WITHOUT_COLUMNS:
        return None
    named = _LEADING_NAMES.match(rest)
    names = re.findall(r'"([^"]*)"', named[0]) if named else []
    if not names:
        return f'{rule!r} must name its column in double quotes, as {kind} "distance"'
    unknown = next((name for name in names if name not in columns), None)
    if unknown is None:
        return None
    return f"{rule!r}: {unknown!r} is no column of the prepared table{nearest(unknown, columns)}"


def _unbalanced(text: str) -> str | None:
    opened: list[str] = []
    for character in text:
        if character in _CLOSING.values():
            opened.append(character)
        elif character in _CLOSING and (not opened or opened.pop() != _CLOSING[character]):
            return character
    return opened[-1] if opened else None
