"""Sending rows to an endpoint and judging what comes back."""

from __future__ import annotations

import ast
import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl

DAY = "day"
Seconds = np.ndarray[Any, np.dtype[np.float64]]
LONGEST_ID = 64
"""Characters of an InferenceId at most. Source: the SageMaker runtime's API reference, InvokeEndpoint."""


@dataclass(frozen=True)
class Scores:
    """Predictions of an endpoint for labelled rows."""

    rows: int
    auc: float


def read_parquet(s3: Any, uri: str) -> pl.DataFrame:
    """Read every Parquet object below an S3 URI."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith(".parquet")]
    if not keys:
        raise FileNotFoundError(f"no Parquet file below {uri}")
    return pl.concat([pl.read_parquet(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys])


def read_rows(file: Path, features: Sequence[str]) -> pl.DataFrame:
    """Read rows to predict from a CSV file with a header, all as text; empty fields are nulls.

    Raises ValueError, with the file and row, for what is no such file: no header, no row, a feature without a column, a
    row with another number of values than the header.
    """
    try:
        with file.open(newline="", encoding="utf-8") as text:
            header, *records = [record for record in csv.reader(text) if record] or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no CSV file in UTF-8: {error}") from error
    missing = [name for name in features if name not in header]
    if missing:
        raise ValueError(
            f"{file}: its header misses the features {', '.join(missing)}; it must name {', '.join(features)}"
        )
    if not records:
        raise ValueError(f"{file}: it has a header but no row")
    for number, record in enumerate(records, 1):
        if len(record) != len(header):
            raise ValueError(f"{file}: row {number} has {len(record)} values, its header {len(header)}")
    columns = zip(*records, strict=True)
    return pl.DataFrame(
        {name: [value or None for value in values] for name, values in zip(header, columns, strict=True)},
        schema=dict.fromkeys(header, pl.String),
    )


def score(
    runtime: Any,
    endpoint: str,
    frame: pl.DataFrame,
    features: Sequence[str],
    label: str,
    *,
    batch_rows: int = 500,
    progress: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Send all rows in batches, and compute the AUC of the answers.

    `progress` is called with the number of rows answered so far.
    """
    rows = frame.select(features)
    predictions: list[float] = []
    for start in range(0, rows.height, batch_rows):
        predictions += invoke_csv(runtime, endpoint, rows.slice(start, batch_rows))
        progress(len(predictions))
    labels = frame[label].cast(pl.Int8).to_numpy()
    return Scores(rows.height, auc(labels, np.asarray(predictions)))


def ask_singly(
    runtime: Any,
    endpoint: str,
    frame: pl.DataFrame,
    features: Sequence[str],
    key: Sequence[str],
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> Seconds:
    """Send rows one after another, each under its inference id of the columns `key`; returns how long each took."""
    ids, rows, taken = inference_ids(frame, key), frame.select(features), []
    for index, inference_id in enumerate(ids):
        began = time.perf_counter()
        invoke_csv(runtime, endpoint, rows.slice(index, 1), inference_id=inference_id)
        taken.append(time.perf_counter() - began)
        progress(index + 1)
    return np.asarray(taken)


def invoke_csv(
    runtime: Any,
    endpoint: str,
    rows: pl.DataFrame,
    *,
    inference_id: str | None = None,
    component: str | None = None,
) -> list[float]:
    """Return the prediction for each row, sent as CSV without a header; nulls are empty fields.

    `inference_id` is what ground truth finds the request by; none if left out. `component` is the model on an endpoint
    that several share; none where the endpoint is one model's. Raises ValueError when the endpoint
    answers another number of predictions, or something that is none.
    """
    body = io.BytesIO()
    rows.write_csv(body, include_header=False)
    named = {"InferenceId": inference_id, "InferenceComponentName": component}
    named = {name: value for name, value in named.items() if value}
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Accept="text/csv", Body=body.getvalue(), **named
    )
    predictions = predictions_of(answer["Body"].read().decode(), endpoint)
    if len(predictions) != rows.height:
        raise ValueError(f"{endpoint} answered {rows.height} rows with {len(predictions)} predictions")
    return predictions


def predictions_of(body: str, endpoint: str) -> list[float]:
    """Return a number for each line of an answer: its first value, or the probability of the label 1.

    A searched model that classifies answers `"[0.9, 0.1]","[0, 1]"`: probabilities, and the label of each. Raises
    ValueError, with the endpoint and the line, for anything else.
    """
    found = []
    for row in csv.reader(io.StringIO(body)):
        if not row:
            continue
        try:
            if len(row) == 2 and row[0].startswith("["):
                shares, labels = (ast.literal_eval(text) for text in row)
                (positive,) = (index for index, label in enumerate(labels) if float(label) == 1.0)
                found.append(float(shares[positive]))
            else:
                (value,) = row
                found.append(float(value))
        except (ValueError, TypeError, SyntaxError, IndexError) as error:
            raise ValueError(f"{endpoint} answered {','.join(row)[:80]!r}, which is no prediction: {error}") from error
    return found


def auc(labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic, ties counted half (labels 0 or 1)."""
    ranks = pl.Series(scores).rank("average").to_numpy()
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise ValueError(f"the AUC needs both classes, got {positives} positive and {negatives} negative labels")
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def inference_ids(rows: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """The ids by which the rows' predictions find what became of them, as `2013-07-04/UA%201545/EWR-IAH`.

    The day and the values of the dataset's key, percent-encoded and joined by slashes; the day comes first where the
    key hasn't it. Ground truth names rows so. Raises ValueError for a column that isn't there, or an id that is longer
    than SageMaker takes.
    """
    columns = list(key) if DAY in key else [DAY, *key]
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise ValueError(f"inference ids are made of {', '.join(columns)}: the rows miss {', '.join(missing)}")
    ids = rows.select(pl.concat_str([_texts(rows[name]) for name in columns], separator="/").alias("id"))["id"]
    long = ids.filter(ids.str.len_chars() > LONGEST_ID)
    if long.len():
        raise ValueError(f"SageMaker takes inference ids of {LONGEST_ID} characters at most, got {long[0]!r}")
    return ids


def _texts(values: pl.Series) -> pl.Series:
    distinct = values.drop_nulls().unique()
    texts = pl.Series([_text(value) for value in distinct.to_list()], dtype=pl.String)
    return values.replace_strict(distinct, texts, return_dtype=pl.String).fill_null("")


def _text(value: Any) -> str:
    """A value as ids have it: times in UTC, whole numbers without a point, nothing for null; percent-encoded."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return quote(f"{moment.isoformat()}Z", safe="")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return quote(str(value), safe="")
