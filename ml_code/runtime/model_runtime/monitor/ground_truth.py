"""What really came of predictions: labels from files of ground truth, joined by the id of the inference.

    <uri>/yyyy/mm/dd/hh/*.jsonl    by the hour of upload
    {"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": "<inference id>"}, ...}

Of labels for the same id the newest wins: by the hour of its file, then the file's name, then the line. A request of
several rows is one id, whose labels are the lines of `data`. Format: Amazon SageMaker developer guide, "Ingest ground
truth labels and merge them with predictions".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from model_runtime.monitor.captured_rows import Unreadable, body_of
from model_runtime.monitor.captures import CaptureCounts
from model_runtime.monitor.lake import HourFile, Lake, lines_of
from model_runtime.monitor.samples import HASHES, DistinctCount, Floats, PredictionSample, hashes_of, row_keys

BATCH_LABELS = 50_000
TEXTS = {"true": 1.0, "false": 0.0}


@dataclass
class GroundTruth:
    """Labels of a sample of predictions (NaN: none), and what else the files held.

    `twice` counts keys that were labelled more than once, `unknown_ids` different ones that nothing is known of:
    neither of a judged prediction nor of a captured row, `captured`, that isn't judged.
    """

    labels: Floats
    times_labelled: npt.NDArray[np.int64]
    unknown: DistinctCount = field(default_factory=DistinctCount)
    counts: CaptureCounts = field(default_factory=CaptureCounts)
    share: float = 1.0
    captured: DistinctCount = field(default_factory=DistinctCount)

    @property
    def labelled(self) -> int:
        """How many predictions of the sample have a label."""
        return int((~np.isnan(self.labels)).sum())

    @property
    def twice(self) -> int:
        """How many keys have been labelled more than once, of all predictions."""
        return round(int((self.times_labelled > 1).sum()) / self.share)

    @property
    def unknown_ids(self) -> int:
        """How many different keys have a label, and weren't captured in the time that was read."""
        return self.unknown.beside(self.captured, self.share * HASHES)


def read_labels(
    lake: Lake, files: Iterable[HourFile], sample: PredictionSample, unjudged: DistinctCount | None = None
) -> GroundTruth:
    """Find the labels of predictions in files, which are read in the order given; lines that are none are counted.

    `unjudged` are the keys of other rows, whose labels aren't missed.
    """
    sample.settle()
    truth = GroundTruth(
        sample.labels.copy(),
        np.zeros(len(sample.keys), np.int64),
        share=sample.share,
        captured=unjudged or DistinctCount(),
    )
    ids: list[str] = []
    places: list[int] = []
    values: list[float] = []
    for file, content in lake.opened(files):
        truth.counts.files += 1
        if content is None:
            truth.counts.broke(file.name, 0, "it was removed while it was waited for")
            continue
        with content:
            for number, line in lines_of(content):
                try:
                    key, labels = _labels(orjson.loads(line))
                except orjson.JSONDecodeError:
                    truth.counts.broke(file.name, number, "the line is no JSON")
                    continue
                except Exception as error:  # whatever a line holds ends no run
                    truth.counts.broke(file.name, number, f"no label: {type(error).__name__} {error}")
                    continue
                truth.counts.records += 1
                ids += [key] * len(labels)
                places += range(len(labels))
                values += labels
                if len(ids) >= BATCH_LABELS:
                    _join(truth, sample, ids, places, values)
                    ids, places, values = [], [], []
    _join(truth, sample, ids, places, values)
    return truth


def _join(truth: GroundTruth, sample: PredictionSample, ids: list[str], places: list[int], values: list[float]) -> None:
    if not ids:
        return
    hashes, labels = hashes_of(row_keys(ids, places)), np.array(values, np.float64)
    kept = hashes.astype(np.float64) < sample.threshold
    hashes, labels = hashes[kept], labels[kept]
    found = np.searchsorted(sample.keys, hashes)
    known = np.zeros(len(hashes), np.bool_)
    inside = found < len(sample.keys)
    known[inside] = sample.keys[found[inside]] == hashes[inside]
    truth.labels[found[known]] = labels[known]  # of several for one place numpy keeps the last
    np.add.at(truth.times_labelled, found[known], 1)
    truth.unknown.add(hashes[~known])


def _labels(record: Any) -> tuple[str, list[float]]:
    key = record["eventMetadata"]["eventId"]
    if not isinstance(key, str) or not key:
        raise ValueError("no eventId")
    return key, label_of(record["groundTruthData"])


def label_of(side: Mapping[str, Any]) -> list[float]:
    """The labels of a line, one for each row of its request; raises ValueError for what is none."""
    data = side["data"]
    if isinstance(data, int | float):
        return [_number(data)]
    if isinstance(data, list):
        return [_number(each) for each in data]
    try:
        text, is_json = body_of(side)
    except Unreadable as error:
        raise ValueError(str(error)) from None
    if is_json:
        found = orjson.loads(text)
        return [_number(each) for each in (found if isinstance(found, list) else [found])]
    return [_number(line.partition(",")[0].strip()) for line in text.split("\n") if line.strip()]


def _number(value: Any) -> float:
    found = TEXTS.get(value.lower()) if isinstance(value, str) else None
    found = float(value) if found is None else found
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is no label")
    return found
