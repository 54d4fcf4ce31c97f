"""Bodies that are Parquet files: the features of a batch transform job, and the predictions for them.

polars is loaded with the first of them: an endpoint never needs it for its answers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_runtime.artifact import Matrix
from model_runtime.serving.errors import RequestError

PARQUET = "application/vnd.apache.parquet"
# A file of some megabytes may say that it holds any number of rows.
MOST_VALUES = 50_000_000


def parquet_rows(body: bytes, features: Sequence[str]) -> Matrix:
    """The columns of the features, nulls as missing values; raises RequestError 400 for a file that doesn't fit."""
    import polars as pl

    try:
        schema = pl.read_parquet_schema(io.BytesIO(body))
        missing = [name for name in features if name not in schema]
        if missing:
            raise RequestError(400, f"the file has no column {', '.join(missing)}")
        for name in features:
            if not (schema[name].is_numeric() or schema[name] == pl.Boolean or schema[name] == pl.Null):
                raise RequestError(400, f"the column {name} must hold numbers, it has {schema[name]}")
        count = int(pl.scan_parquet(io.BytesIO(body)).select(pl.len()).collect().item())
        if count * len(features) > MOST_VALUES:
            raise RequestError(400, f"the file may have {MOST_VALUES // len(features)} rows at most, it has {count}")
        if not count:
            raise RequestError(400, "the body holds no row")
        table = pl.read_parquet(io.BytesIO(body), columns=list(features)).select(pl.col(features).cast(pl.Float32))
    except RequestError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise RequestError(400, f"the body is no Parquet file that can be read: {_line(error)}") from error
    rows: Matrix = np.ascontiguousarray(table.to_numpy(), dtype=np.float32)
    wrong = np.argwhere(np.isinf(rows))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise RequestError(400, f"row {row + 1}, {features[column]}: it is not a finite 32-bit number")
    return rows


def parquet_answer(predictions: npt.NDArray[Any]) -> bytes:
    """A file with the one column `prediction`."""
    import polars as pl

    target = io.BytesIO()
    pl.DataFrame({"prediction": predictions}).write_parquet(target)
    return target.getvalue()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
