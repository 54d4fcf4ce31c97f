"""The clock that schedules go by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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
    waiter = threading.Thread(
        target=clock.worker("it").wait_until, args=(NOON + timedelta(days=30), lambda: False), daemon=True
    )
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
    clock.worker("it").wait_until(moment, lambda: False)
    assert clock.now() >= moment


def test_whoever_waits_is_interrupted_when_woken() -> None:
    clock, interrupted = Clock(standing_at=NOON), threading.Event()
    waiter = threading.Thread(target=clock.worker("it").wait_until, args=(None, interrupted.is_set), daemon=True)
    waiter.start()
    interrupted.set()
    clock.wake()
    waiter.join(timeout=10)
    assert not waiter.is_alive()


def test_worker_is_busy_until_it_waits_and_again_as_soon_as_its_moment_has_come() -> None:
    clock = Clock(standing_at=NOON)
    worker = clock.worker("nightly")
    assert clock.busy() == ["nightly"]
    waiter = threading.Thread(target=worker.wait_until, args=(NOON + timedelta(hours=1), lambda: False), daemon=True)
    waiter.start()
    until(lambda: clock.busy() == [])
    assert clock.upcoming() == NOON + timedelta(hours=1)
    clock.advance(timedelta(hours=1))
    # whether its thread has noticed or not
    assert clock.busy() == ["nightly"]
    waiter.join(timeout=10)
    assert clock.busy() == ["nightly"]
    assert clock.upcoming() is None
    worker.end()
    assert clock.busy() == []


def test_time_moves_no_further_than_to_the_next_moment_that_somebody_waits_for() -> None:
    clock = Clock(standing_at=NOON)
    for hours in (2, 1):
        worker = clock.worker(f"in {hours} hours")
        moment = NOON + timedelta(hours=hours)
        threading.Thread(target=worker.wait_until, args=(moment, lambda: False), daemon=True).start()
    until(lambda: clock.busy() == [])
    clock.advance_to(NOON + timedelta(minutes=30))
    assert clock.now() == NOON + timedelta(minutes=30)
    clock.advance_to(NOON + timedelta(days=1))
    assert clock.now() == NOON + timedelta(hours=1)
    assert clock.busy() == ["in 1 hours"]
    # one that was not slept through is not moved back to
    clock.advance_to(NOON)
    assert clock.now() == NOON + timedelta(hours=1)


def test_worker_that_is_interrupted_is_busy_before_it_wakes() -> None:
    clock, interrupted = Clock(standing_at=NOON), threading.Event()
    worker = clock.worker("nightly")
    threading.Thread(target=worker.wait_until, args=(None, interrupted.is_set), daemon=True).start()
    until(lambda: clock.busy() == [])
    interrupted.set()
    assert clock.busy() == ["nightly"]
    clock.wake()


def test_work_is_over_with_its_block() -> None:
    clock = Clock()
    with clock.working("a job"):
        assert clock.busy() == ["a job"]
    assert clock.busy() == []


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_whoever_collects_hands_on_before_it_is_told_who_is_busy() -> None:
    clock = Clock(standing_at=NOON)
    done: list[str] = []
    clock.before_look(lambda: done.append("judge"), last=True)
    clock.before_look(lambda: done.append("collect"))
    worker = clock.worker("job")
    assert clock.busy() == ["job"]
    assert done == ["collect", "judge"]
    clock.before_look(worker.end)
    assert clock.busy() == []
