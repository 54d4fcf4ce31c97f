"""Rows that hold nothing but plain numbers, read without a look at each field by itself.

Most requests are such. What isn't, or isn't right, gives None here and is read by `RowReader` once more, which tells
the row and the field: so there is one place that says what is accepted, and this one accepts less. CSV of numbers is
read as the list of JSON that it nearly is, since nothing reads numbers faster than orjson.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from model_runtime.artifact import Matrix

LARGEST = float(np.finfo(np.float32).max)
_PLAIN = b"0123456789+-.,eE \n"
# shorter text can't be a number beyond those of 64 bits, unless it has an exponent
_LONGEST_FINITE = 308
_NUMBERS = {int, float}
_NUMBERS_AND_NULL = {int, float, type(None)}


class QuickRows:
    """Reads bodies for a model of these features, in their order."""

    def __init__(self, features: Sequence[str]) -> None:
        self._columns = len(features)
        self._commas = self._columns - 1
        self._pack = struct.Struct(f"={self._columns}f").pack
        # of one name itemgetter gives the value itself and not a list of one
        self._members: Callable[[Mapping[str, Any]], Sequence[Any]] = (
            itemgetter(*features) if self._columns > 1 else lambda row: (row[features[0]],)
        )

    def csv(self, body: bytes) -> Matrix | None:
        """Rows of CSV; None when anything but plain numbers and empty fields is there."""
        if b"\r" in body:
            body = body.replace(b"\r\n", b"\n")
        if body.translate(None, _PLAIN):
            return None
        if body.endswith(b"\n"):
            body = body[:-1]
        try:
            return self._one_row(body) if b"\n" not in body else self._more_rows(body)
        except (ValueError, OverflowError, struct.error):
            return None

    def _one_row(self, body: bytes) -> Matrix | None:
        values = _list(body)
        if len(values) != self._columns or not body:
            return None
        if None in values:
            values = [math.nan if each is None else each for each in values]
        unsure = len(body) > _LONGEST_FINITE or b"e" in body or b"E" in body
        if unsure and (math.inf in values or -math.inf in values):
            return None
        return np.frombuffer(self._pack(*values), dtype=np.float32).reshape(1, -1)  # raises when one is too large

    def _more_rows(self, body: bytes) -> Matrix | None:
        lines = body.split(b"\n")
        if not all(lines) or any(line.count(b",") != self._commas for line in lines):
            return None
        values = np.array(_list(body.replace(b"\n", b",")), dtype=np.float64)
        return _matrix(values.reshape(len(lines), self._columns))

    def json(self, body: bytes) -> Matrix | None:
        """Rows of `{"instances": [...]}`, as `rows` takes them."""
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        instances = document.get("instances") if type(document) is dict else None
        return self.rows(instances) if type(instances) is list and instances else None

    def json_lines(self, body: bytes) -> Matrix | None:
        """A row in each line, as `rows` takes them."""
        try:
            instances = [orjson.loads(line) for line in body.split(b"\n") if line.strip()]
        except orjson.JSONDecodeError:
            return None
        return self.rows(instances) if instances else None

    def rows(self, instances: Sequence[object]) -> Matrix | None:
        """Rows as lists of numbers and nulls, or as objects of them; None when there is anything else."""
        rows: list[Sequence[Any]] = []
        missing = 0
        for instance in instances:
            if type(instance) is dict:
                if len(instance) != self._columns:
                    return None
                try:
                    row = self._members(instance)
                except KeyError:
                    return None
            elif type(instance) is list and len(instance) == self._columns:
                row = instance
            else:
                return None
            types = set(map(type, row))
            if not types <= _NUMBERS:
                if not types <= _NUMBERS_AND_NULL:
                    return None
                missing += row.count(None)
            rows.append(row)
        try:
            values = np.array(rows, dtype=np.float64)
        except OverflowError:  # an integer beyond 64-bit floats
            return None
        if int(np.isnan(values).sum()) != missing:
            return None
        return _matrix(values)


def _list(fields: bytes) -> list[Any]:
    """The numbers between commas, None for nothing; raises ValueError for what is no number as JSON writes it."""
    between = b",%b," % fields
    if b",," in between:  # twice, as neighbours share a comma
        between = between.replace(b",,", b",null,").replace(b",,", b",null,")
    values: list[Any] = orjson.loads(b"[%b]" % between[1:-1])
    return values


def _matrix(values: np.ndarray[Any, np.dtype[np.float64]]) -> Matrix | None:
    if (np.abs(values) > LARGEST).any():
        return None
    return values.astype(np.float32)
