"""The job `labels`: the labels of published days become ground truth, which monitors compare predictions with.

A line is one row whose label is known, under its inference id (see `dataset_job.inference_ids`); a row without a label
has none yet. Files lie in the folder of the hour in which they were written, `yyyy/mm/dd/hh/`, and their names begin
with minute, second and millisecond, so that the newest label of a row is the one in the last file. Source of the form:
the SageMaker developer guide, "Ingest Ground Truth labels and merge them with predictions".

What is told is written down after it was told: a run that is killed in between tells some days again, with the same
labels under the same ids, and a day that was published anew is told anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO
from itertools import islice
from typing import Any

import pyarrow.parquet as pq

from dataset_job.arguments import WorkflowRun, parse
from dataset_job.catalog import Catalog, DayRecord
from dataset_job.errors import DatasetError
from dataset_job.inference_ids import DAY, id_columns, inference_id
from dataset_job.storage import S3Storage, in_parallel
from dataset_job.told_days import ToldDays

PORTION_DAYS = 31
"""Days that are written down together, so that a job that is stopped has not told for nothing."""
LINES = 100_000
"""Rows of a file at most: some 15 MB."""
BATCH_ROWS = 10_000
CLASSIFICATION = "binary_classification"


@dataclass(frozen=True)
class Labelled:
    """A model, the column that it predicts, and the kind of its problem."""

    model: str
    label: str
    problem: str

    def text(self, value: Any, row: str) -> str:
        """A label as ground truth has it: "1" or "0" of a classification, else the number."""
        number = float(value)
        if self.problem != CLASSIFICATION:
            return str(int(number)) if number.is_integer() else repr(number)
        if number not in (0.0, 1.0):
            raise DatasetError(
                f"the label {self.label} of {self.model} must be 0 or 1, the row {row} has {value!r}: mend the "
                "preparation of the dataset, and have the day prepared again"
            )
        return str(int(number))


class LabelsJob:
    """One run of the job. `started` is the earliest moment that it can be: files are in the folder of that hour or a
    later one.
    """

    def __init__(
        self,
        catalog: Catalog,
        s3: Any,
        told: Callable[[str], ToldDays],
        key: Sequence[str],
        destination: str,
        started: datetime,
    ) -> None:
        self._catalog = catalog
        self._s3 = s3
        self._storage = S3Storage(s3)
        self._told = told
        self._columns = id_columns(key)
        self._bucket = destination
        self._started = started

    def go(self, models: Sequence[Labelled]) -> None:
        """Tell the labels of every day whose published rows aren't told yet.

        Raises DatasetError at the end when a model's labels can't be told; the others' are.
        """
        published = self._catalog.published()
        problems = []
        for model in models:
            try:
                self._tell(model, published)
            except DatasetError as error:
                problems.append(f"{model.model}: {error}")
        if problems:
            raise DatasetError(" || ".join(problems))

    def _tell(self, model: Labelled, published: Mapping[date, DayRecord]) -> None:
        told = self._told(model.model)
        before = told.read()
        due = [published[day] for day in sorted(published) if before.get(day) != _load(published[day])]
        rows = 0
        remaining = iter(due)
        while portion := list(islice(remaining, PORTION_DAYS)):
            rows += sum(in_parallel(lambda record: self._day(model, record), portion))
            told.add({record.day: _load(record) for record in portion})
        days = f"{len(due)} day" if len(due) == 1 else f"{len(due)} days"
        print(f"{model.model}: {rows:,} labels of {days}", flush=True)

    def _day(self, model: Labelled, record: DayRecord) -> int:
        """Write the files of a day; returns the number of labels."""
        rows, count = self._labels(model, record), 0
        moment = max(datetime.now(UTC), self._started)
        folder = f"ground-truth/{model.model}/{moment:%Y/%m/%d/%H}"
        name = f"{moment:%M-%S}-{moment.microsecond // 1000:03}-{record.day}-{_load(record)}"
        part = 0
        while lines := list(islice(rows, LINES)):
            key = f"{folder}/{name}{f'-{part}' if part else ''}.jsonl"
            body = "".join(f"{line}\n" for line in lines).encode()
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/x-jsonlines")
            count, part = count + len(lines), part + 1
        return count

    def _labels(self, model: Labelled, record: DayRecord) -> Iterator[str]:
        files = [each for each in self._storage.list(record.location) if each.key.endswith(".parquet")]
        for file in sorted(files, key=lambda each: each.key):
            parquet = pq.ParquetFile(BytesIO(self._storage.read(file.uri, 0, file.size)))
            wanted = [name for name in (*self._columns, model.label) if name != DAY]
            missing = [name for name in wanted if name not in parquet.schema_arrow.names]
            if missing:
                raise DatasetError(
                    f"{file.uri} has no column {', '.join(missing)}: it was prepared by another version; prepare "
                    f"{record.day} again (`mlops data run --from {record.day} --to {record.day} --redo all`)"
                )
            for batch in parquet.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                yield from _lines(model, self._columns, record.day, batch)


def _lines(model: Labelled, columns: Sequence[str], day: date, batch: Any) -> Iterator[str]:
    rows = batch.num_rows
    values = [[day] * rows if name == DAY else _values(batch.column(name)) for name in columns]
    for label, *parts in zip(batch.column(model.label).to_pylist(), *values, strict=True):
        if label is None or label != label:  # neither null nor NaN is a label
            continue
        row = inference_id(parts)
        line = {
            "groundTruthData": {"data": model.text(label, row), "encoding": "CSV"},
            "eventMetadata": {"eventId": row},
            "eventVersion": "0",
        }
        yield json.dumps(line)


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)  # Python knows no finer times
    values: list[Any] = column.to_pylist()
    return values


def _load(record: DayRecord) -> str:
    """What tells the rows of a day from those that were published before or after them."""
    return record.facts.get("load") or record.location.rpartition("load=")[2].partition("/")[0]


def _models(text: str) -> list[Labelled]:
    found = []
    for each in text.split(","):
        parts = each.split("=")
        if len(parts) != 3 or not all(parts):
            raise DatasetError(f"--models must be <model>=<label>=<problem>, separated by commas, got {each!r}")
        found.append(Labelled(*parts))
    return found


def main(argv: Sequence[str]) -> None:
    """Run the job."""
    import boto3

    values = parse(argv, "dataset", "database", "curated_bucket", "truth_bucket", "models", "key")
    run = WorkflowRun(values["WORKFLOW_NAME"], values["WORKFLOW_RUN_ID"])
    glue, s3 = boto3.client("glue"), boto3.client("s3")
    started = glue.get_workflow_run(Name=run.workflow, RunId=run.run)["Run"]["StartedOn"].astimezone(UTC)

    def told(model: str) -> ToldDays:
        return ToldDays(s3, values["curated_bucket"], f"{values['dataset']}/labels/{model}.json")

    catalog = Catalog(glue, values["database"], values["dataset"])
    job = LabelsJob(catalog, s3, told, values["key"].split(","), values["truth_bucket"], started)
    job.go(_models(values["models"]))
