"""How many of the rows a violation of the data's shape is about: one client's slip is listed, and is no finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_runtime.monitor.constraints import Constraints
from model_runtime.monitor.sketches import TableSketch

MISSING, EXTRA, TYPE = "missing_column_check", "extra_column_check", "data_type_check"
EXTRA_VALUES, MISSING_VALUES = "Extra columns", "Missing columns"
"""What is violated by rows with another number of values than the model has features."""


@dataclass(frozen=True, kw_only=True)
class ConcernedRows:
    """Rows of a window: those in `table`, and by their width those that don't fit into it."""

    constraints: Constraints | None
    table: TableSketch
    features: int
    widths: Mapping[int, int] = field(default_factory=dict)

    def share(self, violation: Mapping[str, Any]) -> float:
        """The share of all rows, from 0 to 1; 1 where the violation isn't one of single rows."""
        name, check = violation["feature_name"], violation["constraint_check_type"]
        all_rows = self.table.rows + sum(self.widths.values())
        if not all_rows:
            return 1.0
        if name == EXTRA_VALUES:
            return sum(rows for width, rows in self.widths.items() if width > self.features) / all_rows
        if name == MISSING_VALUES:
            return sum(rows for width, rows in self.widths.items() if width < self.features) / all_rows
        column = self.table.columns.get(name)
        if column is None or check not in (EXTRA, TYPE):
            return 1.0
        if check == EXTRA:
            return column.present / all_rows
        asked = self.constraints.features.get(name) if self.constraints else None
        return 1.0 if asked is None else (1 - column.share_of_type(asked.type)) * column.present / all_rows
