"""The id of a row, by which a prediction finds what became of it.

The day and the values of the dataset's key, joined by slashes, as `2013-07-04/UA%201545/EWR-IAH`. Whoever asks an
endpoint sends it as the InferenceId; `mlops_cli.scoring` and `model_runtime.inference_ids` make the same of the same
row. Source of what an id may hold: the SageMaker runtime's API reference, InvokeEndpoint, InferenceId (printable
ASCII, 64 characters at most).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

DAY = "day"


def id_columns(key: Sequence[str]) -> list[str]:
    """The columns of an id, in their order: the day comes first where the key doesn't have it."""
    return list(key) if DAY in key else [DAY, *key]


def inference_id(values: Sequence[Any]) -> str:
    """The id of a row from the values of its id columns."""
    return "/".join(map(_text, values))


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
