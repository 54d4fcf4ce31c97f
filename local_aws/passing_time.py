"""Moving the clock of a running local AWS on, so that everything happens at its own time."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any

from local_aws.process import HOST, LocalAwsError

PATIENCE = timedelta(hours=1)
POLL_SECONDS = 0.1


def present(port: int) -> datetime:
    """Return what the clock of the local AWS on this port says, in UTC."""
    return datetime.fromisoformat(_clock(port)["now"])


def advance(
    port: int, by: timedelta, report: Callable[[str], None] = lambda _: None, *, patience: timedelta = PATIENCE
) -> datetime:
    """Move the clock on by some time and return what it says then.

    It goes from one moment that somebody waits for to the next, as schedules and state machines do, and at each of them
    waits until all the work is done that has started there: the next moment sees what came of it. `report` gets the
    time and what is at work. Raises LocalAwsError when work takes longer than `patience` of the machine's time; the
    clock stands still meanwhile, but for the machine's time.
    """
    moment = present(port) + by
    while True:
        found = _settled(port, report, patience)
        if datetime.fromisoformat(found["now"]) >= moment:
            return datetime.fromisoformat(found["now"])
        _clock(port, to=moment)


def _settled(port: int, report: Callable[[str], None], patience: timedelta) -> dict[str, Any]:
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        found = _clock(port)
        if not found["busy"]:
            return found
        told = f"{found['now'][:16].replace('T', ' ')}  {', '.join(found['busy'])}"
        if time.monotonic() > deadline:
            minutes = patience.total_seconds() / 60
            raise LocalAwsError(f"after {minutes:.0f} minutes there is still work, the clock stands at {told}")
        report(told)
        time.sleep(POLL_SECONDS)


def _clock(port: int, to: datetime | None = None) -> dict[str, Any]:
    body = None if to is None else json.dumps({"to": to.isoformat()}).encode()
    # whatever proxy the machine has: this never leaves the loopback interface
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{HOST}:{port}/_local/clock", data=body, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise LocalAwsError(f"the clock can't be moved: {error.read().decode()}") from error
    except (OSError, ValueError, HTTPException) as error:
        raise LocalAwsError(
            f"no local AWS answers on port {port}: start it with `mlops local start --port {port}`"
        ) from error
    return found
