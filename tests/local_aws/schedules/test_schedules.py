"""Schedules of EventBridge Scheduler: what they call, when, and which are refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.clock import Clock
from local_aws.server import running
from local_aws.service import LocalContext

ROLE = "arn:aws:iam::123456789012:role/schedules"
SEND = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
# a Wednesday, far from the machine's time
START = datetime(2030, 5, 1, 5, 59, tzinfo=UTC)


@dataclass
class Schedules:
    """A local AWS whose time stands still, with a queue that schedules send to."""

    context: LocalContext
    clock: Clock
    queue_arn: str
    queue_url: str

    @property
    def api(self) -> Any:
        return self.context.client("scheduler")

    def create(self, name: str, expression: str, target: dict[str, Any] | None = None, **members: Any) -> None:
        self.api.create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow=members.pop("FlexibleTimeWindow", {"Mode": "OFF"}),
            Target=target or self.sending(f"{name} <aws.scheduler.scheduled-time>"),
            **members,
        )

    def sending(self, text: str, **members: Any) -> dict[str, Any]:
        given = json.dumps({"QueueUrl": self.queue_url, "MessageBody": text})
        return {"Arn": SEND, "RoleArn": ROLE, "Input": given, **members}

    def pass_time(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    def sent(self, count: int) -> list[str]:
        """Wait for so many messages; return them in their order, and whatever else has come."""
        return [message["Body"] for message in self.messages(count)]

    def messages(self, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        sqs = self.context.client("sqs")
        while True:
            complete = len(found) >= count
            received = sqs.receive_message(
                QueueUrl=self.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=0
            ).get("Messages", [])
            for message in received:
                sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
            found += received
            if complete and not received:
                return found
            assert time.monotonic() < deadline, f"only {[message['Body'] for message in found]}"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalContext]:
    with running(tmp_path_factory.mktemp("local-aws"), clock=Clock(standing_at=START)) as server:
        yield server.context


@pytest.fixture
def schedules(context: LocalContext, request: pytest.FixtureRequest) -> Iterator[Schedules]:
    """The local AWS with a queue of the test's own; its time is what the tests before have left."""
    sqs = context.client("sqs")
    url = sqs.create_queue(QueueName=request.node.name.split("[")[0][:80])["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    yield Schedules(context, context.clock, arn, url)
    scheduler = context.client("scheduler")
    for found in scheduler.list_schedules()["Schedules"]:
        scheduler.delete_schedule(Name=found["Name"], GroupName=found["GroupName"])
    context.clock.advance(_until_start(context.clock.now()))


def _until_start(now: datetime) -> timedelta:
    """Return the time to the next Wednesday, 05:59."""
    week = timedelta(weeks=1)
    return week - (now - START) % week


def test_cron_calls_its_target_when_the_time_comes_and_not_before(schedules: Schedules) -> None:
    today = schedules.clock.now().date()
    schedules.create("daily", "cron(0 6 * * ? *)")
    schedules.pass_time(seconds=59)
    assert schedules.sent(0) == []
    schedules.pass_time(seconds=1)
    assert schedules.sent(1) == [f"daily {today}T06:00:00Z"]
    schedules.pass_time(days=1)
    assert schedules.sent(1) == [f"daily {today + timedelta(days=1)}T06:00:00Z"]


def test_time_zone_counts(schedules: Schedules) -> None:
    schedules.create("berlin", "cron(0 8 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin")
    schedules.pass_time(minutes=1)
    (sent,) = schedules.sent(1)
    assert sent.endswith("T06:00:00Z" if "-05-" in sent else "T07:00:00Z")


def test_rate_calls_at_once_and_then_regularly(schedules: Schedules) -> None:
    schedules.create("often", "rate(1 minute)")
    assert len(schedules.sent(1)) == 1
    schedules.pass_time(minutes=3)
    assert len(schedules.sent(3)) == 3


def test_calls_of_several_schedules_come_in_the_order_of_their_times(schedules: Schedules) -> None:
    schedules.create("late", "cron(10 6 * * ? *)")
    schedules.create("early", "cron(5 6 * * ? *)")
    schedules.pass_time(hours=24)
    assert [text.split()[0] for text in schedules.sent(2)] == ["early", "late"]


def test_single_moment_comes_once_and_its_schedule_may_go_with_it(schedules: Schedules) -> None:
    moment = (schedules.clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    schedules.create("gone", f"at({moment})", ActionAfterCompletion="DELETE")
    schedules.create("kept", f"at({moment})")
    schedules.pass_time(hours=2)
    assert len(schedules.sent(2)) == 2
    schedules.pass_time(days=400)
    assert schedules.sent(0) == []
    assert [found["Name"] for found in schedules.api.list_schedules()["Schedules"]] == ["kept"]


def test_schedule_keeps_to_its_start_and_end(schedules: Schedules) -> None:
    start = schedules.clock.now() + timedelta(days=2)
    schedules.create("bounded", "cron(0 6 * * ? *)", StartDate=start, EndDate=start + timedelta(days=2))
    schedules.pass_time(days=10)
    assert [text.split("T")[0] for text in schedules.sent(2)] == [
        f"bounded {start.date()}", f"bounded {start.date() + timedelta(days=1)}",
    ]  # fmt: skip


def test_disabled_schedule_rests_and_does_not_catch_up(schedules: Schedules) -> None:
    expression = "cron(0 6 * * ? *)"
    schedules.create("resting", expression, State="DISABLED")
    schedules.pass_time(days=3)
    schedules.api.update_schedule(
        Name="resting",
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=schedules.sending("<aws.scheduler.schedule-arn>"),
    )
    assert schedules.sent(0) == []
    schedules.pass_time(days=1)
    assert schedules.sent(1) == ["arn:aws:scheduler:us-east-1:123456789012:schedule/default/resting"]


def test_deleted_schedule_runs_no_more(schedules: Schedules) -> None:
    schedules.create("brief", "cron(0 6 * * ? *)")
    schedules.api.delete_schedule(Name="brief")
    schedules.pass_time(days=1)
    assert schedules.sent(0) == []


def test_flexible_schedule_runs_when_its_window_opens(schedules: Schedules) -> None:
    schedules.create(
        "loose", "cron(0 6 * * ? *)", FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}
    )
    schedules.pass_time(minutes=1)
    assert len(schedules.sent(1)) == 1


def test_failing_target_goes_to_the_dead_letters_and_stops_no_other(schedules: Schedules) -> None:
    failing = {
        "Arn": "arn:aws:scheduler:::aws-sdk:glue:startJobRun",
        "RoleArn": ROLE,
        "Input": '{"JobName": "missing"}',
    }
    schedules.create("failing", "cron(0 6 * * ? *)", {**failing, "DeadLetterConfig": {"Arn": schedules.queue_arn}})
    missing = {"DeadLetterConfig": {"Arn": f"{schedules.queue_arn}-missing"}}
    schedules.create("unheard", "cron(0 6 * * ? *)", {**failing, **missing})
    schedules.create("working", "cron(1 6 * * ? *)")
    schedules.pass_time(hours=1)
    dead, working = schedules.messages(2)
    assert dead["Body"] == '{"JobName": "missing"}'
    told = {name: value["StringValue"] for name, value in dead["MessageAttributes"].items()}
    assert told["ERROR_CODE"] == "EntityNotFoundException"
    assert told["SCHEDULE_ARN"].endswith(":schedule/default/failing")
    assert told["TARGET_ARN"] == failing["Arn"]
    assert working["Body"].startswith("working ")


def test_schedule_starts_a_pipeline_with_its_parameters(schedules: Schedules) -> None:
    sagemaker = schedules.context.client("sagemaker")
    definition = {
        "Version": "2020-12-01",
        "Parameters": [{"Name": "Reason", "Type": "String"}],
        "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": {"Get": "Parameters.Reason"}}}],
    }
    arn = sagemaker.create_pipeline(
        PipelineName="nightly", RoleArn=ROLE, PipelineDefinition=json.dumps(definition), ClientRequestToken="1" * 32
    )["PipelineArn"]
    target = {
        "Arn": arn,
        "RoleArn": ROLE,
        "SageMakerPipelineParameters": {"PipelineParameterList": [{"Name": "Reason", "Value": "it is night"}]},
    }
    schedules.create("nightly", "cron(0 6 * * ? *)", target)
    schedules.pass_time(minutes=1)
    deadline = time.monotonic() + 20
    while not (found := sagemaker.list_pipeline_executions(PipelineName="nightly")["PipelineExecutionSummaries"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parameters = sagemaker.list_pipeline_parameters_for_execution(
        PipelineExecutionArn=found[0]["PipelineExecutionArn"]
    )["PipelineParameters"]
    assert parameters == [{"Name": "Reason", "Value": "it is night"}]


def test_schedule_starts_a_workflow_with_its_run_properties(schedules: Schedules) -> None:
    glue = schedules.context.client("glue")
    glue.create_workflow(Name="nightly")
    script = {"Name": "glueetl", "ScriptLocation": "s3://missing/script.py"}
    glue.create_job(Name="nightly", Role=ROLE, Command=script)
    glue.create_trigger(Name="nightly", WorkflowName="nightly", Type="ON_DEMAND", Actions=[{"JobName": "nightly"}])
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:glue:startWorkflowRun",
        "RoleArn": ROLE,
        "Input": json.dumps({"Name": "nightly", "RunProperties": {"Redo": "changed"}}),
    }
    schedules.create("workflow", "cron(0 6 * * ? *)", target)
    schedules.pass_time(minutes=1)
    deadline = time.monotonic() + 20
    while not (runs := glue.get_workflow_runs(Name="nightly")["Runs"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert runs[0]["WorkflowRunProperties"] == {"Redo": "changed"}
    glue.delete_workflow(Name="nightly")


def test_schedule_puts_events_and_messages_by_the_arn_of_their_target(schedules: Schedules) -> None:
    events, sns = schedules.context.client("events"), schedules.context.client("sns")
    events.put_rule(Name="night", EventPattern=json.dumps({"source": ["app.clock"]}))
    events.put_targets(Rule="night", Targets=[{"Id": "queue", "Arn": schedules.queue_arn}])
    topic = sns.create_topic(Name="night")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=schedules.queue_arn)
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    detail = {"DetailType": "Night", "Source": "app.clock"}
    when = "cron(0 6 * * ? *)"
    schedules.create(
        "event", when, {"Arn": bus, "RoleArn": ROLE, "EventBridgeParameters": detail, "Input": '{"hour": 6}'}
    )
    schedules.create("topic", "cron(1 6 * * ? *)", {"Arn": topic, "RoleArn": ROLE, "Input": "it is night"})
    schedules.create("queue", "cron(2 6 * * ? *)", {"Arn": schedules.queue_arn, "RoleArn": ROLE, "Input": "plain"})
    schedules.pass_time(hours=1)
    event, notice, plain = schedules.sent(3)
    assert json.loads(event)["detail"] == {"hour": 6}
    assert json.loads(notice)["Message"] == "it is night"
    assert plain == "plain"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ScheduleExpression": "cron(0 6 * * * *)"}, "exactly one of day of month"),
        ({"ScheduleExpressionTimezone": "Nowhere"}, "is not the name of a time zone"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"StartDate": datetime(2031, 1, 2), "EndDate": datetime(2031, 1, 1)}, "EndDate must be after StartDate"),
        ({"GroupName": "missing"}, "Schedule group missing does not exist"),
    ],
)
def test_schedule_that_could_not_run_as_it_says_is_refused(
    schedules: Schedules, changes: dict[str, Any], reason: str
) -> None:
    expression = changes.pop("ScheduleExpression", "rate(1 day)")
    with pytest.raises(ClientError, match=reason):
        schedules.create("wrong", expression, **changes)
    assert schedules.api.list_schedules()["Schedules"] == []


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ({"Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}, "don't reach the target arn:aws:lambda"),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:rds:stopDBCluster"}, "call athena, .*, not rds"),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:glue:startEverything"}, "glue has no operation startEverything"),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:glue:getJob"}, "no calls that only read"),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:glue:startWorkflowRun", "Input": "{"}, "must be JSON"),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:glue:startWorkflowRun", "Input": '{"Nam": "x"}'}, '"Name"'),
        ({"Arn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/live"}, "schedules start pipelines"),
        ({"Arn": "arn:aws:events:us-east-1:123456789012:event-bus/default"}, "needs EventBridgeParameters"),
        (
            {"Arn": "arn:aws:sns:us-east-1:123456789012:t", "SqsParameters": {"MessageGroupId": "1"}},
            "SqsParameters can't be used",
        ),
    ],
)
def test_target_that_cannot_be_called_is_refused(schedules: Schedules, target: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        schedules.create("wrong", "rate(1 day)", {"RoleArn": ROLE, **target})


def test_names_are_taken_once_and_missing_ones_are_told(schedules: Schedules) -> None:
    schedules.create("once", "cron(0 6 * * ? *)")
    with pytest.raises(ClientError, match="Schedule once already exists"):
        schedules.create("once", "cron(0 6 * * ? *)")
    schedules.api.create_schedule_group(Name="taken")
    with pytest.raises(ClientError, match="Schedule group taken already exists"):
        schedules.api.create_schedule_group(Name="taken")
    with pytest.raises(ClientError, match="Schedule group missing does not exist"):
        schedules.api.delete_schedule_group(Name="missing")
    with pytest.raises(ClientError, match="can't be deleted"):
        schedules.api.delete_schedule_group(Name="default")
    with pytest.raises(ClientError, match="Schedule missing does not exist"):
        schedules.api.update_schedule(
            Name="missing",
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=schedules.sending("never"),
        )
