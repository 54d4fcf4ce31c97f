"""What else to know about a model of this kind: does it rank the flights of every airport?"""

from __future__ import annotations

import polars as pl
import xgboost as xgb

from flight_delay.features import LABEL
from model_runtime.encoders import iata_number
from model_runtime.metrics import area_under_curve

AIRPORTS = ("EWR", "JFK", "LGA")


def evaluate(model: xgb.Booster, test: pl.DataFrame) -> dict[str, float]:
    """The area under the curve at each airport of departure, from the column `prediction`."""
    del model
    areas = {}
    for airport in AIRPORTS:
        rows = test.filter(pl.col("origin") == iata_number(airport))
        areas[f"auc_{airport.lower()}"] = area_under_curve(
            rows[LABEL].cast(pl.Boolean).to_numpy(), rows["prediction"].to_numpy()
        )
    return areas
