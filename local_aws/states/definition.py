"""A state machine's definition in the Amazon States Language, checked: what can't be run here is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local_aws.json_api import ApiError
from local_aws.states.expressions import check_syntax
from local_aws.states.integrations import Integration

State = Mapping[str, Any]

LONGEST_WAIT_SECONDS = 99_999_999
_COMMON = frozenset({"Type", "Comment", "QueryLanguage"})
_MOVING = frozenset({"Next", "End", "Assign", "Output"})
_MEMBERS: Mapping[str, frozenset[str]] = {
    "Task": _COMMON | _MOVING | {"Resource", "Arguments", "Retry", "Catch"},
    "Pass": _COMMON | _MOVING,
    "Wait": _COMMON | _MOVING | {"Seconds", "Timestamp"},
    "Choice": _COMMON | {"Choices", "Default", "Assign", "Output"},
    "Succeed": _COMMON | {"Output"},
    "Fail": _COMMON | {"Error", "Cause"},
}
_RETRIER = frozenset(
    {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy", "Comment"}
)
_CATCHER = frozenset({"ErrorEquals", "Next", "Assign", "Output", "Comment"})
_RULE = frozenset({"Condition", "Next", "Assign", "Output", "Comment"})
_MACHINE = frozenset({"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"})
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Definition:
    """A definition that can be run."""

    start_at: str
    states: Mapping[str, State]
    timeout_seconds: int | None

    @staticmethod
    def parse(text: str) -> Definition:
        """Read a definition; ApiError(InvalidDefinition) lists everything that is wrong with it."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: it isn't JSON: {error}") from error
        problems = list(_problems(raw)) if isinstance(raw, dict) else ["it must be a JSON object"]
        if problems:
            raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: {'; '.join(problems)}")
        return Definition(raw["StartAt"], raw["States"], raw.get("TimeoutSeconds"))


def moment_of(text: str) -> datetime:
    """Return the moment that a Timestamp names, to the second; ValueError for what isn't one."""
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError(f"{text!r} is not a timestamp such as 2026-01-31T06:00:00Z")
    return datetime.fromisoformat(text).replace(microsecond=0)


def _problems(raw: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown("the state machine", raw, _MACHINE)
    states = raw.get("States")
    if not isinstance(states, dict) or not states:
        yield "States must hold one state at least"
        return
    if raw.get("StartAt") not in states:
        yield f"StartAt names {raw.get('StartAt')!r}, which is no state"
    for name, state in states.items():
        if raw.get("QueryLanguage", "JSONPath") != "JSONata" and state.get("QueryLanguage") != "JSONata":
            yield f"{name}: the local AWS runs states of the QueryLanguage JSONata alone"
            continue
        yield from _state_problems(name, state, states)


def _state_problems(name: str, state: State, states: Mapping[str, State]) -> Iterator[str]:
    kind = state.get("Type", "")
    if kind not in _MEMBERS:
        yield f"{name}: the local AWS runs states of the types {', '.join(_MEMBERS)}, not {kind!r}"
        return
    yield from _unknown(name, state, _MEMBERS[kind])
    yield from (f"{name}: {problem}" for problem in check_syntax(state))
    if "Next" in _MEMBERS[kind] and ("Next" in state) == ("End" in state):
        yield f"{name}: exactly one of Next and End must be there"
    parts = {"Retry": _RETRIER, "Catch": _CATCHER, "Choices": _RULE}
    nested = [part for member in parts for part in state.get(member, [])]
    for member, known in parts.items():
        for part in state.get(member, []):
            yield from _unknown(f"{name}: {member}", part, known)
    for target in [state.get("Next"), state.get("Default"), *(part.get("Next") for part in nested)]:
        if target is not None and target not in states:
            yield f"{name}: it goes on to {target!r}, which is no state"
    if kind in _CHECKS:
        yield from (f"{name}: {problem}" for problem in _CHECKS[kind](state))


def _wait_problems(state: State) -> Iterator[str]:
    if ("Seconds" in state) == ("Timestamp" in state):
        yield "exactly one of Seconds and Timestamp must be there"
    seconds = state.get("Seconds", 0)
    if isinstance(seconds, int) and not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        yield f"Seconds must be from 0 to {LONGEST_WAIT_SECONDS}, got {seconds}"
    timestamp = state.get("Timestamp", "{%")
    if not timestamp.lstrip().startswith("{%"):
        try:
            moment_of(timestamp)
        except ValueError as error:
            yield str(error)


def _task_problems(state: State) -> Iterator[str]:
    try:
        Integration.parse(state.get("Resource", "")).check(state.get("Arguments", {}))
    except ValueError as error:
        yield str(error)


def _choice_problems(state: State) -> Iterator[str]:
    if not state.get("Choices"):
        yield "Choices must hold one rule at least"
    for rule in state.get("Choices", []):
        if not {"Condition", "Next"} <= rule.keys():
            yield "each rule needs a Condition and a Next"


_CHECKS: Mapping[str, Callable[[State], Iterator[str]]] = {
    "Wait": _wait_problems, "Task": _task_problems, "Choice": _choice_problems,
}  # fmt: skip


def _unknown(where: str, found: Mapping[str, Any], known: frozenset[str]) -> Iterator[str]:
    for member in sorted(found.keys() - known):
        yield f"{where}: the local AWS doesn't act on {member}"
