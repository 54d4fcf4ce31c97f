"""The states of alarms, for those who act on them in the same process."""

from __future__ import annotations

from collections.abc import Iterable


def alarm_states(account: str, region: str, names: Iterable[str]) -> dict[str, str | None]:
    """Return the state of each alarm by its name: OK, ALARM or INSUFFICIENT_DATA, None where there is no such alarm."""
    from moto.cloudwatch.models import cloudwatch_backends

    alarms = cloudwatch_backends[account][region].alarms
    return {name: alarms[name].state_value if name in alarms else None for name in names}
