"""Captured traffic of an endpoint as tables: streamed from its files, whatever their size.

What can't be read is counted and named, and never ends the job: a line that is cut in the middle, a body that is no
text, a request with another number of values than the model has features. Format: Amazon SageMaker developer guide,
"Data capture for Model Monitor".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

from model_runtime.monitor.captured_rows import BodyRows, RowParser, Unreadable, answers, plain
from model_runtime.monitor.column_names import ColumnNames
from model_runtime.monitor.lake import HourFile, Lake, hour_floor, lines_of
from model_runtime.monitor.samples import row_keys

BATCH_ROWS = 20_000
BATCH_BYTES = 16 * 2**20
"""A table is made of as many rows, or of as many bytes of lines."""
EXAMPLES = 10
REASON_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class CaptureBatch:
    """Some captured rows, all series of the same length.

    `rows` are the columns as sent: numbers, or text where a value is none. `keys` are what labels are joined by,
    `times` are the requests' (UTC), `predictions` null where there is no answer. `labels` are those that came with the
    rows, `current` says whether the version that is monitored has answered, where the rows tell.
    """

    rows: pl.DataFrame
    keys: pl.Series
    times: pl.Series
    predictions: pl.Series
    labels: pl.Series | None = None
    current: pl.Series | None = None


@dataclass
class CaptureCounts:
    """What the files held; `hours` are those with a record in the window, `widths` rows with so many values."""

    files: int = 0
    records: int = 0
    broken: int = 0
    headers: int = 0
    unanswered: int = 0
    hours: set[datetime] = field(default_factory=set)
    widths: dict[int, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def broke(self, file: str, line: int, reason: str) -> None:
        """Count a line that can't be used, and name the first ones."""
        self.broken += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append({"file": file, "line": line, "reason": reason[:REASON_CHARACTERS]})

    def add(self, other: CaptureCounts) -> None:
        """Take in what was counted in other files."""
        self.files += other.files
        self.records += other.records
        self.broken += other.broken
        self.headers += other.headers
        self.unanswered += other.unanswered
        self.hours |= other.hours
        for width, count in other.widths.items():
            self.widths[width] = self.widths.get(width, 0) + count
        self.examples = (self.examples + other.examples)[:EXAMPLES]


@dataclass
class _Gathered:
    """Rows until they are enough for a table."""

    rows: list[Any] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    predictions: list[float | None] = field(default_factory=list)
    size: int = 0

    def batch(self, table: Callable[[list[Any]], pl.DataFrame]) -> CaptureBatch:
        found = CaptureBatch(
            rows=table(self.rows),
            keys=row_keys(self.ids, self.places),
            times=pl.Series(self.times, dtype=pl.Datetime("us", "UTC")),
            predictions=pl.Series(self.predictions, dtype=pl.Float64),
        )
        self.__init__()  # type: ignore[misc]
        return found


@dataclass
class CaptureReader:
    """Reads the records of [start, end) for a model; None leaves an end open. What is in them is counted in `counts`.

    `score` reads answers in the way of another container, `input_of` rows in another way than from the request's body.
    Rows of another width than the model's are counted from `widths_from` on: before, another version may have served.
    """

    parser: RowParser
    start: datetime | None
    end: datetime | None
    score: Callable[[list[str], int], float] | None = None
    counts: CaptureCounts = field(default_factory=CaptureCounts)
    input_of: Callable[[Mapping[str, Any], RowParser], BodyRows] | None = None
    widths_from: datetime | None = None
    names: ColumnNames = field(init=False)
    _cells: _Gathered = field(default_factory=_Gathered)
    _named: _Gathered = field(default_factory=_Gathered)

    def __post_init__(self) -> None:
        """Know the model's columns."""
        self.names = ColumnNames(self.parser.features)

    def read(self, lake: Lake, files: Iterable[HourFile]) -> Iterator[CaptureBatch]:
        """The rows of files, some at a time."""
        for file, content in lake.opened(files):
            self.counts.files += 1
            if content is None:
                self.counts.broke(file.name, 0, "it was removed while it was waited for")
                continue
            with content:
                for number, line in lines_of(content):
                    self._record(file, number, line)
                    yield from self._full(BATCH_ROWS, BATCH_BYTES)
        yield from self._full(1, 0)

    def _full(self, rows: int, size: int) -> Iterator[CaptureBatch]:
        tables = ((self._cells, self.parser.frame_of_cells), (self._named, self.parser.frame_of_named))
        for gathered, table in tables:
            if len(gathered.rows) >= rows or (gathered.rows and gathered.size >= size):
                yield gathered.batch(table)

    def _record(self, file: HourFile, number: int, line: bytes) -> None:
        counts, read = self.counts, self.input_of
        try:
            record = orjson.loads(line)
            captured, event = record["captureData"], record["eventMetadata"]
            moment = _time(event, file)
            if (self.start is not None and moment < self.start) or (self.end is not None and moment >= self.end):
                return
            key = str(event.get("inferenceId") or event["eventId"])
            body = self.parser.rows(captured["endpointInput"]) if read is None else read(record, self.parser)
            body = self._usable(body)
        except orjson.JSONDecodeError:
            cut = "" if line.endswith(b"\n") else ", it ends in the middle"
            counts.broke(file.name, number, f"the line is no JSON{cut}")
            return
        except Unreadable as error:
            counts.broke(file.name, number, str(error))
            return
        except Exception as error:  # what clients send, or a script of the user makes of it, ends no run
            counts.broke(file.name, number, f"no capture of an endpoint: {type(error).__name__} {error}")
            return
        counts.records += 1
        counts.hours.add(hour_floor(moment))
        counts.headers += body.headers
        tells = self.widths_from is None or moment >= self.widths_from
        for width, rows in body.widths.items() if tells else ():
            counts.widths[width] = counts.widths.get(width, 0) + rows
            counts.broke(
                file.name, number, f"{width} values in a row, the model has {len(self.parser.features)} features"
            )
        predictions: list[float] | None = None
        if "endpointOutput" in captured:
            predictions = answers(captured["endpointOutput"], self.score)
        if predictions is not None and len(predictions) != body.asked:
            predictions = None
        counts.unanswered += predictions is None
        for gathered, found in ((self._cells, body.cells), (self._named, body.named)):
            if found:
                gathered.rows += found
                gathered.size += len(line)
                gathered.ids += [key] * len(found)
                gathered.places += body.places
                gathered.times += [moment] * len(found)
                gathered.predictions += (
                    [None] * len(found) if predictions is None else [predictions[place] for place in body.places]
                )

    def _usable(self, body: BodyRows) -> BodyRows:
        """A body whose rows by names have a value at least, and no more names than memory allows for."""
        if not body.named:
            return body
        named, places = [], []
        for row, place in zip(body.named, body.places, strict=True):
            if row:
                named.append(self.names.bounded(plain(row)))
                places.append(place)
        widths = dict(body.widths)
        if len(named) < len(body.named):
            widths[0] = widths.get(0, 0) + len(body.named) - len(named)
        return replace(body, named=named, places=places, widths=widths)


def _time(event: Mapping[str, Any], file: HourFile) -> datetime:
    said = event.get("inferenceTime")
    if not isinstance(said, str):
        return file.hour
    found = datetime.fromisoformat(said)
    return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
