"""The names of columns that clients choose: as many of them are told apart as memory allows for.

A client that writes an id or a time as a member's name would else make a column of each request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from model_runtime.monitor.sketches import ColumnSketch, TableSketch

MOST_EXTRA = 100
"""So many names beside the model's features are told apart, in the order in which they come."""
MOST_UNKNOWN = 1_000
"""And so many where no features are known, since no baseline has been made."""
NAME_CHARACTERS = 200
OTHERS = "other columns"
"""The column that stands for all further names: 1 in the rows that have any."""


@dataclass
class ColumnNames:
    """The names that are told apart: `features`, and the first `MOST_EXTRA` others, which `extra` holds."""

    features: Sequence[str]
    extra: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look features up quickly."""
        self._features = frozenset(self.features)

    def has(self, name: str) -> bool:
        """Whether a column has its own name; one that comes is remembered while there is room."""
        if name in self._features or name in self.extra or name == OTHERS:
            return True
        most = MOST_EXTRA if self.features else MOST_UNKNOWN
        if len(self.extra) >= most or len(name) > NAME_CHARACTERS:
            return False
        self.extra[name] = None
        return True

    def bounded(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row with the names that are told apart, and a 1 for all others together."""
        if self._features.issuperset(row):
            return row
        kept = {name: value for name, value in row.items() if self.has(name)}
        return kept if len(kept) == len(row) else {**kept, OTHERS: 1.0}

    def merged(self, table: TableSketch, other: TableSketch) -> None:
        """Take `other` into `table`; of names that there is no room for only the most rows of any are known."""
        left = [name for name in other.columns if not self.has(name)]
        if left:
            columns = [other.columns.pop(name) for name in left]
            most = max(column.present for column in [*columns, other.columns.get(OTHERS, ColumnSketch())])
            together = ColumnSketch()
            together.update(pl.repeat(1.0, most, dtype=pl.Float64, eager=True))
            together.add_missing(other.rows - most)
            other.columns[OTHERS] = together
        table.merge(other)
