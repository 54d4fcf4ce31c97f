"""The bodies of captured requests and answers as rows: what clients sent, as the model understands it.

A value that the model's encoders turn into a number is that number, so that it can be compared with the rows of the
training. What is no number and has no encoder stays text, for the checks of types to see. A line of column names names
the columns of the lines after it.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from model_runtime.model_code import Encoder

CSV, JSON, BASE64 = "CSV", "JSON", "BASE64"
ROWS_OF = ("instances", "features", "inputs")
SCORES_OF = ("predictions", "outputs")
PLAIN = (int, float, bool, str, type(None))
SCORE_OF = ("prediction", "score", "probability", "predicted_value", "predictions")


class Unreadable(ValueError):
    """A body that holds no rows; the text says why."""


@dataclass(frozen=True)
class BodyRows:
    """The rows of one request: cells in the model's order (`cells`), or values by the names of columns (`named`).

    `widths` counts rows that have another number of cells than the model has features, `headers` lines of names.
    """

    cells: Sequence[Sequence[str]] = ()
    named: Sequence[Mapping[str, Any]] = ()
    places: Sequence[int] = ()
    widths: Mapping[int, int] = field(default_factory=dict)
    headers: int = 0

    @property
    def asked(self) -> int:
        """How many answers a model has to give."""
        return len(self.cells) + len(self.named) + sum(self.widths.values())


@dataclass(frozen=True)
class RowParser:
    """Reads bodies for a model of `features`, whose `encoders` take text for some of them."""

    features: tuple[str, ...]
    encoders: Mapping[str, Encoder] = field(default_factory=dict)

    def rows(self, side: Mapping[str, Any]) -> BodyRows:
        """The rows of a captured request (`endpointInput`); raises Unreadable for what holds none."""
        text, is_json = body_of(side)
        if not is_json:
            return self._csv_rows(text)
        return self._json_rows(_documents(text))

    def _csv_rows(self, text: str) -> BodyRows:
        width = len(self.features)
        body = text.strip("\r\n")
        if '"' not in body and "\n" not in body:
            records: list[list[str]] = [body.split(",")]
            if len(records[0]) == width and records[0][0] not in self.features:
                return BodyRows(cells=records, places=(0,))
        else:
            try:
                records = [record for record in csv.reader(io.StringIO(text)) if record]
            except csv.Error as error:
                raise Unreadable(f"the body is no CSV: {error}") from None
        if records == [[""]] and width > 1:
            raise Unreadable("the request is empty")
        if records and self._is_header(records[0]):
            names = [name.strip() for name in records[0]]
            named = [dict(zip(names, record, strict=False)) for record in records[1:]]
            return BodyRows(named=named, places=range(len(named)), headers=1)
        cells, places = [], []
        widths: dict[int, int] = {}
        for place, record in enumerate(records):
            if len(record) == width:
                cells.append(record)
                places.append(place)
            else:
                widths[len(record)] = widths.get(len(record), 0) + 1
        return BodyRows(cells=cells, places=places, widths=widths)

    def _is_header(self, record: Sequence[str]) -> bool:
        known = sum(name.strip() in self.features for name in record)
        return known * 2 >= len(record) and known > 0

    def _json_rows(self, documents: Sequence[Any]) -> BodyRows:
        named, places = [], []
        widths: dict[int, int] = {}
        for place, instance in enumerate(documents):
            row = instance
            if isinstance(row, dict) and len(row) == 1 and "features" in row and "features" not in self.features:
                row = row["features"]
            if isinstance(row, list):
                if len(row) != len(self.features):
                    widths[len(row)] = widths.get(len(row), 0) + 1
                    continue
                row = dict(zip(self.features, row, strict=True))
            if not isinstance(row, dict):
                raise Unreadable(f"row {place + 1} of the request is neither a list nor an object")
            named.append(row)
            places.append(place)
        return BodyRows(named=named, places=places, widths=widths)

    def frame_of_cells(self, cells: Sequence[Sequence[str]]) -> pl.DataFrame:
        """Rows of cells in the model's order."""
        columns = zip(*cells, strict=True)
        return pl.DataFrame(
            [self.column(name, pl.Series(name, list(values))) for name, values in zip(self.features, columns)]  # noqa: B905
        )

    def frame_of_named(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """Rows of values by name; a column that no row has isn't there, one that some haven't is null there.

        The model's columns come first, in its order.
        """
        given = dict.fromkeys(name for row in rows for name in row)
        names = [*(name for name in self.features if name in given), *(n for n in given if n not in self.features)]
        return pl.DataFrame([self._values(name, [row.get(name) for row in rows]) for name in names])

    def _values(self, name: str, values: list[Any]) -> pl.Series:
        values = [float(value) if isinstance(value, bool) else value for value in values]
        if all(type(value) in (int, float) or value is None for value in values):
            return pl.Series(name, values, dtype=pl.Float64, strict=False).fill_nan(None)
        texts = [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
        return self.column(name, pl.Series(name, texts, dtype=pl.String))

    def column(self, name: str, texts: pl.Series) -> pl.Series:
        """A column of text as numbers (null: missing), or as text where some of it is no number."""
        texts = texts.str.strip_chars()
        numbers = texts.cast(pl.Float64, strict=False)
        encoder = self.encoders.get(name)
        empty = texts.fill_null("") == ""
        open_ = numbers.is_null() & ~empty
        if encoder is not None:  # NAN and INF are codes of airports
            open_ = open_ | (numbers.is_not_null() & ~numbers.is_finite() & texts.str.contains(r"^[A-Z]+$"))
        if bool(open_.any()):
            encoded = _encoded(texts.filter(open_).unique().to_list(), encoder)
            found = texts.replace_strict(encoded, default=None, return_dtype=pl.Float64)
            numbers = pl.select(pl.when(open_).then(found).otherwise(numbers)).to_series()
            if bool((numbers.is_null() & ~empty).any()):
                kept = pl.select(
                    pl.when(empty)
                    .then(None)
                    .when(open_ & found.is_not_null())
                    .then(found.cast(pl.Int64, strict=False).cast(pl.String))
                    .otherwise(texts)
                ).to_series()
                return kept.alias(name)
        return numbers.fill_nan(None).alias(name)


def plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row whose values are numbers, booleans, texts or null: what is nested in it becomes its JSON.

    Raises Unreadable for what is nested so deeply, or is such a thing, that it has none.
    """
    if all(type(name) is str for name in row) and all(type(value) in PLAIN for value in row.values()):
        return row
    try:
        return {
            str(name): value if type(value) in PLAIN else json.dumps(value, default=str) for name, value in row.items()
        }
    except (RecursionError, ValueError, TypeError) as error:
        raise Unreadable(f"a value of the row can't be written: {type(error).__name__} {error}") from None


def answers(side: Mapping[str, Any], score: Callable[[list[str], int], float] | None = None) -> list[float] | None:
    """The predictions of a captured answer (`endpointOutput`); None for what holds none, as an error.

    `score` reads the cells of a line of CSV in the way of another container than this runtime.
    """
    try:
        text, is_json = body_of(side)
        if is_json:
            return [_score(each) for each in _documents(text, SCORES_OF)]
        if score is None and '"' not in text:
            return [float(line.partition(",")[0]) for line in text.split("\n") if line.strip()]
        read = score or (lambda row, _: float(row[0]))
        return [read(row, number) for number, row in enumerate(csv.reader(io.StringIO(text)), 1) if row]
    except Exception:  # whatever an answer holds, and `score` says of it, is no reason to stop
        return None


def _score(value: Any) -> float:
    if isinstance(value, dict):
        value = value[next((name for name in SCORE_OF if name in value), SCORE_OF[0])]
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    found = float(value)
    if isinstance(value, bool) or not math.isfinite(found):
        raise ValueError(value)
    return found


def body_of(side: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of one side of a capture, and whether it is JSON; raises Unreadable for what is no text."""
    encoding, data = side.get("encoding", CSV), side.get("data")
    if encoding == JSON and isinstance(data, dict | list):
        return json.dumps(data), True
    if not isinstance(data, str):
        raise Unreadable("a side of the capture has no data")
    if encoding == BASE64:
        try:
            data = base64.b64decode(data, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise Unreadable(f"a body of the type {side.get('observedContentType')} is no text") from None
        observed = str(side.get("observedContentType", "")).lower()
        return data, "json" in observed or data.lstrip()[:1] in ("{", "[")
    return data, encoding == JSON


def _documents(text: str, members: Sequence[str] = ROWS_OF) -> list[Any]:
    """The rows of a document, or of one document in each line; raises Unreadable for what is no JSON."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return [orjson.loads(line) for line in text.split("\n") if line.strip()]
        except orjson.JSONDecodeError as error:
            raise Unreadable(f"the body is no JSON: {error}") from None
    if isinstance(document, dict):
        for name in members:
            found = document.get(name)
            if isinstance(found, list):
                return found if name != "features" or (found and isinstance(found[0], list | dict)) else [found]
        return [document]
    if isinstance(document, list):
        return document if members is SCORES_OF or (document and isinstance(document[0], list | dict)) else [document]
    return [document]


def _encoded(texts: Sequence[str], encoder: Encoder | None) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts if encoder is not None else ():
        try:
            found[text] = float(encoder(text))  # type: ignore[misc]
        except Exception:  # noqa: S112 (the model's own code, asked with whatever clients send: it stays text)
            continue
    return found
