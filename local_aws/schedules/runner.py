"""The thread that calls the targets of schedules when their time has come."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.schedules.expressions import parse_expression
from local_aws.schedules.targets import api_call, queue_url
from local_aws.service import LocalContext

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
RETRY_AFTER = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)


class ScheduleRunner:
    """Runs moto's schedules by the clock of the local AWS.

    `schedules` returns what there is to run. Targets are called one after the other, in the order of their times, and
    once: a call that fails goes to the dead-letter queue without being tried again. When the clock has jumped, every
    time that was passed counts.
    """

    def __init__(self, context: LocalContext, schedules: Callable[[], Iterable[Any]]) -> None:
        self._context = context
        self._schedules = schedules
        self._closed = threading.Event()
        self._changed = threading.Event()
        self._worker = context.clock.worker("the schedules")
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)

    def start(self) -> None:
        """Call targets until `close()`."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the call that is being made."""
        self._closed.set()
        self._context.clock.wake()
        self._thread.join(timeout=CLOSE_SECONDS)

    def changed(self, schedule: Any, *, created: bool = False) -> None:
        """Run a schedule by what it says now: times that passed under an earlier version don't count."""
        # a new one may run at the very moment of its creation, which has passed by now
        schedule.ran_until = _moment(schedule.creation_date) - _TICK if created else self._context.clock.now()
        self._changed.set()
        self._context.clock.wake()

    def _run(self) -> None:
        clock = self._context.clock
        while not self._closed.is_set():
            self._changed.clear()
            try:
                upcoming = self._run_due()
            except Exception:
                # a schedule that can't be understood must not end the others
                _log.exception("the schedules couldn't be run")
                upcoming = clock.now() + RETRY_AFTER
            self._worker.wait_until(upcoming, lambda: self._closed.is_set() or self._changed.is_set())
        self._worker.end()

    def _run_due(self) -> datetime | None:
        """Call the target of every time that has passed, and return the next time, if there is one."""
        while True:
            now = self._context.clock.now()
            times = [(time, schedule) for schedule in self._schedules() if (time := self._next(schedule)) is not None]
            if not times:
                return None
            time, schedule = min(times, key=lambda each: each[0])
            if time > now or self._closed.is_set():
                return time
            # changed meanwhile, it may be ahead of this time
            schedule.ran_until = max(schedule.ran_until, time)
            self._call(schedule, time)
            if schedule.action_after_completion == "DELETE" and self._next(schedule) is None:
                self._delete(schedule)

    def _next(self, schedule: Any) -> datetime | None:
        if schedule.state == "DISABLED":
            return None
        expression = parse_expression(schedule.schedule_expression, schedule.schedule_expression_timezone)
        begin = schedule.creation_date if expression.once or not schedule.start_date else schedule.start_date
        found = expression.next_after(schedule.ran_until, _moment(begin))
        end = None if expression.once or not schedule.end_date else _moment(schedule.end_date)
        return None if found is None or (end is not None and found > end) else found

    def _call(self, schedule: Any, time: datetime) -> None:
        target, region = schedule.target, schedule.arn.split(":")[3]
        attributes = {
            "schedule-arn": schedule.arn,
            "scheduled-time": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "execution-id": secrets.token_hex(8),
            "attempt-number": "1",
        }
        try:
            call = api_call(target, attributes)
            call.send(self._context.client(call.service, region=region, role_arn=target["RoleArn"]))
        except Exception as error:
            # whatever a target does, the others have their time
            _log.warning("the schedule %s couldn't call %s: %s", schedule.arn, target["Arn"], error)
            self._send_to_dead_letters(target, region, attributes, error)

    def _send_to_dead_letters(self, target: Any, region: str, attributes: dict[str, str], error: Exception) -> None:
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if queue is None:
            return
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        told = {
            "SCHEDULE_ARN": attributes["schedule-arn"],
            "SCHEDULED_TIME": attributes["scheduled-time"],
            "EXECUTION_ID": attributes["execution-id"],
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": str(error) or code,
            "RETRY_ATTEMPTS": "0",
        }
        try:
            self._context.client("sqs", region=region, role_arn=target["RoleArn"]).send_message(
                QueueUrl=queue_url(queue),
                MessageBody=target.get("Input") or "{}",
                MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in told.items()},
            )
        except (ClientError, BotoCoreError) as failure:
            _log.warning("the dead-letter queue %s of %s can't be reached: %s", queue, told["SCHEDULE_ARN"], failure)

    def _delete(self, schedule: Any) -> None:
        region = schedule.arn.split(":")[3]
        try:
            self._context.client("scheduler", region=region, role_arn=schedule.target["RoleArn"]).delete_schedule(
                Name=schedule.name, GroupName=schedule.group_name
            )
        except ClientError as error:
            _log.warning("the schedule %s couldn't be deleted after its last run: %s", schedule.arn, error)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
