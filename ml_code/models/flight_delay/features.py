"""What the model looks at: the names and order of its features, its label, and how text becomes a number.

Everything here is known one hour before the scheduled departure: the schedule, the aircraft planned for it, the
distance, and the weather as it was observed at the latest full hour that lies at least one hour back. Spark computes
the features in `etl.py`; an endpoint gets them in the same order, as numbers or as the codes that `ENCODERS` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

LABEL = "late"
LATE_AFTER_MINUTES = 15

# curated name -> column of the raw weather table
WEATHER = {
    "temperature": "temp",
    "dew_point": "dewp",
    "humidity": "humid",
    "wind_direction": "wind_dir",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precipitation": "precip",
    "pressure": "pressure",
    "visibility": "visib",
}

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


def iata_number(code: str) -> float:
    """An IATA code as a number: its value in base 36, so that no table has to be shipped.

    No two codes of the same length collide, as airlines have two characters and airports three, and a 32-bit float
    holds each exactly. Raises ValueError for anything but two or three letters or digits.
    """
    text = code.strip().upper()
    if not (2 <= len(text) <= 3 and text.isascii() and text.isalnum()):
        raise ValueError(f"{code!r} is no IATA code of two or three letters or digits")
    return float(int(text, 36))


# How a request may write these features as text instead of a number.
ENCODERS: Mapping[str, Callable[[str], float]] = dict.fromkeys(CATEGORICAL, iata_number)
