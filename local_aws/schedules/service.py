"""The API of EventBridge Scheduler: moto keeps the schedules, the local AWS checks and runs them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

from werkzeug import Response

from local_aws.json_api import ApiError, JsonApi, validate
from local_aws.schedules.expressions import parse_expression
from local_aws.schedules.runner import ScheduleRunner
from local_aws.schedules.targets import api_call
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)

Record = dict[str, Any]
_PATH = re.compile(r"/(schedules|schedule-groups)/([^/]+)")
_SAMPLE = {
    "schedule-arn": "arn:aws:scheduler:us-east-1:123456789012:schedule/default/sample",
    "scheduled-time": "2026-01-01T00:00:00Z",
    "execution-id": "0",
    "attempt-number": "1",
}


class SchedulerService:
    """Answers the operations that make and change schedules, and those that moto gets wrong; runs schedules."""

    scopes = frozenset({"scheduler"})

    def __init__(self, context: LocalContext) -> None:
        self._clock = context.clock
        self._api = JsonApi("scheduler")
        self._runner = ScheduleRunner(context, _all_schedules)
        self._operations = {
            ("schedules", "POST"): ("CreateSchedule", self._create),
            ("schedules", "PUT"): ("UpdateSchedule", self._update),
            ("schedule-groups", "POST"): ("CreateScheduleGroup", self._check_new_group),
            ("schedule-groups", "DELETE"): ("DeleteScheduleGroup", self._check_deletable_group),
        }
        self._runner.start()

    def handle(self, call: Call) -> Response | None:
        """Answer the operations that are ours; reading, deleting and tagging are moto's."""
        path = _PATH.fullmatch(call.request.path)
        operation, handler = self._operations.get((path[1], call.request.method), ("", None)) if path else ("", None)
        if path is None or handler is None:
            return None
        try:
            request = self._parse(operation, path[2], call.request.get_data())
            answer = handler(_backend(call), request)
            return None if answer is None else self._api.answer(operation, answer)
        except ApiError as error:
            return error.response()
        except Exception as error:
            _log.exception("%s failed", operation)
            return ApiError("InternalServerException", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Run no schedule any more."""
        self._runner.close()

    def _parse(self, operation: str, name: str, body: bytes) -> Record:
        request: Record = {**json.loads(body or b"{}"), "Name": name}
        shape = self._api.model.operation_model(operation).input_shape
        if shape is not None:
            validate(shape, request)
        return request

    def _create(self, backend: Any, request: Record) -> Record:
        group = _group(backend, request)
        if request["Name"] in group.schedules:
            raise ApiError("ConflictException", f"Schedule {request['Name']} already exists.", 409)
        _check(request)
        schedule = backend.create_schedule(
            name=request["Name"], group_name=group.name, action_after_completion=request.get("ActionAfterCompletion"),
            **_members(request),
        )  # fmt: skip
        schedule.creation_date = schedule.last_modified_date = self._clock.now().timestamp()
        self._runner.changed(schedule, created=True)
        return {"ScheduleArn": schedule.arn}

    def _update(self, backend: Any, request: Record) -> Record:
        group = _group(backend, request)
        if request["Name"] not in group.schedules:
            raise ApiError("ResourceNotFoundException", f"Schedule {request['Name']} does not exist.", 404)
        _check(request)
        schedule = backend.update_schedule(name=request["Name"], group_name=group.name, **_members(request))
        schedule.action_after_completion = request.get("ActionAfterCompletion")
        schedule.last_modified_date = self._clock.now().timestamp()
        self._runner.changed(schedule)
        return {"ScheduleArn": schedule.arn}

    def _check_new_group(self, backend: Any, request: Record) -> None:
        if request["Name"] in backend.schedule_groups:
            raise ApiError("ConflictException", f"Schedule group {request['Name']} already exists.", 409)

    def _check_deletable_group(self, backend: Any, request: Record) -> None:
        _group(backend, {"GroupName": request["Name"]})
        if request["Name"] == "default":
            raise ApiError("ValidationException", "The default schedule group can't be deleted.")


def _check(request: Record) -> None:
    try:
        parse_expression(request["ScheduleExpression"], request.get("ScheduleExpressionTimezone", "UTC"))
        api_call(request["Target"], _SAMPLE)
    except ValueError as error:
        raise ApiError("ValidationException", f"Schedule {request['Name']}: {error}") from error
    window = request["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        raise ApiError(
            "ValidationException",
            f"Schedule {request['Name']}: MaximumWindowInMinutes belongs to the mode FLEXIBLE, got {window}",
        )
    if "StartDate" in request and "EndDate" in request and request["EndDate"] <= request["StartDate"]:
        raise ApiError("ValidationException", f"Schedule {request['Name']}: EndDate must be after StartDate")


def _members(request: Record) -> Record:
    return {
        "description": request.get("Description"),
        "schedule_expression": request["ScheduleExpression"],
        "schedule_expression_timezone": request.get("ScheduleExpressionTimezone", "UTC"),
        "flexible_time_window": request["FlexibleTimeWindow"],
        "target": request["Target"],
        "state": request.get("State", "ENABLED"),
        "start_date": request.get("StartDate"),
        "end_date": request.get("EndDate"),
        "kms_key_arn": request.get("KmsKeyArn"),
    }


def _backend(call: Call) -> Any:
    from moto.scheduler.models import scheduler_backends

    return scheduler_backends[call.account][call.region]


def _group(backend: Any, request: Record) -> Any:
    name = request.get("GroupName", "default")
    if name not in backend.schedule_groups:
        raise ApiError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
    return backend.schedule_groups[name]


def _all_schedules() -> Iterator[Any]:
    from moto.scheduler.models import scheduler_backends

    for regions in list(scheduler_backends.values()):
        for backend in list(regions.values()):
            for group in list(backend.schedule_groups.values()):
                # one that is being made has no time yet
                yield from (each for each in list(group.schedules.values()) if hasattr(each, "ran_until"))
