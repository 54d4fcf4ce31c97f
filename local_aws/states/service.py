"""The API of Step Functions."""

from __future__ import annotations

import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from werkzeug import Response

from local_aws.jobs.log_stream import LogStream
from local_aws.json_api import ApiError, JsonApi
from local_aws.service import Call, LocalContext
from local_aws.states.definition import Definition
from local_aws.states.execution import Execution
from local_aws.states.history import History

_log = logging.getLogger(__name__)

Record = dict[str, Any]
Handler = Callable[[Call, Record], Mapping[str, Any]]
Owner = tuple[str, str]

CLOSE_SECONDS = 5.0
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
_EVENT = "Step Functions Execution Status Change"


class StepFunctionsService:
    """State machines of the type STANDARD and their executions, for every account and region."""

    scopes = frozenset({"states"})

    def __init__(self, context: LocalContext) -> None:
        self._context = context
        self._api = JsonApi("stepfunctions")
        self._lock = threading.RLock()
        self._machines: dict[Owner, dict[str, Record]] = {}
        # by state machine and name, oldest first
        self._executions: dict[str, dict[str, Execution]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._closed = False
        self._operations: dict[str, Handler] = {
            "CreateStateMachine": self._create,
            "UpdateStateMachine": self._update,
            "DescribeStateMachine": lambda call, request: self._machine(call, request["stateMachineArn"]),
            "ListStateMachines": self._list,
            "DeleteStateMachine": self._delete,
            "StartExecution": self._start,
            "StopExecution": self._stop,
            "DescribeExecution": lambda call, request: self._execution(request["executionArn"]).record,  # noqa: ARG005
            "ListExecutions": self._list_executions,
            "GetExecutionHistory": self._history,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    def handle(self, call: Call) -> Response | None:
        """Answer every call; Step Functions is never moto's."""
        operation = self._api.operation(call.request.headers.get("X-Amz-Target", ""))
        try:
            request = self._api.parse(operation, call.request.get_data())
            if operation not in self._operations:
                raise ApiError("UnknownOperationException", f"the local AWS doesn't have Step Functions' {operation}")
            return self._api.answer(operation, self._operations[operation](call, request))
        except ApiError as error:
            return error.response()
        except Exception as error:
            _log.exception("%s failed", operation)
            return ApiError("InternalFailure", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Stop every execution."""
        with self._lock:
            self._closed = True
            running = [each for found in self._executions.values() for each in found.values()]
        for execution in running:
            execution.stop()
        for execution in running:
            execution.finished.wait(CLOSE_SECONDS)

    def _create(self, call: Call, request: Record) -> Record:
        name = request["name"]
        if not _NAME.fullmatch(name):
            raise ApiError("InvalidName", f"Invalid Name: '{name}'")
        _refuse(request, "publish", "versionDescription", "encryptionConfiguration")
        if request.get("type", "STANDARD") != "STANDARD":
            raise ApiError("StateMachineTypeNotSupported", "the local AWS runs the type STANDARD alone")
        Definition.parse(request["definition"])
        arn = f"arn:aws:states:{call.region}:{call.account}:stateMachine:{name}"
        moment = self._context.clock.now()
        record = {
            "stateMachineArn": arn,
            "name": name,
            "status": "ACTIVE",
            "definition": request["definition"],
            "roleArn": request["roleArn"],
            "type": "STANDARD",
            "creationDate": moment,
            "loggingConfiguration": request.get("loggingConfiguration", {"level": "OFF"}),
            "tracingConfiguration": request.get("tracingConfiguration", {"enabled": False}),
            "revisionId": str(uuid.uuid4()),
        }
        with self._lock:
            machines = self._machines.setdefault((call.account, call.region), {})
            found = machines.get(arn)
            if found is not None:
                same = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration")
                if any(found[member] != record[member] for member in same):
                    raise ApiError("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")
                return {"stateMachineArn": arn, "creationDate": found["creationDate"]}
            machines[arn] = record
            self._tags[arn] = {tag["key"]: tag["value"] for tag in request.get("tags", [])}
        return {"stateMachineArn": arn, "creationDate": moment}

    def _update(self, call: Call, request: Record) -> Record:
        """Change what the request names; executions that run go on as they began."""
        _refuse(request, "publish", "versionDescription", "encryptionConfiguration")
        members = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration")
        changes = {member: request[member] for member in members if member in request}
        if not changes:
            raise ApiError("MissingRequiredParameter", f"one of {', '.join(members)} must be given")
        if "definition" in changes:
            Definition.parse(changes["definition"])
        with self._lock:
            machine = self._machine(call, request["stateMachineArn"])
            revision = str(uuid.uuid4())
            self._machines[call.account, call.region][machine["stateMachineArn"]] = {
                **machine, **changes, "revisionId": revision,
            }  # fmt: skip
        return {"updateDate": self._context.clock.now(), "revisionId": revision}

    def _list(self, call: Call, request: Record) -> Record:
        with self._lock:
            found = sorted(self._machines.get((call.account, call.region), {}).values(), key=lambda each: each["name"])
        shown, token = _page(found, request)
        return {"stateMachines": shown, "nextToken": token}

    def _delete(self, call: Call, request: Record) -> Record:
        """Delete a state machine, and end its executions; one that isn't there is no error, as on AWS."""
        arn = request["stateMachineArn"]
        with self._lock:
            self._machines.get((call.account, call.region), {}).pop(arn, None)
            self._tags.pop(arn, None)
            running = list(self._executions.pop(arn, {}).values())
        for execution in running:
            execution.stop()
        return {}

    def _start(self, call: Call, request: Record) -> Record:
        text, name = request.get("input", "{}"), request.get("name") or str(uuid.uuid4())
        if not _NAME.fullmatch(name):
            raise ApiError("InvalidName", f"Invalid Name: '{name}'")
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ApiError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'") from error
        with self._lock:
            if self._closed:
                raise ApiError("ServiceUnavailable", "the local AWS is stopping", 503)
            machine = self._machine(call, request["stateMachineArn"])
            executions = self._executions.setdefault(machine["stateMachineArn"], {})
            if name in executions:
                found = executions[name].record
                if found["status"] != "RUNNING" or found["input"] != text:
                    raise ApiError("ExecutionAlreadyExists", f"Execution Already Exists: '{found['executionArn']}'")
                return found
            record = self._new_execution(machine, name, text)
            executions[name] = execution = Execution(
                self._context,
                machine,
                Definition.parse(machine["definition"]),
                record,
                value,
                self._new_history(machine, record),
                self._announce,
                self._execution,
            )
            execution.start()
        return record

    def _new_execution(self, machine: Record, name: str, text: str) -> Record:
        return {
            "executionArn": f"{machine['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}",
            "stateMachineArn": machine["stateMachineArn"],
            "name": name,
            "status": "RUNNING",
            "startDate": self._context.clock.now(),
            "input": text,
            "inputDetails": {"included": True},
        }

    def _new_history(self, machine: Record, record: Record) -> History:
        logging_to = machine["loggingConfiguration"]
        level, log = logging_to.get("level", "OFF"), None
        groups = [each["cloudWatchLogsLogGroup"]["logGroupArn"] for each in logging_to.get("destinations", [])]
        if level != "OFF" and groups:
            # arn:aws:logs:<region>:<account>:log-group:<name>:*
            region, group = groups[0].split(":")[3], groups[0].split(":")[6]
            stream = f"states/{machine['name']}/{record['startDate']:%Y-%m-%d-%H-%M}/{uuid.uuid4().hex[:8]}"
            log = LogStream(self._context.client("logs", region=region), group, stream)
        with_data = bool(logging_to.get("includeExecutionData"))
        return History(self._context.clock, record["executionArn"], log, level, with_data=with_data)

    def _stop(self, call: Call, request: Record) -> Record:
        del call
        execution = self._execution(request["executionArn"])
        if execution.record["status"] == "RUNNING":
            execution.stop(request.get("error"), request.get("cause"))
            execution.finished.wait(CLOSE_SECONDS)
        return {"stopDate": execution.record.get("stopDate", self._context.clock.now())}

    def _list_executions(self, call: Call, request: Record) -> Record:
        machine = self._machine(call, request["stateMachineArn"])
        with self._lock:
            records = [each.record for each in self._executions.get(machine["stateMachineArn"], {}).values()]
        wanted = request.get("statusFilter")
        found = [each for each in reversed(records) if wanted in (None, each["status"])]
        shown, token = _page(found, request)
        return {"executions": shown, "nextToken": token}

    def _history(self, call: Call, request: Record) -> Record:
        del call
        events = self._execution(request["executionArn"]).history.events()
        if request.get("reverseOrder"):
            events.reverse()
        shown, token = _page(events, request)
        return {"events": shown, "nextToken": token}

    def _tag(self, call: Call, request: Record) -> Record:
        del call
        self._tags_of(request).update({tag["key"]: tag["value"] for tag in request["tags"]})
        return {}

    def _untag(self, call: Call, request: Record) -> Record:
        del call
        for key in request["tagKeys"]:
            self._tags_of(request).pop(key, None)
        return {}

    def _list_tags(self, call: Call, request: Record) -> Record:
        del call
        return {"tags": [{"key": key, "value": value} for key, value in self._tags_of(request).items()]}

    def _tags_of(self, request: Record) -> dict[str, str]:
        with self._lock:
            if request["resourceArn"] not in self._tags:
                raise ApiError("ResourceNotFound", f"Resource not found: '{request['resourceArn']}'")
            return self._tags[request["resourceArn"]]

    def _machine(self, call: Call, arn: str) -> Record:
        with self._lock:
            found = self._machines.get((call.account, call.region), {}).get(arn)
        if found is None:
            raise ApiError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        return found

    def _execution(self, arn: str) -> Execution:
        machine, _, name = arn.replace(":execution:", ":stateMachine:").rpartition(":")
        with self._lock:
            found = self._executions.get(machine, {}).get(name)
        if found is None:
            raise ApiError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return found

    def _announce(self, record: Record) -> None:
        """Put the change of an execution's status on the default bus; times are in milliseconds there."""
        detail = {
            name: int(value.timestamp() * 1000) if isinstance(value, datetime) else value
            for name, value in record.items()
        }
        try:
            self._context.emit("aws.states", _EVENT, detail, [record["executionArn"]])
        except Exception:
            # an execution goes on when a target of its events breaks
            _log.exception("the event of %s wasn't delivered", record["executionArn"])


def _page(found: Sequence[Record], request: Record) -> tuple[Sequence[Record], str | None]:
    token = request.get("nextToken") or "0"
    if not token.isdigit():
        raise ApiError("InvalidToken", f"Invalid Token: '{token}'")
    end = int(token) + (request.get("maxResults") or 100)
    return found[int(token) : end], str(end) if end < len(found) else None


def _refuse(request: Record, *members: str) -> None:
    for name in members:
        if request.get(name):
            raise ApiError("ValidationException", f"the local AWS doesn't act on {name}")
