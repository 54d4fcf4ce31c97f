"""What the model looks at: the names and order of its features, its label, and how text becomes a number.

Everything here is known one hour before the scheduled departure: the schedule, the aircraft planned for it, the
distance, and the weather as it was observed at the latest full hour that lies at least one hour back. The
columns are those of the dataset `flights`; an endpoint gets them in the order of `FEATURES`, as numbers or as the codes
that `ENCODERS` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from model_runtime.encoders import iata_number

LABEL = "late"

WEATHER = (
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
CATEGORICAL = ("carrier", "origin", "destination")

FEATURES = (
    *CATEGORICAL,
    "weekday",  # 1 is Monday
    "departure_minute",  # minutes after local midnight
    "arrival_minute",  # minutes after midnight at the destination
    "scheduled_minutes",  # from scheduled departure to scheduled arrival, by the two local clocks
    "departures_in_hour",  # scheduled from the same airport in the same clock hour, this flight included
    "distance",  # miles
    "destination_latitude",
    "destination_longitude",
    "plane_age",  # years; missing for an aircraft that isn't in the register
    "seats",
    *WEATHER,
)

# How a request may write these features as text instead of a number.
ENCODERS: Mapping[str, Callable[[str], float]] = dict.fromkeys(CATEGORICAL, iata_number)
