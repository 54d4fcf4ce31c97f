"""Malformed and adversarial requests never make the server fail; hostile_bodies.py sends 100,000."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from model_runtime.serving.errors import RequestError
from model_runtime.serving.handler import InvocationHandler
from model_runtime.serving.parquet_bodies import parquet_rows
from tests.runtime.container import Container
from tests.runtime.hostile_bodies import CSV, bodies, parquet_bodies, send

FEATURES = ("hour", "distance", "carrier")


def test_hostile_requests_get_a_2xx_or_a_4xx_and_leave_no_memory_behind(
    container: Container, model_directory: Path
) -> None:
    container.environment |= {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    server = container.serve()
    try:
        outcome = send(server.process.pid, server.port, FEATURES, 3000, seed=7)
    finally:
        assert server.stop() == 0
    assert outcome.failures == []
    assert set(outcome.statuses) <= {200, 400, 406, 413, 415}
    assert outcome.statuses[200] > 300
    assert outcome.statuses[400] > 1000
    assert outcome.memory[1] < outcome.memory[0] * 1.1 + 8


def reason_of(answered: Callable[[], object]) -> RequestError | None:
    """Why something is refused; None when it isn't."""
    try:
        answered()
    except RequestError as error:
        return error
    return None


@pytest.mark.parametrize("seed", [1, 2])
def test_the_handler_refuses_hostile_bodies_with_a_reason(trained: Path, seed: int) -> None:
    handler = InvocationHandler.load(trained)
    for body, headers in islice(bodies(random.Random(seed), FEATURES), 2000):
        told = reason_of(partial(handler.answer, body, headers.get("Content-Type", ""), headers.get("Accept", "")))
        assert told is None or (told.status in (400, 406, 415) and told.reason), body


def test_broken_parquet_files_are_refused(trained: Path) -> None:
    read = 0
    for body in islice(parquet_bodies(random.Random(3), FEATURES), 300):
        told = reason_of(partial(parquet_rows, body, FEATURES))
        assert told is None or told.status == 400
        read += told is None
    assert read < 300


def test_a_row_that_is_right_is_among_them(trained: Path) -> None:
    handler = InvocationHandler.load(trained)
    assert handler.answer(b"17,1400,UA", CSV, CSV)[1] == CSV
