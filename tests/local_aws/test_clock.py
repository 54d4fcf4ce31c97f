"""The clock that schedules go by."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from local_aws.clock import Clock

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


def test_standing_clock_moves_by_hand_only() -> None:
    clock = Clock(standing_at=NOON)
    assert clock.now() == clock.now() == NOON
    clock.advance(timedelta(hours=6))
    assert clock.now() == NOON + timedelta(hours=6)


def test_running_clock_is_ahead_by_what_it_was_moved() -> None:
    clock = Clock()
    clock.advance(timedelta(days=1))
    assert timedelta(hours=23) < clock.now() - datetime.now(UTC) < timedelta(hours=25)


def test_time_is_not_moved_back() -> None:
    with pytest.raises(ValueError, match="can't be moved back"):
        Clock().advance(timedelta(seconds=-1))


def test_whoever_waits_goes_on_when_the_moment_was_moved_to() -> None:
    clock = Clock(standing_at=NOON)
    waiter = threading.Thread(target=clock.wait_until, args=(NOON + timedelta(days=30), lambda: False), daemon=True)
    waiter.start()
    clock.advance(timedelta(days=29))
    waiter.join(timeout=0.05)
    assert waiter.is_alive()
    clock.advance(timedelta(days=1))
    waiter.join(timeout=10)
    assert not waiter.is_alive()


def test_moment_of_a_running_clock_comes_by_itself() -> None:
    clock = Clock()
    moment = clock.now() + timedelta(milliseconds=20)
    clock.wait_until(moment, lambda: False)
    assert clock.now() >= moment


def test_whoever_waits_is_interrupted_when_woken() -> None:
    clock, interrupted = Clock(standing_at=NOON), threading.Event()
    waiter = threading.Thread(target=clock.wait_until, args=(None, interrupted.is_set), daemon=True)
    waiter.start()
    interrupted.set()
    clock.wake()
    waiter.join(timeout=10)
    assert not waiter.is_alive()
