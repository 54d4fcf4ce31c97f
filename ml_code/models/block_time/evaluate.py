"""What else to know about a model of this kind: is it better than the schedule, and how often is it close?"""

from __future__ import annotations

import polars as pl
import xgboost as xgb

from block_time.features import LABEL

CLOSE_MINUTES = (5, 15)
# Miles that part short flights from medium ones, and medium ones from long ones.
MEDIUM_FROM, LONG_FROM = 600, 1500


def evaluate(model: xgb.Booster, test: pl.DataFrame) -> dict[str, float]:
    """Errors in minutes of the column `prediction`, beside those of the schedule, and the shares of close ones.

    NaN where there is no such flight. The schedule is judged where it is known: flights to destinations without a
    known time zone have none.
    """
    del model
    truth = pl.col(LABEL).cast(pl.Float64)
    error = (pl.col("prediction") - truth).abs()
    of_schedule = (pl.col("scheduled_block_minutes") - truth).abs()
    miles = pl.col("distance")
    metrics = {
        "mae_of_schedule": of_schedule.mean(),
        **{f"within_{minutes}_minutes": (error <= minutes).mean() for minutes in CLOSE_MINUTES},
        **{f"within_{minutes}_minutes_of_schedule": (of_schedule <= minutes).mean() for minutes in CLOSE_MINUTES},
        "mae_short": error.filter(miles < MEDIUM_FROM).mean(),
        "mae_medium": error.filter((miles >= MEDIUM_FROM) & (miles < LONG_FROM)).mean(),
        "mae_long": error.filter(miles >= LONG_FROM).mean(),
    }
    (values,) = test.select(**metrics).iter_rows(named=True)
    return {name: float("nan") if value is None else float(value) for name, value in values.items()}
