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

from local_aws.clock import Clock
from local_aws.cloudwatch.alarms import Rule, judge
from local_aws.server import running

START = datetime(2030, 5, 1, 6, tzinfo=UTC)
METRIC = {"Namespace": "shop", "MetricName": "Lost"}
HOURLY = Rule(
    statistic="Maximum",
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
    ],
)
def test_state_is_what_the_newest_periods_say(values: list[tuple[datetime, float]], missing: str, state: str) -> None:
    rule = Rule(**{**HOURLY.__dict__, "missing": missing})
    assert judge(rule, values, START, "before").state == state


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
    with running(tmp_path, clock=clock) as server:
        client = server.context.client
        topic = client("sns").create_topic(Name="alarms")["TopicArn"]
        queue = client("sqs").create_queue(QueueName="heard")["QueueUrl"]
        arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        yield Alarms(clock, client, topic, queue)
        client("cloudwatch").delete_alarms(AlarmNames=["losses"])


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
