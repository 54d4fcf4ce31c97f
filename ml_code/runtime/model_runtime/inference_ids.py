"""The id of a row, by which a prediction finds what became of it.

The day and the values of the dataset's key, joined by slashes, as `2013-07-04/UA%201545/EWR-IAH`: each value is
percent-encoded, so that a slash within it is none between two. Ground truth names rows by the same ids (the job
`labels` of the data workflow), and whoever asks an endpoint sends them as the InferenceId. Source of what an id may
hold: the SageMaker runtime's API reference, InvokeEndpoint, InferenceId.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

import polars as pl

DAY = "day"


def inference_ids(rows: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """The ids of rows that have the columns `day` and the dataset's key; the day is first where the key hasn't it."""
    columns = list(key) if DAY in key else [DAY, *key]
    ids = pl.concat_str([_texts(rows[name]) for name in columns], separator="/")
    return rows.select(inference_id=ids)["inference_id"]


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
