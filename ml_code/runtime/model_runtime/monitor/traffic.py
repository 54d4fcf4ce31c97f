"""What a window's traffic was like, in memory that doesn't grow with it: sketches by day, counts, and samples.

Traffic of some files adds up with that of others, so that several processes read, each some files, and nothing but what
they have seen of them is sent between them.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from model_runtime.bias import Facet
from model_runtime.errors import JobError
from model_runtime.metrics import Labels
from model_runtime.model_code import Encoder, load_model_code
from model_runtime.monitor.attributions import EXPLAINED_ROWS
from model_runtime.monitor.bias_drift import GroupSums, judged_answers
from model_runtime.monitor.captured_rows import RowParser
from model_runtime.monitor.captures import CaptureBatch, CaptureCounts, CaptureReader
from model_runtime.monitor.column_names import ColumnNames
from model_runtime.monitor.lake import HourFile, Lake
from model_runtime.monitor.samples import DistinctCount, PredictionSample, RowSample, hashes_of
from model_runtime.monitor.sketches import TableSketch
from model_runtime.monitor.window import Window
from model_runtime.prediction_baseline import count_in
from model_runtime.problems import PROBLEMS

FILES_AT_A_TIME = 400
BYTES_AT_A_TIME = 64 * 2**20
"""What one process takes up at once: as many files as these allow."""
PARTS_AHEAD = 2
"""So many such parts for each process are read or wait to be added up, so that what was read doesn't pile up."""
MOST_UNJUDGED = 262_144
"""Of so many requests that aren't judged it is known whether a label is theirs: 2 MB; of more, of that share."""

RECENT = timedelta(hours=24)
"""Before the end of the window: rows of this time tell whether requests still come."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of captured traffic.

    `code` and `package` are where the model's encoders are (None: it has none), `since` is from when on the monitored
    version has answered, `edges` are the bounds of ranges of predictions, `searched` says that answers are those of
    Autopilot's containers.
    """

    window: Window
    features: tuple[str, ...]
    problem: str
    code: Path | None = None
    package: str | None = None
    since: datetime | None = None
    edges: tuple[float, ...] = ()
    facets: Sequence[Facet] = ()
    searched: bool = False
    explains: bool = False

    def encoders(self) -> dict[str, Encoder]:
        """How the model reads text."""
        return dict(load_model_code(self.code, self.package).encoders) if self.code else {}

    def reader(self) -> CaptureReader:
        """A reader of captures."""
        from model_runtime.autopilot_answers import score_of

        problem = PROBLEMS[self.problem]
        return CaptureReader(
            RowParser(self.features, self.encoders()),
            min(self.window.start, self.window.judged_from),
            self.window.end,
            score=(lambda row, number: score_of(row, number, problem)) if self.searched else None,
            widths_from=self.window.start,
        )


@dataclass
class Traffic:
    """What was seen: tables by day (UTC), counts, predictions in their ranges, groups, and samples.

    `unjudged` are the keys of rows whose predictions aren't judged by their labels: too young, or another version's.
    """

    question: Question
    days: dict[date, TableSketch] = field(default_factory=dict)
    counts: CaptureCounts = field(default_factory=CaptureCounts)
    recent: int = 0
    ranges: npt.NDArray[np.int64] = field(init=False)
    groups: list[GroupSums] = field(init=False)
    predictions: PredictionSample = field(default_factory=PredictionSample)
    unjudged: DistinctCount = field(default_factory=lambda: DistinctCount(MOST_UNJUDGED))
    explained: RowSample = field(default_factory=lambda: RowSample(EXPLAINED_ROWS))

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.ranges = np.zeros(len(self.question.edges) + 1, np.int64)
        self.groups = [GroupSums.empty() for _ in self.question.facets]
        self._names = ColumnNames(self.question.features)

    @property
    def rows(self) -> int:
        """The rows of the window."""
        return sum(table.rows for table in self.days.values())

    @property
    def predicted(self) -> int:
        """The predictions of the monitored version in the window."""
        return int(self.ranges.sum())

    def table(self) -> TableSketch:
        """All days together."""
        found = TableSketch()
        for day in sorted(self.days):
            found.merge(self.days[day])
        return found

    def update(self, batch: CaptureBatch, encoders: dict[str, Encoder]) -> None:
        """Take rows in."""
        asked, window = self.question, self.question.window
        times = batch.times
        inside = (times >= window.start) & (times < window.end)
        self.recent += int(((times >= window.end - RECENT) & (times < window.end)).sum())
        for (day,), rows in _by_day(batch.rows, times, inside):
            self.days.setdefault(day, TableSketch()).update(rows)
        current = batch.current if batch.current is not None else pl.repeat(True, len(times), eager=True)
        if batch.current is None and asked.since is not None:
            current = times >= asked.since
        answered = current & batch.predictions.is_not_null() & batch.predictions.is_finite().fill_null(False)
        judged = answered & (times >= window.judged_from) & (times < window.judged_until)
        shown = (answered & inside).to_numpy()
        hashes = hashes_of(batch.keys)
        chosen = judged.to_numpy()
        self.unjudged.add(hashes[~chosen])
        if not (bool(shown.any()) or bool(chosen.any())):
            return
        predictions = batch.predictions.fill_null(float("nan")).to_numpy()
        self.ranges += count_in(asked.edges, predictions[shown])
        members = self._members(batch.rows, encoders)
        answers = judged_answers(PROBLEMS[asked.problem], predictions)
        for counted, group in zip(self.groups, members, strict=True):
            counted.add(group[shown], answers[shown])
        if bool(chosen.any()):
            bits = np.zeros(len(hashes), np.uint64)
            for index, group in enumerate(members):
                bits |= group.astype(np.uint64) << np.uint64(index)
            labels = batch.labels
            known = np.full(len(hashes), np.nan) if labels is None else labels.fill_null(float("nan")).to_numpy()
            sample = PredictionSample(
                keys=hashes[chosen],
                predictions=predictions[chosen],
                times=times.dt.epoch("us").to_numpy()[chosen],
                groups=bits[chosen],
                labels=known[chosen],
            )
            self.predictions.add(sample)
        if asked.explains:
            numbers = _numbers(batch.rows, asked.features)
            self.explained.add(hashes[shown], numbers[shown])

    def _members(self, rows: pl.DataFrame, encoders: dict[str, Encoder]) -> list[Labels]:
        found = []
        for facet in self.question.facets:
            if facet.feature not in rows.columns:
                found.append(np.zeros(rows.height, np.bool_))
                continue
            found.append(facet.rows(rows[facet.feature].cast(pl.Float64, strict=False), encoders))
        return found

    def add(self, other: Traffic) -> None:
        """Take in what was seen in other files."""
        for day, table in other.days.items():
            self._names.merged(self.days.setdefault(day, TableSketch()), table)
        self.counts.add(other.counts)
        self.recent += other.recent
        self.ranges += other.ranges
        for mine, its in zip(self.groups, other.groups, strict=True):
            mine.sums += its.sums
        self.predictions.add(other.predictions.settle())
        self.unjudged.add_all(other.unjudged)
        if other.explained.rows is not None:
            self.explained.add(other.explained.keys, other.explained.rows)

    def __getstate__(self) -> dict[str, Any]:
        """As it is sent to another process."""
        self.predictions.settle()
        return {**self.__dict__, "days": {day: table.to_bytes() for day, table in self.days.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it arrives there."""
        self.__dict__.update(state)
        self.days = {day: TableSketch.from_bytes(table) for day, table in state["days"].items()}


def read_traffic(question: Question, files: Sequence[HourFile], workers: int = 1, lake: Lake | None = None) -> Traffic:
    """Read files in so many processes; one reads in this process, through `lake` where one is given."""
    parts = list(_parts(files))
    found = Traffic(question)
    if workers <= 1 or len(parts) <= 1:
        for part in parts:
            found.add(_read(question, part, lake or Lake()))
        return found
    # not forked: threads of polars and boto3 would be left behind in the middle of what they do
    spawn, workers = multiprocessing.get_context("spawn"), min(workers, len(parts))
    waiting: deque[Future[Traffic | str]] = deque()
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        try:
            for number, part in enumerate(parts):
                waiting.append(pool.submit(_read_alone, question, part))
                if number + 1 >= workers * PARTS_AHEAD:
                    _add_next(found, waiting)
            while waiting:
                _add_next(found, waiting)
        except BrokenProcessPool as error:
            raise JobError(
                f"one of {workers} processes that read captures was ended from outside, most likely since the "
                "instance had no memory left: take a larger `monitoring.instance_type`, or fewer processes (--workers)"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return found


def _add_next(found: Traffic, waiting: deque[Future[Traffic | str]]) -> None:
    each = waiting.popleft().result()
    if isinstance(each, str):
        raise JobError(each)
    found.add(each)


def read_batches(question: Question, batches: Iterable[CaptureBatch]) -> Traffic:
    """The traffic of rows that come from elsewhere than captures."""
    found, encoders = Traffic(question), question.encoders()
    for batch in batches:
        found.update(batch, encoders)
    return found


def _read(question: Question, files: Sequence[HourFile], lake: Lake) -> Traffic:
    reader, found = question.reader(), Traffic(question)
    encoders = dict(reader.parser.encoders)
    for batch in reader.read(lake, files):
        found.update(batch, encoders)
    found.counts = reader.counts
    return found


def _read_alone(question: Question, files: Sequence[HourFile]) -> Traffic | str:
    try:
        return _read(question, files, Lake())
    except JobError as error:
        return str(error)


def _parts(files: Sequence[HourFile]) -> Iterator[list[HourFile]]:
    part: list[HourFile] = []
    size = 0
    for file in files:
        part.append(file)
        size += file.size
        if len(part) >= FILES_AT_A_TIME or size >= BYTES_AT_A_TIME:
            yield part
            part, size = [], 0
    if part:
        yield part


def _by_day(rows: pl.DataFrame, times: pl.Series, inside: pl.Series) -> Iterator[tuple[tuple[date], pl.DataFrame]]:
    days = times.dt.date()
    for day in days.filter(inside).unique().sort():
        yield (day,), rows.filter(inside & (days == day))


def _numbers(rows: pl.DataFrame, features: Sequence[str]) -> npt.NDArray[np.float32]:
    columns = [
        pl.col(name).cast(pl.Float32, strict=False) if name in rows.columns else pl.lit(None, pl.Float32).alias(name)
        for name in features
    ]
    found = rows.select(columns).fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(found, dtype=np.float32)
