"""Asking again until something has happened, within bounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(probe: Callable[[], Any], reached: Callable[[Any], Any] = bool, seconds: float = 20) -> Any:
    """Ask until the answer is as wanted, and return it."""
    deadline = time.monotonic() + seconds
    while not reached(answer := probe()):
        assert time.monotonic() < deadline, f"still {answer}"
        time.sleep(0.02)
    return answer
