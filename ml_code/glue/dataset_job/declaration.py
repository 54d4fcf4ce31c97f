"""A dataset's declaration, the JSON form of its dataset.yaml: tables with typed columns, keys and limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset_job.errors import DatasetError


@dataclass(frozen=True)
class Column:
    """A column; `type` is a type of Spark's DDL. Where it is required, a row without it is bad."""

    name: str
    type: str
    required: bool = False


@dataclass(frozen=True)
class RawTable:
    """A raw CSV table.

    A daily one lands in folders `day=YYYY-MM-DD`; `day` is the SQL expression for the day that a row belongs to, and
    `days_before` how many earlier days the preparation of a day reads too. No two rows have the same `key`.
    """

    name: str
    columns: tuple[Column, ...]
    daily: bool = False
    days_before: int = 0
    day: str | None = None
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Raw tables, and the columns of the prepared one without its partition key `day`.

    `maximum_percent` is how many of a day's rows may be bad, in any of its raw tables.
    """

    name: str
    tables: Mapping[str, RawTable]
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    maximum_percent: float = 1.0

    @property
    def daily_tables(self) -> list[RawTable]:
        """The tables that land by day."""
        return [table for table in self.tables.values() if table.daily]

    @property
    def reference_tables(self) -> list[RawTable]:
        """The tables that are read whole for every day."""
        return [table for table in self.tables.values() if not table.daily]


def parse(text: str) -> Dataset:
    """Read a declaration. Raises DatasetError when it isn't one, or declares no table that lands by day."""
    try:
        declared = json.loads(text)
        tables = {name: _raw_table(name, table) for name, table in declared["tables"].items()}
        prepared = declared["prepared"]
        dataset = Dataset(
            name=declared["name"],
            tables=tables,
            columns=_columns(prepared["columns"]),
            key=tuple(prepared.get("key") or ()),
            maximum_percent=float((declared.get("quarantine") or {}).get("maximum_percent", 1)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"the dataset's declaration can't be read: {type(error).__name__}: {error}") from error
    if not dataset.daily_tables:
        raise DatasetError(f"the dataset {dataset.name!r} has no daily table: nothing would ever start its preparation")
    return dataset


def _raw_table(name: str, declared: Mapping[str, Any]) -> RawTable:
    return RawTable(
        name=name,
        columns=_columns(declared["columns"]),
        daily=bool(declared.get("daily")),
        days_before=int(declared.get("days_before") or 0),
        day=declared.get("day"),
        key=tuple(declared.get("key") or ()),
    )


def _columns(declared: Mapping[str, Any]) -> tuple[Column, ...]:
    return tuple(Column(name, str(column["type"]), bool(column.get("required"))) for name, column in declared.items())
