"""Alarms follow their metrics, by the clock, and tell their topics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.cloudwatch.models import cloudwatch_backends

from local_aws.clock import Clock
from local_aws.cloudwatch.alarms import Rule, judge
from local_aws.server import running
from local_aws.service import DEFAULT_ACCOUNT, DEFAULT_REGION

START = datetime(2030, 5, 1, 6, tzinfo=UTC)
METRIC = {"Namespace": "shop", "MetricName": "Lost"}
HOURLY = Rule(
    comparison="GreaterThanOrEqualToThreshold",
    threshold=1,
    period=timedelta(hours=1),
    periods=2,
    datapoints=2,
)


def ago(**values: float) -> list[tuple[datetime, float]]:
    return [(START - timedelta(minutes=int(name[1:])), value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("values", "missing", "state"),
    [
        (ago(m10=1, m70=1), "missing", "ALARM"),
        (ago(m10=1), "missing", "OK"),
        (ago(m10=1), "breaching", "ALARM"),
        (ago(m10=0, m70=1), "missing", "OK"),
        (ago(m200=1), "missing", "INSUFFICIENT_DATA"),
        (ago(m200=1), "notBreaching", "OK"),
        (ago(m200=1), "ignore", "before"),
        (ago(m10=0, m11=5, m70=2), "missing", "ALARM"),
        # one breach that is as old as two datapoints, and nothing since
        (ago(m70=1), "missing", "ALARM"),
        (ago(m70=0), "missing", "OK"),
        (ago(m70=1), "notBreaching", "OK"),
        # too little to judge, and nothing that speaks against it
        (ago(m10=1), "ignore", "before"),
        (ago(m70=1), "ignore", "before"),
        (ago(m10=0), "ignore", "OK"),
        (ago(m10=0, m70=1), "ignore", "OK"),
    ],
)
def test_state_is_what_the_newest_periods_say(values: list[tuple[datetime, float]], missing: str, state: str) -> None:
    rule = Rule(**{**HOURLY.__dict__, "missing": missing})
    found = [
        max((value for moment, value in values if start < moment <= end), default=None)
        for start, end in rule.windows(START)
    ]
    assert judge(rule, found, "before").state == state


# the newest day on the left
@pytest.mark.parametrize(
    ("days", "missing", "state"),
    [
        ("1010-", "ignore", "ALARM"),
        ("0-1--", "ignore", "OK"),
        ("-101-", "ignore", "ALARM"),
        ("-1-01", "ignore", "ALARM"),
        ("--100", "ignore", "OK"),
        ("--1--", "ignore", "before"),
        ("---0-", "ignore", "OK"),
        ("-----", "ignore", "before"),
        # the others look no further back than three days
        ("-10", "missing", "OK"),
        ("-1-", "missing", "ALARM"),
        ("1--", "missing", "OK"),
        ("-10", "breaching", "ALARM"),
        ("-1-", "notBreaching", "OK"),
    ],
)
def test_days_without_data_are_made_up_for_by_earlier_ones_where_they_are_ignored(
    days: str, missing: str, state: str
) -> None:
    rule = Rule(
        comparison="GreaterThanOrEqualToThreshold", threshold=1, period=timedelta(days=1), periods=3, datapoints=2,
        missing=missing,
    )  # fmt: skip
    assert rule.range == len(days)
    assert judge(rule, [None if day == "-" else float(day) for day in days], "before").state == state


def test_days_are_counted_by_the_hour_so_that_a_run_that_takes_longer_is_in_a_day_of_its_own() -> None:
    rule = Rule(comparison="GreaterThanThreshold", threshold=0, period=timedelta(days=1), periods=2, datapoints=2)
    now = START + timedelta(seconds=10)
    found = rule.windows(now)
    assert found[0] == (START + timedelta(hours=1) - timedelta(days=1), now)
    yesterday = START - timedelta(days=1) + timedelta(seconds=25)
    assert [start < yesterday <= end for start, end in found] == [False, True]
    # two of half a day look back a day, and are counted from now
    short = Rule(comparison="GreaterThanThreshold", threshold=0, period=timedelta(hours=12), periods=2, datapoints=2)
    assert short.windows(now)[0] == (now - timedelta(hours=12), now)


@dataclass
class Alarms:
    """A local AWS whose time stands still, with a queue that hears what the topic is told."""

    clock: Clock
    client: Callable[[str], Any]
    topic: str
    queue: str

    def put(self, **changes: Any) -> None:
        given = {
            "AlarmName": "losses",
            **METRIC,
            "Statistic": "Maximum",
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 1.0,
            "Period": 3600,
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",
            "AlarmActions": [self.topic],
        }
        self.client("cloudwatch").put_metric_alarm(**given | changes)

    def state(self, wanted: str) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while True:
            found = self.client("cloudwatch").describe_alarms(AlarmNames=["losses"])["MetricAlarms"][0]
            if found["StateValue"] == wanted:
                return dict(found)
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def told(self, seconds: float = 20) -> list[dict[str, Any]]:
        """Wait for a message, and return all that have come."""
        deadline = time.monotonic() + seconds
        while True:
            received = self.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
            if received.get("Messages") or time.monotonic() > deadline:
                return [json.loads(json.loads(each["Body"])["Message"]) for each in received.get("Messages", [])]
            time.sleep(0.02)


@pytest.fixture
def alarms(tmp_path: Path) -> Iterator[Alarms]:
    clock = Clock(standing_at=START)
    # metrics of other tests
    cloudwatch_backends[DEFAULT_ACCOUNT][DEFAULT_REGION].reset()
    with running(tmp_path, clock=clock) as server:
        client = server.context.client
        topic = client("sns").create_topic(Name="alarms")["TopicArn"]
        queue = client("sqs").create_queue(QueueName="heard")["QueueUrl"]
        arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        yield Alarms(clock, client, topic, queue)
        client("cloudwatch").delete_alarms(AlarmNames=["losses"])
        client("sqs").delete_queue(QueueUrl=queue)


def test_alarm_follows_its_metric_and_the_clock(alarms: Alarms) -> None:
    alarms.put()
    cloudwatch = alarms.client("cloudwatch")
    cloudwatch.put_metric_data(Namespace="shop", MetricData=[{"MetricName": "Lost", "Value": 0.0, "Timestamp": START}])
    assert alarms.state("OK")["StateReason"]
    cloudwatch.put_metric_data(Namespace="shop", MetricData=[{"MetricName": "Lost", "Value": 2.0, "Timestamp": START}])
    assert "1 breach the threshold (1)" in alarms.state("ALARM")["StateReason"]
    assert [(each["AlarmName"], each["OldStateValue"], each["NewStateValue"]) for each in alarms.told()] == [
        ("losses", "OK", "ALARM")
    ]
    alarms.clock.advance(timedelta(minutes=59))
    alarms.state("ALARM")
    alarms.clock.advance(timedelta(minutes=2))
    alarms.state("OK")
    assert alarms.told(seconds=0) == []


def test_state_that_somebody_sets_is_told_and_stays_as_long_as_nothing_speaks_against_it(alarms: Alarms) -> None:
    alarms.put(TreatMissingData="ignore", OKActions=[alarms.topic])
    cloudwatch = alarms.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName="losses", StateValue="ALARM", StateReason="a drill")
    cloudwatch.set_alarm_state(AlarmName="losses", StateValue="ALARM", StateReason="the same drill")
    (told,) = alarms.told()
    assert (told["OldStateValue"], told["NewStateValue"], told["NewStateReason"]) == (
        "INSUFFICIENT_DATA", "ALARM", "a drill",
    )  # fmt: skip
    alarms.clock.advance(timedelta(days=2))
    # an alarm that is declared anew keeps the state that it has
    alarms.put(TreatMissingData="ignore", OKActions=[alarms.topic], Threshold=2.0)
    alarms.state("ALARM")
    now = alarms.clock.now()
    cloudwatch.put_metric_data(Namespace="shop", MetricData=[{"MetricName": "Lost", "Value": 0.0, "Timestamp": now}])
    alarms.state("OK")
    assert [each["NewStateValue"] for each in alarms.told()] == ["OK"]
    asked = {"AlarmName": "losses", "HistoryItemType": "StateUpdate", "ScanBy": "TimestampAscending"}
    items = cloudwatch.describe_alarm_history(**asked, StartDate=START)["AlarmHistoryItems"]
    assert [(each["Timestamp"], each["HistorySummary"]) for each in items] == [
        (START, "Alarm updated from INSUFFICIENT_DATA to ALARM"), (now, "Alarm updated from ALARM to OK"),
    ]  # fmt: skip
    assert json.loads(items[0]["HistoryData"])["newState"]["stateReason"] == "a drill"
    assert cloudwatch.describe_alarm_history(AlarmName="losses", MaxRecords=1)["AlarmHistoryItems"] == items[1:]
    assert cloudwatch.describe_alarm_history(**asked, StartDate=now + timedelta(1))["AlarmHistoryItems"] == []


def test_lines_of_a_log_are_metrics_of_their_dimensions_at_the_time_of_the_clock(alarms: Alarms) -> None:
    logs = alarms.client("logs")
    logs.create_log_group(logGroupName="jobs")
    logs.create_log_stream(logGroupName="jobs", logStreamName="one")
    now = int(time.time() * 1000)
    directive = {"Namespace": "shop", "Dimensions": [["Kind"]], "Metrics": [{"Name": "Lost", "Unit": "Count"}]}
    line = json.dumps({"_aws": {"Timestamp": now, "CloudWatchMetrics": [directive]}, "Kind": "tea", "Lost": 4})
    alarms.put(Dimensions=[{"Name": "Kind", "Value": "tea"}], Unit="Count")
    logs.put_log_events(
        logGroupName="jobs",
        logStreamName="one",
        logEvents=[{"timestamp": now, "message": text} for text in ("{", line)],
    )
    alarms.state("ALARM")
    stat = {"Metric": {**METRIC, "Dimensions": [{"Name": "Kind", "Value": "tea"}]}, "Period": 60, "Stat": "Sum"}
    found = alarms.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "lost", "MetricStat": stat}],
        StartTime=START - timedelta(minutes=5),
        EndTime=START + timedelta(minutes=5),
    )
    assert found["MetricDataResults"][0]["Values"] == [4.0]


def stat(name: str, statistic: str = "Sum", **extra: Any) -> dict[str, Any]:
    metric = {"Metric": {"Namespace": "shop", "MetricName": name}, "Period": 60, "Stat": statistic}
    return {"Id": name.lower(), "MetricStat": metric, "ReturnData": False, **extra}


def put_math(alarms: Alarms, expression: str, **changes: Any) -> None:
    alarms.client("cloudwatch").put_metric_alarm(
        **{
            "AlarmName": "losses",
            "Metrics": [stat("Lost"), stat("Sold"), {"Id": "rate", "Expression": expression, "ReturnData": True}],
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 5.0,
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",
            **changes,
        }
    )


def put_values(alarms: Alarms, name: str, **counts: float) -> None:
    given = {float(value[1:]): count for value, count in counts.items()}
    datum = {"MetricName": name, "Values": list(given), "Counts": list(given.values()), "Timestamp": alarms.clock.now()}
    alarms.client("cloudwatch").put_metric_data(Namespace="shop", MetricData=[datum])


def test_alarm_on_metric_math_follows_its_metrics(alarms: Alarms) -> None:
    put_math(alarms, "100 * FILL(lost, 0) / sold")
    put_values(alarms, "Sold", v1=100)
    put_values(alarms, "Lost", v1=5)
    alarms.state("OK")
    put_values(alarms, "Lost", v1=1)
    assert "[6]" in alarms.state("ALARM")["StateReason"]
    alarms.clock.advance(timedelta(seconds=90))
    alarms.state("OK")


def test_alarm_whose_expression_is_not_understood_keeps_its_state(
    alarms: Alarms, caplog: pytest.LogCaptureFixture
) -> None:
    put_math(alarms, "ANOMALY_DETECTION_BAND(lost, 2)")
    put_values(alarms, "Lost", v1=100)
    deadline = time.monotonic() + 10
    while "isn't evaluated: its expression" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    alarms.state("INSUFFICIENT_DATA")


def test_alarm_on_a_percentile_follows_the_slowest(alarms: Alarms) -> None:
    given = {"AlarmName": "losses", **METRIC, "ExtendedStatistic": "p99", "Threshold": 200.0, "Period": 60}
    alarms.client("cloudwatch").put_metric_alarm(
        **given, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, TreatMissingData="notBreaching"
    )
    put_values(alarms, "Lost", v100=99, v900=1)
    alarms.state("OK")
    put_values(alarms, "Lost", v900=1)
    assert "[900]" in alarms.state("ALARM")["StateReason"]


def test_counted_values_are_told_again(alarms: Alarms) -> None:
    put_values(alarms, "Lost", v10=98, v20=2)
    put_values(alarms, "Sold", v1=50)
    window = {"StartTime": START - timedelta(minutes=5), "EndTime": START + timedelta(minutes=5)}
    cloudwatch = alarms.client("cloudwatch")
    queries = [
        stat("Lost", ReturnData=True),
        stat("Sold"),
        {**stat("Lost", "p99", ReturnData=True), "Id": "slow"},
        {"Id": "share", "Expression": "lost / sold"},
    ]
    found = cloudwatch.get_metric_data(MetricDataQueries=queries, **window)["MetricDataResults"]
    assert {each["Id"]: each["Values"] for each in found} == {"lost": [1020.0], "slow": [20.0], "share": [20.4]}
    (point,) = cloudwatch.get_metric_statistics(
        **METRIC, **window, Period=60, Statistics=["SampleCount", "Average"], ExtendedStatistics=["p50"]
    )["Datapoints"]
    assert (point["SampleCount"], point["Average"], point["ExtendedStatistics"]) == (100.0, 10.2, {"p50": 10.0})
