"""CloudWatch where moto has none: log events become metrics, and alarms follow their metrics by the clock."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from werkzeug import Response

from local_aws.cloudwatch.alarm_history import answer_history, note_state
from local_aws.cloudwatch.alarms import Verdict, judge
from local_aws.cloudwatch.embedded_metrics import Datum, metrics_in
from local_aws.cloudwatch.metric_queries import answer_queries
from local_aws.cloudwatch.metric_store import index_of, keep_distributions
from local_aws.cloudwatch.watch import NotWatched, watch
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
SETTLE_SECONDS = 2.0
# of alarms: whoever puts one, sets its state or judges it does so alone
_states = threading.Lock()
_KEPT = ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp", "history")


class CloudWatchService:
    """Stands behind moto's CloudWatch and Logs, which answer every call.

    Times of metrics in logs are moved on by as much as the clock of the local AWS was, as jobs know the machine's time.
    Alarms on a statistic of a metric, percentiles among them, and on metric math are evaluated when data comes, when
    they change, and when time passes. One that isn't understood, as a composite alarm or one on a band of anomalies,
    keeps the state that it has, and the log of the local AWS says so.
    """

    scopes: frozenset[str] = frozenset()

    def __init__(self, context: LocalContext) -> None:
        self._context = context
        self._closed = threading.Event()
        self._changed = threading.Event()
        self._untold: set[str] = set()
        self._judging = True
        self._worker = context.clock.worker("the alarms")
        context.clock.before_look(self._settle, last=True)
        keep_distributions()
        answer_queries()
        answer_history()
        _observe(self._take_logs, self._wake, self._turned_by_hand)
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._thread.start()

    def handle(self, call: Call) -> Response | None:
        """Leave every call to moto."""
        del call
        return None

    def close(self) -> None:
        """Evaluate no alarm any more."""
        self._closed.set()
        self._context.clock.wake()
        self._thread.join(timeout=CLOSE_SECONDS)

    def _wake(self) -> None:
        self._changed.set()
        self._context.clock.wake()

    def _settle(self) -> None:
        """Wait until the alarms have seen what came by now: under load there is more all the time."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (self._changed.is_set() or self._judging) and not self._closed.is_set() and time.monotonic() < deadline:
            time.sleep(0.002)

    def _take_logs(self, account: str, region: str, events: list[dict[str, Any]]) -> None:
        from moto.cloudwatch.models import cloudwatch_backends

        passed = self._context.clock.now() - datetime.now(UTC)
        for event in events:
            for datum in metrics_in(event["message"]):
                cloudwatch_backends[account][region].put_metric_data(datum.namespace, [_member(datum, passed)])

    def _run(self) -> None:
        while not self._closed.is_set():
            self._judging = True
            self._changed.clear()
            upcoming = self._evaluate()
            self._judging = False
            self._worker.wait_until(upcoming, lambda: self._closed.is_set() or self._changed.is_set())
        self._worker.end()

    def _evaluate(self) -> datetime | None:
        """Bring every alarm to its state; return the next moment at which one may change by the passing of time."""
        now, moments = self._context.clock.now(), []
        for backend, alarm in _alarms():
            try:
                watched = watch(alarm)
                values, upcoming = watched.values(index_of(backend), backend, now)
                with _states:
                    before = _state_of(alarm)
                    verdict = judge(watched.rule, values, alarm.state_value)
                    if verdict.state != before["value"]:
                        alarm.update_state(verdict.reason, "{}", verdict.state)
                if verdict.state != before["value"]:
                    self._announce(alarm, before, now)
                if upcoming is not None:
                    moments.append(upcoming)
            except NotWatched as reason:
                self._tell_once(alarm.alarm_arn, f"the alarm {alarm.name} isn't evaluated: {reason}")
            except Exception:
                # an alarm that can't be understood must not end the others
                _log.exception("the alarm %s couldn't be evaluated", alarm.name)
        return min(moments, default=None)

    def _tell_once(self, arn: str, message: str) -> None:
        if arn not in self._untold:
            self._untold.add(arn)
            _log.warning("%s", message)

    def _turned_by_hand(self, alarm: Any, before: Mapping[str, Any]) -> None:
        """Tell of a state that somebody has set; the next evaluation may take it back."""
        if alarm.state_value != before["value"]:
            self._announce(alarm, before, self._context.clock.now())
        self._wake()

    def _announce(self, alarm: Any, before: Mapping[str, Any], now: datetime) -> None:
        verdict = Verdict(alarm.state_value, alarm.state_reason)
        alarm.state_updated_timestamp = now.replace(tzinfo=None)
        # releases wait for the time to pass, or for their alarms
        self._context.clock.wake()
        region, account = alarm.alarm_arn.split(":")[3:5]
        note_state(_backend(account, region), alarm, before, now)
        time = now.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        detail = {
            "alarmName": alarm.name,
            "state": {"value": verdict.state, "reason": verdict.reason, "timestamp": time},
            "previousState": before,
            "configuration": {"description": alarm.description or ""},
        }
        self._context.emit("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm.alarm_arn])
        message = {
            "AlarmName": alarm.name,
            "AlarmDescription": alarm.description,
            "AWSAccountId": account,
            "NewStateValue": verdict.state,
            "NewStateReason": verdict.reason,
            "StateChangeTime": time,
            "Region": region,
            "AlarmArn": alarm.alarm_arn,
            "OldStateValue": before["value"],
        }
        for action in _actions(alarm, verdict.state):
            self._act(action, region, f'{verdict.state}: "{alarm.name}" in {region}', message)

    def _act(self, action: str, region: str, subject: str, message: Mapping[str, Any]) -> None:
        service = action.split(":")[2]
        if service in self._context.alarm_actions:
            self._context.alarm_actions[service](action)
            return
        if service != "sns":
            self._tell_once(action, f"the action {action} of an alarm isn't run: topics and scaling policies are told")
            return
        try:
            self._context.client("sns", region=region).publish(
                TopicArn=action, Subject=subject[:100], Message=json.dumps(message)
            )
        except (ClientError, BotoCoreError) as error:
            _log.warning("an alarm couldn't reach %s: %s", action, error)


def _observe(
    logged: Callable[[str, str, list[dict[str, Any]]], None],
    changed: Callable[[], None],
    turned: Callable[[Any, Mapping[str, Any]], None],
) -> None:
    """Be told of what moto's Logs and CloudWatch take, after they took it. The newest observer is the only one."""
    from moto.cloudwatch.models import CloudWatchBackend
    from moto.logs.models import LogsBackend

    put_events = getattr(LogsBackend, "put_by_moto", LogsBackend.put_log_events)
    put_data = getattr(CloudWatchBackend, "put_data_by_moto", CloudWatchBackend.put_metric_data)
    put_alarm = getattr(CloudWatchBackend, "put_alarm_by_moto", CloudWatchBackend.put_metric_alarm)
    set_state = getattr(CloudWatchBackend, "set_state_by_moto", CloudWatchBackend.set_alarm_state)

    def put_log_events(backend: Any, log_group_name: str, log_stream_name: str, log_events: Any) -> Any:
        answer = put_events(backend, log_group_name, log_stream_name, log_events)
        if any('"_aws"' in event["message"] for event in log_events):
            logged(backend.account_id, backend.region_name, log_events)
        return answer

    def put_metric_data(backend: Any, namespace: str, metric_data: Any) -> None:
        put_data(backend, namespace, metric_data)
        changed()

    def put_metric_alarm(backend: Any, name: str, *arguments: Any, **named: Any) -> Any:
        with _states:
            before = backend.alarms.get(name)
            alarm = put_alarm(backend, name, *arguments, **named)
            # moto begins with OK, each time
            alarm.state_value, alarm.state_reason = "INSUFFICIENT_DATA", "Unchecked: Initial alarm creation"
            if before is not None:
                for member in (
                    "state_value",
                    "state_reason",
                    "state_reason_data",
                    "state_updated_timestamp",
                    "history",
                ):
                    setattr(alarm, member, getattr(before, member))
        changed()
        return alarm

    def set_alarm_state(backend: Any, alarm_name: str, *arguments: Any, **named: Any) -> None:
        with _states:
            alarm = backend.alarms.get(alarm_name)
            before = _state_of(alarm) if alarm else {}
            set_state(backend, alarm_name, *arguments, **named)
        turned(alarm, before)

    LogsBackend.put_by_moto, LogsBackend.put_log_events = put_events, put_log_events
    CloudWatchBackend.put_data_by_moto, CloudWatchBackend.put_metric_data = put_data, put_metric_data
    CloudWatchBackend.put_alarm_by_moto, CloudWatchBackend.put_metric_alarm = put_alarm, put_metric_alarm
    CloudWatchBackend.set_state_by_moto, CloudWatchBackend.set_alarm_state = set_state, set_alarm_state


def _backend(account: str, region: str) -> Any:
    from moto.cloudwatch.models import cloudwatch_backends

    return cloudwatch_backends[account][region]


def _state_of(alarm: Any) -> dict[str, Any]:
    return {"value": alarm.state_value, "reason": alarm.state_reason}


def _alarms() -> Iterator[tuple[Any, Any]]:
    from moto.cloudwatch.models import cloudwatch_backends

    for account in list(cloudwatch_backends.values()):
        for backend in list(account.values()):
            for alarm in list(backend.alarms.values()):
                yield backend, alarm


def _actions(alarm: Any, state: str) -> list[str]:
    if not alarm.actions_enabled:
        return []
    by_state = {
        "ALARM": alarm.alarm_actions,
        "OK": alarm.ok_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }
    return list(by_state[state] or [])


def _member(datum: Datum, passed: timedelta) -> dict[str, Any]:
    return {
        "MetricName": datum.name,
        "Values": list(datum.values),
        "Counts": list(datum.values.values()),
        "Unit": datum.unit,
        # as moto keeps times: in UTC without saying so
        "Timestamp": (datum.timestamp + passed).replace(tzinfo=None),
        "Dimensions": [{"Name": name, "Value": value} for name, value in datum.dimensions.items()],
    }
