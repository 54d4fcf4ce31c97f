"""Captured requests and answers as one table, as the analyzer of Model Monitor takes them.

Columns of CSV have no names: those of the answer come first, then those of the request, and they get the names of the
baseline's features by position, as AWS's analyzer does with `output_columns_position` START.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from local_aws.sagemaker.checks.tables import Problem

INTEGRAL = re.compile(r"(-|\+)? ?\d+")
FRACTIONAL = re.compile(r"(-|\+)? ?\d+((\.\d+)|((?:\.\d+)?[Ee][-+]?\d+))")

Row = Mapping[str, Any]


def read_captured(folder: Path, features: Sequence[str] = ()) -> pl.DataFrame:
    """Return the rows of all captured lines below a folder, as text; Problem when there is none, or another form."""
    rows = [row for path in sorted(folder.rglob("*.jsonl")) for row in _rows(path)]
    if not rows:
        raise Problem("there are no captured rows")
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in names}, schema=dict.fromkeys(names, pl.String)
    )
    positions = [name for name in names if re.fullmatch(r"[io]\d+", name)]
    if positions != names:
        return table
    # outputs first; a baseline that knows the inputs alone says nothing of them
    ordered = sorted(names, key=lambda name: (name[0] == "i", int(name[1:])))
    inputs = [name for name in ordered if name[0] == "i"]
    kept = inputs if len(features) == len(inputs) else ordered
    given = features if len(features) == len(kept) else [f"_c{number}" for number in range(len(kept))]
    return table.select(kept).rename(dict(zip(kept, given, strict=True)))


def typed(column: pl.Series) -> pl.Series:
    """Return a column of text as numbers, when all of its values are."""
    values = column.drop_nulls().to_list()
    if values and all(INTEGRAL.fullmatch(value) for value in values):
        return column.str.replace_all(" ", "").cast(pl.Int64, strict=False)
    if values and all(INTEGRAL.fullmatch(value) or FRACTIONAL.fullmatch(value) for value in values):
        return column.str.replace_all(" ", "").cast(pl.Float64)
    return column


def _rows(path: Path) -> Iterator[Row]:
    for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            captured = json.loads(text)["captureData"]
        except (ValueError, KeyError, TypeError):
            print(f"{path.name}, line {number}: not a captured request", flush=True)
            continue
        sides = [_side(captured[name], letter) for name, letter in (("endpointInput", "i"), ("endpointOutput", "o"))
                 if name in captured]  # fmt: skip
        if len(sides) == 2 and len(sides[0]) == len(sides[1]):
            yield from ({**inputs, **outputs} for inputs, outputs in zip(*sides, strict=True))
        elif sides:
            yield from sides[0]


def _side(side: Mapping[str, str], letter: str) -> list[Row]:
    encoding, data = side.get("encoding"), side.get("data", "")
    if encoding == "CSV":
        lines = [line for line in csv.reader(data.splitlines()) if line]
        return [{f"{letter}{number}": cell or None for number, cell in enumerate(line)} for line in lines]
    if encoding == "JSON":
        return [_texts(row) for row in _objects(data)]
    raise Problem(f"captured data of the encoding {encoding} can't be read here: CSV and JSON can")


def _objects(data: str) -> list[Mapping[str, Any]]:
    try:
        found = [json.loads(data)]
    except ValueError:
        try:
            found = [json.loads(line) for line in data.splitlines() if line.strip()]
        except ValueError as error:
            raise Problem(f"captured JSON can't be read: {error}") from error
    if not all(isinstance(each, Mapping) for each in found):
        raise Problem("captured JSON must be an object for each row, of a name and a value for each column")
    return found


def _texts(row: Mapping[str, Any], prefix: str = "") -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= _texts(value, f"{prefix}{name}_")
        else:
            plain = value is None or isinstance(value, str)
            found[f"{prefix}{name}"] = value if plain else json.dumps(value)
    return found
