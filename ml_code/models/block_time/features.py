"""What the model looks at: the names and order of its features, its label, and how text becomes a number.

Everything here is known one hour before the scheduled departure: the schedule, the aircraft planned for it, the
distance, and the weather as it was observed at the latest full hour that lies at least one hour back. The columns are
those of the dataset `flights`, which says what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from model_runtime.encoders import iata_number

LABEL = "block_minutes"

CATEGORICAL = ("carrier", "origin", "destination")

FEATURES = (
    *CATEGORICAL,
    "weekday",
    "departure_minute",
    "arrival_minute",
    "scheduled_block_minutes",  # what the airline thinks: the baseline that the model has to beat
    "departures_in_hour",
    "distance",
    "destination_latitude",
    "destination_longitude",
    "plane_age",
    "seats",
    "temperature",
    "dew_point",
    "humidity",
    "wind_direction",
    "wind_speed",
    "wind_gust",
    "precipitation",
    "pressure",
    "visibility",
)

# How a request may write these features as text instead of a number.
ENCODERS: Mapping[str, Callable[[str], float]] = dict.fromkeys(CATEGORICAL, iata_number)
