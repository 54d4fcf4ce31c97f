"""Requests become rows of features, predictions become responses, errors name row and field.

CSV has no header, one row per line, the features in the model's order; an empty value is a missing one. JSON is
`{"instances": [...]}` with a list or an object of feature names per row, JSON Lines has one such row per line; `null`
is a missing value. In all of them a feature may be written as text where the model declares an encoder for it (`"UA"`).
Parquet has a column for each feature, in any order. Rows count from 1 in error messages.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_runtime.artifact import Matrix
from model_runtime.serving.errors import RequestError
from model_runtime.serving.parquet_bodies import PARQUET, parquet_answer, parquet_rows
from model_runtime.serving.quick_rows import LARGEST, QuickRows

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
TEXT_TYPES = (CSV, JSON, JSON_LINES)
TYPES = (*TEXT_TYPES, PARQUET)
MISSING = math.nan


@dataclass(frozen=True)
class RowReader:
    """Reads request bodies into a matrix of the shape (rows, number of features).

    `parquet` says whether bodies may be Parquet files: those of the account's own batch jobs, as the format's readers
    trust a file in what it says of itself.
    """

    features: tuple[str, ...]
    encoders: Mapping[str, Callable[[str], float]]
    parquet: bool = False
    _readers: Mapping[str, Callable[[bytes], Matrix | None]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        quick = QuickRows(self.features)
        readers = {CSV: quick.csv, JSON: quick.json, JSON_LINES: quick.json_lines}
        object.__setattr__(self, "_readers", readers)

    def read(self, body: bytes, content_type: str) -> Matrix:
        """Decode a body; raises RequestError 415 for another content type, 400 with row and field for bad content."""
        media_type = media_type_of(content_type)
        if media_type == PARQUET and self.parquet:
            return parquet_rows(body, self.features)
        if media_type not in TEXT_TYPES:
            raise RequestError(415, self._not_supported(media_type))
        quick = self._readers[media_type](body)
        return self._carefully(body, media_type) if quick is None else quick

    def _carefully(self, body: bytes, media_type: str) -> Matrix:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RequestError(400, f"the body is not UTF-8: {error}") from error
        if media_type == CSV:
            rows = self._csv_rows(text)
        else:
            instances = _instances(text) if media_type == JSON else _lines(text)
            rows = [self._json_row(number, instance) for number, instance in enumerate(instances, 1)]
        if not rows:
            raise RequestError(400, "the body holds no row")
        return np.array(rows, dtype=np.float32)

    def _not_supported(self, media_type: str) -> str:
        said = f"content type {media_type or 'none'} isn't supported"
        if media_type == PARQUET:
            return f"{said} but in batch transform jobs: send {CSV}, {JSON} or {JSON_LINES}"
        return f"{said}: send {CSV} or {JSON}" if not media_type else f"{said}: send {CSV}, {JSON} or {JSON_LINES}"

    def _csv_rows(self, text: str) -> list[list[float]]:
        records: Sequence[Sequence[str]]
        if '"' in text:
            try:
                records = [record for record in csv.reader(io.StringIO(text), strict=True) if record]
            except csv.Error as error:
                raise RequestError(400, f"the body is not CSV: {error}") from error
        else:
            records = [line.split(",") for line in text.splitlines() if line.strip()]
        return [self._csv_row(number, record) for number, record in enumerate(records, 1)]

    def _csv_row(self, number: int, record: Sequence[str]) -> list[float]:
        if len(record) != len(self.features):
            raise RequestError(400, f"row {number}: expected {len(self.features)} values, got {len(record)}")
        row = []
        for name, text in zip(self.features, record, strict=True):
            try:
                value = _number(text)
            except ValueError:
                value = self._text_value(number, name, text)
            if not -LARGEST <= value <= LARGEST and text.strip():
                value = self._no_finite_value(number, name, text, value)
            row.append(value)
        return row

    def _no_finite_value(self, number: int, name: str, text: str, value: float) -> float:
        """Tell a missing value (`nan`) from a code that only looks like one: NAN and INF are airports."""
        if name in self.encoders and text.strip().isupper():
            return self._text_value(number, name, text)
        if math.isnan(value):
            return MISSING
        raise RequestError(400, f"row {number}, {name}: {text!r} is not a finite 32-bit number")

    def _text_value(self, number: int, name: str, text: str) -> float:
        stripped = text.strip()
        if not stripped:
            return MISSING
        if number == 1 and stripped in self.features:
            raise RequestError(400, f"row 1, {name}: {text!r} is a column name; send the rows without a header")
        encoder = self.encoders.get(name)
        if encoder is None:
            raise RequestError(400, f"row {number}, {name}: {text!r} is not a number")
        try:
            return encoder(stripped)
        except ValueError as error:
            raise RequestError(400, f"row {number}, {name}: {error}") from error
        except LookupError as error:
            raise RequestError(400, f"row {number}, {name}: {text!r} is not a known value") from error

    def _json_row(self, number: int, instance: object) -> list[float]:
        if isinstance(instance, dict):
            for name in instance:
                if name not in self.features:
                    raise RequestError(400, f"row {number}: the model has no feature {name!r}{self._nearest(name)}")
            for name in self.features:
                if name not in instance:
                    raise RequestError(400, f"row {number}: {name} is not given; write null when it is unknown")
            values = [instance[name] for name in self.features]
        elif isinstance(instance, list):
            values = instance
        else:
            raise RequestError(400, f"row {number}: expected a list or an object, got {json.dumps(instance)[:80]}")
        if len(values) != len(self.features):
            raise RequestError(400, f"row {number}: expected {len(self.features)} values, got {len(values)}")
        return [self._json_value(number, name, value) for name, value in zip(self.features, values, strict=True)]

    def _json_value(self, number: int, name: str, value: object) -> float:
        if value is None:
            return MISSING
        if isinstance(value, str):
            return self._text_value(number, name, value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
            raise RequestError(400, f"row {number}, {name}: {json.dumps(value)[:80]} is not a finite 32-bit number")
        return float(value)

    def _nearest(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self.features, n=1)
        return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _instances(text: str) -> list[object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from error
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise RequestError(400, 'the body must be {"instances": [...]} with one list or object per row')
    return instances


def _lines(text: str) -> list[object]:
    instances: list[object] = []
    for line in text.split("\n"):  # and at no other sign: JSON's texts may hold those
        if line.strip():
            try:
                instances.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise RequestError(400, f"row {len(instances) + 1} is not JSON: {error}") from error
    return instances


def _number(text: str) -> float:
    if "_" in text:  # Python reads 1_000 as a number, no one else does
        raise ValueError(text)
    return float(text)


def media_type_of(content_type: str) -> str:
    """The media type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def choose_type(accept: str, content_type: str) -> str:
    """The type to answer in: the best of the accepted ones, or the request's own where anything goes.

    Raises RequestError 406 when none of CSV, JSON, JSON Lines and Parquet is accepted.
    """
    own = media_type_of(content_type)
    preferred = own if own in TYPES else JSON
    if not accept.strip():
        return preferred
    accepted = sorted((_preference(part) for part in accept.split(",")), key=lambda item: -item[1])
    for media_type, quality in accepted:
        if quality <= 0:
            continue
        if media_type in TYPES:
            return media_type
        if media_type == "*/*":
            return preferred
        if media_type == "text/*":
            return CSV
        if media_type == "application/*":
            return JSON
    raise RequestError(406, f"can't answer in {accept}: accept {CSV}, {JSON} or {JSON_LINES}")


def _preference(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return media_type, float(value)
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


def write_predictions(predictions: npt.ArrayLike, media_type: str) -> bytes:
    """One value per row; nine digits tell any two 32-bit floats apart.

    Lines of CSV, `{"predictions": [...]}`, lines of `{"prediction": ...}`, or a Parquet file with the column
    `prediction`. Raises ValueError for anything but one finite number per row.
    """
    values = np.asarray(predictions)
    if values.shape == (1,) and values.dtype.kind == "f" and media_type == CSV:
        value = values.item()
        if math.isfinite(value):
            return b"%.9g\n" % value
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(
            f"predictions must be one finite number per row, got {values.dtype} {values.shape} {values!r:.80}"
        )
    if media_type == PARQUET:
        return parquet_answer(values)
    texts = [f"{value:.9g}" for value in values.tolist()]
    if media_type == CSV:
        return ("\n".join(texts) + "\n").encode()
    if media_type == JSON_LINES:
        return "".join(f'{{"prediction": {text}}}\n' for text in texts).encode()
    return f'{{"predictions": [{", ".join(texts)}]}}'.encode()
