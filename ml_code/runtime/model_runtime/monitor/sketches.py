"""Columns and tables as sketches: one pass, bounded memory, mergeable, so that any number of workers split the rows.

The types of values follow Deequ's rules, with three differences, all because clients of an endpoint write the same
number in different ways: a number is integral when it is whole (3.0 as well as 3), `.5` and `5.` are numbers, and an
empty text or `nan` is a missing value. A number that isn't finite is no number but a text.
Source: https://github.com/awslabs/deequ/blob/master/src/main/scala/com/amazon/deequ/analyzers/catalyst/StatefulDataType.scala
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import polars as pl

from model_runtime.monitor.number_sketch import NumberSketch
from model_runtime.monitor.text_sketch import LONGEST, TextSketch

Type = Literal["Integral", "Fractional", "String", "Unknown"]

_NUMBER = r"^[-+]? ?([0-9]+\.?[0-9]*|\.[0-9]+)([Ee][-+]?[0-9]+)?$"
_BOOLEAN = r"^(true|false)$"
_MISSING = ("", "nan", "NaN")


class ColumnSketch:
    """A column seen so far: `rows`, how many of them are `missing`, and what types the others have."""

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.integral = 0
        self.fractional = 0
        self.boolean = 0
        self.numbers = NumberSketch()
        self.texts = TextSketch()

    @property
    def present(self) -> int:
        """How many rows have a value."""
        return self.rows - self.missing

    @property
    def strings(self) -> int:
        """How many rows have a text that is neither a number nor a boolean."""
        return self.texts.count - self.boolean

    @property
    def type(self) -> Type:
        """What the values are together: String with any text; "true" is one, as Model Monitor has no such type."""
        if not self.present:
            return "Unknown"
        if self.texts.count:
            return "String"
        return "Fractional" if self.fractional else "Integral"

    def share_of_type(self, expected: str) -> float:
        """The share of the values that have a type; whole numbers are fractional ones too. 1 without a value."""
        numbers = self.integral + self.fractional
        having = {"Integral": self.integral, "Fractional": numbers}.get(expected, self.present)
        return having / self.present if self.present else 1.0

    def update(self, values: pl.Series) -> None:
        """Take rows in: numbers, booleans, which are 0 and 1, or texts, which are looked at one by one."""
        self.rows += len(values)
        known = values.drop_nulls()
        if values.dtype == pl.Boolean:
            # as models and their clients see them
            self._add_numbers(known.cast(pl.UInt8))
        elif values.dtype.is_numeric():
            known = known.cast(pl.Float64) if values.dtype.is_decimal() else known
            known = known.drop_nans() if known.dtype.is_float() else known
            self._add_numbers(known)
        else:
            known = _without_missing(known)
            numeric = known.str.contains(_NUMBER)
            texts = known.filter(~numeric)
            self.boolean += int(texts.str.contains(_BOOLEAN).sum())
            self.texts.update(texts)
            self._add_numbers(known.filter(numeric).str.replace(" ", "", literal=True).cast(pl.Float64))
        self.missing = self.rows - self.numbers.count - self.texts.count

    def add_missing(self, rows: int) -> None:
        """Take in rows that don't have the column."""
        self.rows += rows
        self.missing += rows

    def merge(self, other: ColumnSketch) -> None:
        """Take in what another has seen."""
        for name in ("rows", "missing", "integral", "fractional", "boolean"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.numbers.merge(other.numbers)
        self.texts.merge(other.texts)

    def _add_numbers(self, numbers: pl.Series) -> None:
        if numbers.dtype.is_float():
            finite = numbers.is_finite()
            if not finite.all():
                self.texts.update(numbers.filter(~finite).cast(pl.String))
                numbers = numbers.filter(finite)
            whole = int((numbers == numbers.floor()).sum())
        else:
            whole = len(numbers)
        self.integral += whole
        self.fractional += len(numbers) - whole
        self.numbers.update(numbers)

    def counts(self) -> dict[str, int] | None:
        """How often each value is there, by its text; None when not each was counted."""
        if not (self.numbers.exact and self.texts.exact):
            return None
        return self.frequent()

    def counts_of(self, names: list[str]) -> tuple[list[int], int]:
        """How often each of these values is there, and how many rows have any other."""
        everything = {**self._numbers_counted(), **self.texts.counts()}
        found = [everything.get(name, 0) for name in names]
        return found, self.present - sum(found)

    def frequent(self) -> dict[str, int]:
        """How often values are there that are counted one by one: all of them, or the frequent ones."""
        numbers = self.numbers.counted()
        return {**(_counts_by_name(*numbers) if numbers else {}), **self.texts.counts()}

    def _numbers_counted(self) -> dict[str, int]:
        """How often each number is there, by ranks alone where single ones aren't counted."""
        numbers = self.numbers.counted()
        if numbers is not None:
            return _counts_by_name(*numbers)
        distribution = self.numbers.distribution()
        return _counts_by_name(distribution.values, distribution.weights) if distribution is not None else {}

    def to_json(self) -> dict[str, Any]:
        """All of it, for `from_json`."""
        counts = {name: getattr(self, name) for name in ("rows", "missing", "integral", "fractional", "boolean")}
        return {**counts, "numbers": self.numbers.to_json(), "texts": self.texts.to_json()}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> ColumnSketch:
        """What `to_json` wrote."""
        found = cls()
        for name in ("rows", "missing", "integral", "fractional", "boolean"):
            setattr(found, name, said[name])
        found.numbers, found.texts = NumberSketch.from_json(said["numbers"]), TextSketch.from_json(said["texts"])
        return found

    def to_bytes(self) -> bytes:
        """All of it, for another process."""
        return json.dumps(self.to_json()).encode()

    @classmethod
    def from_bytes(cls, written: bytes) -> ColumnSketch:
        """What `to_bytes` wrote."""
        return cls.from_json(json.loads(written))


class TableSketch:
    """A table seen so far: the number of its rows, and its columns by name. Each column has as many rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.columns: dict[str, ColumnSketch] = {}

    def update(self, rows: pl.DataFrame) -> None:
        """Take rows in; columns that some batches have and others don't miss a value in these."""
        for column in rows.iter_columns():
            self._column(column.name).update(column)
        self._level(self.rows + rows.height)

    def merge(self, other: TableSketch) -> None:
        """Take in what another has seen."""
        for name, column in other.columns.items():
            self._column(name).merge(column)
        self._level(self.rows + other.rows)

    def _column(self, name: str) -> ColumnSketch:
        if name not in self.columns:
            self.columns[name] = ColumnSketch()
            self.columns[name].add_missing(self.rows)
        return self.columns[name]

    def _level(self, rows: int) -> None:
        self.rows = rows
        for column in self.columns.values():
            column.add_missing(rows - column.rows)

    def to_bytes(self) -> bytes:
        """All of it, for another process."""
        columns = {name: column.to_json() for name, column in self.columns.items()}
        return json.dumps({"rows": self.rows, "columns": columns}).encode()

    @classmethod
    def from_bytes(cls, written: bytes) -> TableSketch:
        """What `to_bytes` wrote."""
        said = json.loads(written)
        found = cls()
        found.rows = said["rows"]
        found.columns = {name: ColumnSketch.from_json(each) for name, each in said["columns"].items()}
        return found


def number_text(value: float) -> str:
    """A number as the name of a category: 3, not 3.0."""
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(value)


def _counts_by_name(values: Iterable[float], counts: Iterable[float]) -> dict[str, int]:
    return {number_text(float(value)): int(count) for value, count in zip(values, counts, strict=True)}


def category_names(values: pl.Series) -> pl.Series:
    """Texts by the names that `counts` has for them, null where a value is missing."""
    texts = _as_text(values).str.strip_chars()
    known = _without_missing(texts).unique()
    numeric = known.str.contains(_NUMBER)
    numbers = known.filter(numeric)
    singles = numbers.str.replace(" ", "", literal=True).cast(pl.Float64).cast(pl.Float32)
    names = {text: number_text(number) for text, number in zip(numbers, singles, strict=True)}
    names |= {text: text[:LONGEST] for text in known.filter(~numeric)}
    return texts.replace_strict(names, default=None, return_dtype=pl.String)


def _without_missing(values: pl.Series) -> pl.Series:
    texts = _as_text(values).str.strip_chars().drop_nulls()
    return texts.filter(~texts.is_in(_MISSING))


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype.is_nested() or values.dtype == pl.Object:
        return pl.Series(values.name, [str(each) for each in values.to_list()], dtype=pl.String)
    return values.cast(pl.String)
