"""One execution of a state machine."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from local_aws.service import LocalContext
from local_aws.states.definition import LONGEST_WAIT_SECONDS, Definition, State, moment_of
from local_aws.states.expressions import QueryError, evaluate
from local_aws.states.history import History
from local_aws.states.integrations import Integration, TaskFailure

_log = logging.getLogger(__name__)

Record = dict[str, Any]


class ExecutionTimeout(Exception):
    """The execution has taken longer than its state machine's TimeoutSeconds."""


class ExecutionStopped(Exception):
    """Somebody has stopped the execution."""


class Execution(threading.Thread):
    """Runs the states in a thread; waits, pauses of retries and times go by the clock of the local AWS.

    `record` is what DescribeExecution returns, and changes when the execution ends. `changed` is called with it at the
    start and at the end; `executions` finds another execution by its ARN. Tasks act in the role of the state machine,
    as it was when the execution started.
    """

    def __init__(
        self,
        context: LocalContext,
        machine: Mapping[str, Any],
        definition: Definition,
        record: Record,
        value: Any,
        history: History,
        changed: Callable[[Record], None],
        executions: Callable[[str], Execution],
    ) -> None:
        super().__init__(name=f"states-{record['name']}", daemon=True)
        self.record = record
        self.history = history
        self.finished = threading.Event()
        self._context = context
        self._machine = machine
        self._definition = definition
        self._input = value
        self._changed = changed
        self._executions = executions
        self._variables: dict[str, Any] = {}
        self._stop_requested = threading.Event()
        self._stopped_by: tuple[str | None, str | None] = (None, None)
        limit = definition.timeout_seconds
        self._deadline = record["startDate"] + timedelta(seconds=limit) if limit else None

    def start(self) -> None:
        """Start the thread; the clock knows of it from now on."""
        self._worker = self._context.clock.worker(f"state machine {self._machine['name']}/{self.record['name']}")
        super().start()

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """End the execution at its next state, or while it waits."""
        self._stopped_by = (error, cause)
        self._stop_requested.set()
        self._context.clock.wake()

    def run(self) -> None:
        """Run states to the end; whatever happens is in the record."""
        self._changed(self.record)
        self.history.note("ExecutionStarted", input=self.record["input"], roleArn=self._machine["roleArn"])
        error: str | None = None
        cause: str | None = None
        try:
            output = self._run_states()
            status = "SUCCEEDED"
            self.history.note("ExecutionSucceeded", output=output)
        except TaskFailure as failure:
            status, error, cause = "FAILED", failure.error, failure.cause
            self.history.note("ExecutionFailed", error=error, cause=cause)
        except ExecutionTimeout:
            status = "TIMED_OUT"
            self.history.note("ExecutionTimedOut")
        except ExecutionStopped:
            status, (error, cause) = "ABORTED", self._stopped_by
            self.history.note("ExecutionAborted", error=error, cause=cause)
        except Exception as broken:
            _log.exception("the execution %s broke", self.record["executionArn"])
            status, error, cause = "FAILED", "States.Runtime", f"{type(broken).__name__}: {broken}"
            self.history.note("ExecutionFailed", error=error, cause=cause)
        ended: Record = {"status": status, "stopDate": self._context.clock.now(), "error": error, "cause": cause}
        if status == "SUCCEEDED":
            ended |= {"output": json.dumps(output), "outputDetails": {"included": True}}
        self.record = {**self.record, **ended}
        self.history.close()
        try:
            self._changed(self.record)
        finally:
            self.finished.set()
            # a state machine that has waited for this one goes on before nobody is at work
            self._context.clock.wake()
            self._worker.end()

    def _run_states(self) -> Any:
        name: str | None = self._definition.start_at
        value = self._input
        while name is not None:
            self._check_end()
            state = self._definition.states[name]
            self.history.note(f"{state['Type']}StateEntered", name=name, input=value)
            entered = self._context.clock.now()
            try:
                following, result = _StateRun(self, name, state, value, entered).run()
            except QueryError as error:
                raise TaskFailure("States.QueryEvaluationError", f"{name}: {error}") from error
            if state["Type"] not in ("Succeed", "Fail"):
                self.history.note(f"{state['Type']}StateExited", name=name, output=result)
            name, value = following, result
        return value

    def _check_end(self) -> None:
        if self._stop_requested.is_set():
            raise ExecutionStopped
        if self._deadline is not None and self._context.clock.now() >= self._deadline:
            raise ExecutionTimeout

    def wait_until(self, moment: datetime) -> None:
        """Return when a moment has come; ExecutionStopped or ExecutionTimeout if that comes first."""
        until = moment if self._deadline is None else min(moment, self._deadline)
        self._worker.wait_until(until, self._stop_requested.is_set)
        self._check_end()

    def follow(self, execution_arn: str) -> None:
        """Return when another execution has ended; stop it when this one is to end before."""
        other = self._executions(execution_arn)
        self._worker.wait_until(self._deadline, lambda: self._stop_requested.is_set() or other.finished.is_set())
        try:
            self._check_end()
        except (ExecutionStopped, ExecutionTimeout):
            other.stop()
            raise

    def now(self) -> datetime:
        """Return the present moment."""
        return self._context.clock.now()

    def client(self, service: str) -> Any:
        """Return a client that acts in the role of the state machine."""
        region = self._machine["stateMachineArn"].split(":")[3]
        return self._context.client(service, region=region, role_arn=self._machine["roleArn"])

    def variables(self) -> dict[str, Any]:
        """Return what states have assigned so far."""
        return dict(self._variables)

    def assign(self, assigned: Mapping[str, Any]) -> None:
        """Give variables their values."""
        self._variables.update(assigned)

    def context_object(self, state: str, entered: datetime) -> Record:
        """Return `$states.context`."""
        return {
            "Execution": {
                "Id": self.record["executionArn"],
                "Input": self._input,
                "Name": self.record["name"],
                "RoleArn": self._machine["roleArn"],
                "StartTime": _text(self.record["startDate"]),
            },
            "StateMachine": {"Id": self._machine["stateMachineArn"], "Name": self._machine["name"]},
            "State": {"Name": state, "EnteredTime": _text(entered)},
        }


class _StateRun:
    """One passage through a state."""

    def __init__(self, execution: Execution, name: str, state: State, value: Any, entered: datetime) -> None:
        self._execution = execution
        self._name = name
        self._state = state
        self._states: Record = {"input": value, "context": execution.context_object(name, entered)}

    def run(self) -> tuple[str | None, Any]:
        """Return the next state's name, None at the end, and this one's output; TaskFailure if it fails."""
        kind, state = self._state["Type"], self._state
        if kind == "Choice":
            return self._choose()
        if kind == "Fail":
            error, cause = (self._evaluated(state.get(member)) for member in ("Error", "Cause"))
            raise TaskFailure(error or "", cause or "")
        if kind == "Wait":
            self._wait()
        if kind == "Task":
            caught = self._try_task()
            if caught is not None:
                return caught
        result = self._states.get("result", self._states["input"])
        return (None if kind == "Succeed" else state.get("Next")), self._leave(state, result)

    def _choose(self) -> tuple[str, Any]:
        for rule in self._state["Choices"]:
            holds = self._evaluated(rule["Condition"])
            if not isinstance(holds, bool):
                raise QueryError(f"the Condition {rule['Condition']} must be true or false, it is {holds!r}")
            if holds:
                return rule["Next"], self._leave(rule, self._states["input"])
        if "Default" not in self._state:
            raise TaskFailure("States.NoChoiceMatched", f"{self._name}: no rule holds, and there is no Default")
        return self._state["Default"], self._leave(self._state, self._states["input"])

    def _wait(self) -> None:
        if "Seconds" in self._state:
            seconds = self._evaluated(self._state["Seconds"])
            if not isinstance(seconds, int) or not 0 <= seconds <= LONGEST_WAIT_SECONDS:
                raise QueryError(f"Seconds must be a whole number from 0 to {LONGEST_WAIT_SECONDS}, it is {seconds!r}")
            moment = self._execution.now() + timedelta(seconds=seconds)
        else:
            text = self._evaluated(self._state["Timestamp"])
            try:
                moment = moment_of(str(text))
            except ValueError as error:
                raise QueryError(f"Timestamp: {error}") from error
        self._execution.wait_until(moment)

    def _try_task(self) -> tuple[str, Any] | None:
        """Call the task, with its retries; returns where a Catch leads to, None if the task has succeeded."""
        state = self._state
        integration = Integration.parse(state["Resource"])
        pauses = [(retrier, _pauses(retrier)) for retrier in state.get("Retry", [])]
        while True:
            try:
                arguments = self._evaluated(state.get("Arguments", {}))
                self._execution.history.note("TaskScheduled", resource=state["Resource"], parameters=arguments)
                client = self._execution.client(integration.service.client)
                answer = integration.call(client, arguments)
                if integration.waits:
                    self._execution.follow(answer["ExecutionArn"])
                    answer = integration.outcome(client, answer["ExecutionArn"])
                self._states["result"] = answer
                self._execution.history.note("TaskSucceeded", output=self._states["result"])
                return None
            except (TaskFailure, QueryError) as error:
                failure = error if isinstance(error, TaskFailure) else _query_failure(self._name, error)
                self._execution.history.note("TaskFailed", error=failure.error, cause=failure.cause)
                pause = next((next(each, None) for part, each in pauses if _takes(part, failure.error)), None)
                if pause is None:
                    return self._caught(failure)
            self._execution.wait_until(self._execution.now() + timedelta(seconds=pause))

    def _caught(self, failure: TaskFailure) -> tuple[str, Any]:
        for catcher in self._state.get("Catch", []):
            if _takes(catcher, failure.error):
                told = {"Error": failure.error, "Cause": failure.cause}
                self._states["errorOutput"] = told
                return catcher["Next"], self._leave(catcher, told)
        raise failure

    def _leave(self, part: Mapping[str, Any], result: Any) -> Any:
        """Return the output of the state, or of its rule or catcher; variables change after both are evaluated."""
        output = self._evaluated(part["Output"]) if "Output" in part else result
        self._execution.assign(self._evaluated(part.get("Assign", {})))
        return output

    def _evaluated(self, value: Any) -> Any:
        return evaluate(value, {**self._execution.variables(), "states": self._states}, self._execution.now())


def _takes(part: Mapping[str, Any], error: str) -> bool:
    """Say whether a retrier or catcher is about an error."""
    names = part["ErrorEquals"]
    if error in names:
        return True
    fatal = error in ("States.DataLimitExceeded", "States.Runtime")
    return ("States.ALL" in names and not fatal) or ("States.TaskFailed" in names and not error.startswith("States."))


def _pauses(retrier: Mapping[str, Any]) -> Iterator[float]:
    pause = float(retrier.get("IntervalSeconds", 1))
    for _ in range(int(retrier.get("MaxAttempts", 3))):
        longest = min(pause, float(retrier.get("MaxDelaySeconds", pause)))
        # nothing secret hangs on it
        yield random.uniform(0, longest) if retrier.get("JitterStrategy") == "FULL" else longest  # noqa: S311
        pause *= float(retrier.get("BackoffRate", 2))


def _query_failure(name: str, error: QueryError) -> TaskFailure:
    return TaskFailure("States.QueryEvaluationError", f"{name}: {error}")


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
