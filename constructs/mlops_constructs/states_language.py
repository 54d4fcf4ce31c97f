"""States of the States Language in JSONata, as the platform's state machines share them: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

State = dict[str, Any]
STACK_REFUSALS = ("CloudFormation.CloudFormationException", "CloudFormation.InsufficientCapabilitiesException")
"""What CloudFormation answers to an update that it doesn't begin."""
_UPDATABLE = (
    "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE",
)  # fmt: skip

_RETRY = [
    {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": 2,
        "MaxAttempts": 4,
        "BackoffRate": 3,
        "JitterStrategy": "FULL",
    }
]


def task(
    call: str,
    arguments: Mapping[str, Any],
    *,
    assign: Mapping[str, Any],
    following: str,
    catch: Sequence[State] = (),
    at_once: Sequence[str] = (),
) -> State:
    """A call of AWS's SDK, as ``s3:putObject``, that is tried again, but for the errors `at_once`."""
    never = [{"ErrorEquals": list(at_once), "MaxAttempts": 0}] if at_once else []
    state = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:{call}",
        "Arguments": arguments,
        "Retry": [*never, *_RETRY],
        **({"Assign": assign} if assign else {}),
        # what comes in is of use until the end
        "Output": "{% $states.input %}",
        "Next": following,
    }
    return {**state, "Catch": list(catch)} if catch else state


def catching(errors: Sequence[str], following: str, assign: Mapping[str, Any] | None = None) -> State:
    """Where a task goes on after some errors."""
    given = {"Assign": assign} if assign else {}
    return {"ErrorEquals": list(errors), **given, "Output": "{% $states.input %}", "Next": following}


def catching_all(following: str, assign: Mapping[str, Any] | None = None) -> list[State]:
    """Where a task goes on after any error: States.ALL stands alone, and leaves out an answer of more than 256 KiB."""
    return [catching([error], following, assign) for error in ("States.DataLimitExceeded", "States.ALL")]


def choice(condition: str, following: str, *, otherwise: str) -> State:
    """Where it goes on when a condition holds, and when it doesn't."""
    return {"Type": "Choice", "Choices": [{"Condition": condition, "Next": following}], "Default": otherwise}


def when_updatable(following: str, *, busy: str, broken: str) -> State:
    """Where it goes on by the status of a stack, the variable `status`: when it takes an update, is at one, or neither.

    A stack whose change set waits for review is in progress by its status, and stays so.
    """
    updatable = " or ".join(f"$status = '{status}'" for status in _UPDATABLE)
    return {
        "Type": "Choice",
        "Choices": [
            {"Condition": f"{{% {updatable} %}}", "Next": following},
            {
                "Condition": "{% $contains($status, '_IN_PROGRESS') and $status != 'REVIEW_IN_PROGRESS' %}",
                "Next": busy,
            },
        ],
        "Default": broken,
    }


def pause(following: str, *, growth: float, longest: int) -> State:
    """Wait for the seconds that the variable `pause` says, which grow each time, to the longest.

    An execution ends with 25,000 events in its history, so that what is looked at for days can't be looked at often.
    """
    grown = f"{{% $min([$ceil($pause * {growth}), {longest}]) %}}"
    return {"Type": "Wait", "Seconds": "{% $pause %}", "Assign": {"pause": grown}, "Next": following}
