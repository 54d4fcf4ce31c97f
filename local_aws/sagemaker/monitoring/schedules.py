"""Monitoring schedules: they run by the clock of the local AWS, and keep what came of each execution."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from local_aws.json_api import ApiError
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.monitoring.definitions import DATA_QUALITY, Definition, JobDefinitions, within_schedule
from local_aws.sagemaker.monitoring.execution import MonitoringExecution, Surroundings
from local_aws.sagemaker.monitoring.timing import Timing, Window, window
from local_aws.sagemaker.workspace import Operation, Record

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
_TICK = timedelta(microseconds=1)


@dataclass
class _Schedule:
    record: Record
    timing: Timing
    ran_until: datetime
    executions: list[MonitoringExecution] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.record["MonitoringScheduleName"])

    def next(self) -> datetime | None:
        if self.record["MonitoringScheduleStatus"] != "Scheduled" or self.timing.times is None:
            return None
        return self.timing.times.next_after(self.ran_until, self.record["CreationTime"])


class MonitoringSchedules:
    """The schedules of one account and region, and their executions, which outlive them."""

    def __init__(self, surroundings: Surroundings, definitions: JobDefinitions) -> None:
        self._surroundings = surroundings
        self._workspace = surroundings.workspace
        self._definitions = definitions
        self._schedules: dict[str, _Schedule] = {}
        self._executions: list[MonitoringExecution] = []
        self._closed = threading.Event()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateMonitoringSchedule": self._create,
            "UpdateMonitoringSchedule": self._update,
            "DescribeMonitoringSchedule": self._describe,
            "ListMonitoringSchedules": self._list,
            "StartMonitoringSchedule": lambda request: self._switch(request, "Scheduled"),
            "StopMonitoringSchedule": lambda request: self._switch(request, "Stopped"),
            "DeleteMonitoringSchedule": self._delete,
            "ListMonitoringExecutions": self._list_executions,
        }

    def close(self) -> None:
        """Start no execution any more; the jobs of those that run are stopped by who runs jobs."""
        self._closed.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout=CLOSE_SECONDS)

    def _create(self, request: Record) -> Record:
        name = request["MonitoringScheduleName"]
        arn, config = self._workspace.arn("monitoring-schedule", name), request["MonitoringScheduleConfig"]
        definition, timing = self._understood(config)
        moment = self._workspace.now()
        with self._workspace.lock:
            if name in self._schedules:
                raise ApiError("ResourceInUse", f"The monitoring schedule {arn} exists already.")
            record = {
                "MonitoringScheduleArn": arn,
                "MonitoringScheduleName": name,
                "MonitoringScheduleStatus": "Scheduled",
                "CreationTime": moment,
                "LastModifiedTime": moment,
                **self._described(config, definition),
            }
            # one that is due at this very moment runs
            schedule = _Schedule(record, timing, moment - _TICK)
            self._schedules[name] = schedule
        self._workspace.tag(arn, request.get("Tags", []))
        self._began(schedule)
        return {"MonitoringScheduleArn": arn}

    def _update(self, request: Record) -> Record:
        """Take another configuration; an execution that runs goes on as it began."""
        config = request["MonitoringScheduleConfig"]
        definition, timing = self._understood(config)
        with self._workspace.lock:
            schedule = self._schedule(request)
            moment = self._workspace.now()
            schedule.record |= {"LastModifiedTime": moment, **self._described(config, definition)}
            schedule.timing, schedule.ran_until = timing, moment
        self._began(schedule)
        return {"MonitoringScheduleArn": schedule.record["MonitoringScheduleArn"]}

    def _describe(self, request: Record) -> Record:
        with self._workspace.lock:
            schedule = self._schedule(request)
            newest = {"LastMonitoringExecutionSummary": schedule.executions[-1].record} if schedule.executions else {}
            return {**schedule.record, **newest}

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = [
                {**each.record, "MonitoringJobDefinitionName": each.record["MonitoringScheduleConfig"].get(_NAME)}
                for each in self._schedules.values()
            ]
        records = [each for each in records if _is_wanted(each, request)]
        found, token = listed(records, request, name="MonitoringScheduleName", status="MonitoringScheduleStatus")
        return {"MonitoringScheduleSummaries": found, "NextToken": token}

    def _switch(self, request: Record, status: str) -> Record:
        with self._workspace.lock:
            schedule = self._schedule(request)
            moment = self._workspace.now()
            # times that pass while it is stopped don't count
            schedule.ran_until = moment
            schedule.record |= {"MonitoringScheduleStatus": status, "LastModifiedTime": moment}
        self._wake()
        return {}

    def _delete(self, request: Record) -> Record:
        with self._workspace.lock:
            schedule = self._schedule(request)
            if any(not each.finished.is_set() for each in schedule.executions):
                raise ApiError(
                    "ValidationException",
                    f"The monitoring schedule {schedule.name} has an execution in progress: it can be deleted when "
                    "that has ended.",
                )
            del self._schedules[schedule.name]
        self._workspace.forget(schedule.record["MonitoringScheduleArn"])
        self._wake()
        return {}

    def _list_executions(self, request: Record) -> Record:
        with self._workspace.lock:
            records = [each.record for each in self._executions]
        wanted = request.get("MonitoringScheduleName")
        after, before = request.get("ScheduledTimeAfter"), request.get("ScheduledTimeBefore")
        records = [
            each
            for each in records
            if wanted in (None, each["MonitoringScheduleName"])
            and (after is None or each["ScheduledTime"].timestamp() > float(after))
            and (before is None or each["ScheduledTime"].timestamp() < float(before))
            and _is_wanted(each, request)
        ]
        found, token = listed(
            records, request, name="MonitoringScheduleName", status="MonitoringExecutionStatus", name_filters=()
        )
        return {"MonitoringExecutionSummaries": found, "NextToken": token}

    def _schedule(self, request: Record) -> _Schedule:
        name = request["MonitoringScheduleName"]
        if name not in self._schedules:
            arn = self._workspace.arn("monitoring-schedule", name)
            raise ApiError("ResourceNotFound", f"Could not find the monitoring schedule {arn}.")
        return self._schedules[name]

    def _understood(self, config: Record) -> tuple[Definition, Timing]:
        definition = self._definition(config)
        schedule = config.get("ScheduleConfig", {"ScheduleExpression": "NOW"})
        try:
            timing = Timing.parse(schedule["ScheduleExpression"])
            offsets = [schedule.get(f"DataAnalysis{which}Time") for which in ("Start", "End")]
            if timing.times is None and None in offsets:
                raise ValueError("a schedule that runs NOW needs a DataAnalysisStartTime and a DataAnalysisEndTime")
            if timing.times is not None and offsets != [None, None]:
                raise ValueError("DataAnalysisStartTime and DataAnalysisEndTime belong to a schedule that runs NOW")
            self._window(config, definition, timing, self._workspace.now())
        except ValueError as error:
            raise ApiError("ValidationException", f"ScheduleConfig: {error}") from error
        return definition, timing

    def _definition(self, config: Record) -> Definition:
        kind = config.get("MonitoringType", DATA_QUALITY)
        if (_NAME in config) == ("MonitoringJobDefinition" in config):
            raise ApiError("ValidationException", f"exactly one of {_NAME} and MonitoringJobDefinition must be given")
        if _NAME in config:
            return self._definitions.definition(kind, config[_NAME])
        return within_schedule(kind, config["MonitoringJobDefinition"])

    @staticmethod
    def _window(config: Record, definition: Definition, timing: Timing, scheduled: datetime) -> Window:
        if timing.times is None:
            schedule = config["ScheduleConfig"]
            offsets = schedule["DataAnalysisStartTime"], schedule["DataAnalysisEndTime"]
        else:
            given = definition.endpoint_input
            offsets = given.get("StartTimeOffset"), given.get("EndTimeOffset")
        return window(scheduled, timing.period, *offsets)

    @staticmethod
    def _described(config: Record, definition: Definition) -> Record:
        return {
            "MonitoringScheduleConfig": config,
            "MonitoringType": definition.kind,
            "EndpointName": definition.endpoint,
        }

    def _began(self, schedule: _Schedule) -> None:
        """Run a schedule by what it says from now on."""
        with self._workspace.lock:
            if self._thread is None and not self._closed.is_set():
                self._worker = self._workspace.context.clock.worker("the monitoring schedules")
                self._thread = threading.Thread(target=self._run, name="monitoring-schedules", daemon=True)
                self._thread.start()
        if schedule.timing.times is None:
            self._execute(schedule, self._workspace.now())
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._workspace.context.clock.wake()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._changed.clear()
            upcoming = self._run_due()
            self._worker.wait_until(upcoming, lambda: self._closed.is_set() or self._changed.is_set())
        self._worker.end()

    def _run_due(self) -> datetime | None:
        """Execute every schedule whose time has come, in the order of the times; return the next one."""
        while True:
            with self._workspace.lock:
                now = self._workspace.now()
                times = [(time, each) for each in self._schedules.values() if (time := each.next()) is not None]
                if not times:
                    return None
                time, schedule = min(times, key=lambda each: each[0])
                if time > now or self._closed.is_set():
                    return time
                schedule.ran_until = max(schedule.ran_until, time)
            self._execute(schedule, time)

    def _execute(self, schedule: _Schedule, scheduled: datetime) -> None:
        config = schedule.record["MonitoringScheduleConfig"]
        try:
            definition = self._definition(config)
            looked_at = self._window(config, definition, schedule.timing, scheduled)
        except (ApiError, ValueError) as error:
            # its definition was deleted meanwhile
            with self._workspace.lock:
                schedule.record |= {"MonitoringScheduleStatus": "Failed", "FailureReason": str(error)}
            return
        execution = MonitoringExecution(self._surroundings, definition, schedule.name, scheduled, looked_at)
        with self._workspace.lock:
            schedule.executions.append(execution)
            self._executions.append(execution)
        execution.start()


_NAME = "MonitoringJobDefinitionName"


def _is_wanted(record: Record, request: Record) -> bool:
    members = {"EndpointName": "EndpointName", _NAME: _NAME, "MonitoringTypeEquals": "MonitoringType"}
    return all(request.get(asked) in (None, record.get(member)) for asked, member in members.items())
