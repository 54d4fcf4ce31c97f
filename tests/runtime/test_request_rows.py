"""How rows are read from requests, where a feature may be written as a code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model_runtime.serving.content import LARGEST, RowReader, write_predictions
from model_runtime.serving.errors import RequestError

AIRPORTS = {"EWR": 1.0, "NAN": 2.0, "INF": 3.0}
READER = RowReader(("airport", "seats"), {"airport": AIRPORTS.__getitem__})


def csv(text: str) -> list[list[float]]:
    return [[float(value) for value in row] for row in READER.read(text.encode(), "text/csv")]


def test_an_airport_whose_code_reads_like_a_number_is_an_airport() -> None:
    assert csv("NAN,1\nINF,1\nEWR,1") == [[2, 1], [3, 1], [1, 1]]
    assert math.isnan(csv("NaN,1")[0][0])
    assert math.isnan(csv("EWR,NAN")[0][1])


def test_a_code_that_a_table_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="row 1, airport: 'LGA' is not a known value"):
        csv("LGA,1")


def test_what_a_32_bit_number_can_hold_is_the_limit() -> None:
    assert csv(f"1,{LARGEST!r}\n1,{-LARGEST!r}") == [[1, LARGEST], [1, -LARGEST]]
    with pytest.raises(RequestError, match="row 1, seats"):
        csv("1,3.5e38")


def test_predictions_survive_being_written_and_read() -> None:
    values = np.random.default_rng(1).random(2000).astype(np.float32)
    values[:3] = np.array([0, 1, 1e-38], dtype=np.float32)
    read = [float(line) for line in write_predictions(values, "text/csv").splitlines()]
    assert np.array_equal(np.array(read, dtype=np.float32), values)
