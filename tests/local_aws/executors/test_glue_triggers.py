"""Glue triggers: events that start workflows, in batches; what is accepted, changed and refused."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.event_targets import deliver_events, is_supported
from tests.local_aws.executors.glue_workflow import ROLE, Nightly

ARN = "arn:aws:glue:us-east-1:123456789012:workflow/nightly"


@pytest.fixture
def landed(server: Any, nightly: Nightly, monkeypatch: pytest.MonkeyPatch) -> Nightly:
    """The workflow with a rule that sends it the events of the source `test.lake`."""
    from moto.events.models import Rule

    monkeypatch.setattr(Rule, "send_to_targets", Rule.send_to_targets)
    deliver_events(server.context)
    nightly.job("prepare")
    events = server.client("events")
    events.put_rule(Name="landed", EventPattern='{"source": ["test.lake"]}')
    events.put_targets(Rule="landed", Targets=[{"Id": "workflow", "Arn": ARN, "RoleArn": ROLE}])
    return nightly


def send(nightly: Nightly, count: int) -> list[str]:
    """Send events and return their ids."""
    events = nightly.server.client("events")
    entries = [{"Source": "test.lake", "DetailType": "landed", "Detail": "{}"}] * count
    return [entry["EventId"] for entry in events.put_events(Entries=entries)["Entries"]]


def only_run(nightly: Nightly) -> dict[str, Any]:
    found = nightly.wait(nightly.runs, lambda runs: [run["Status"] for run in runs] == ["COMPLETED"])
    return dict(found[0])


def test_full_batch_of_events_starts_a_run_that_names_them(landed: Nightly) -> None:
    condition = {"BatchSize": 2, "BatchWindow": 900}
    landed.trigger("first", "prepare", "EVENT", EventBatchingCondition=condition, StartOnCreation=True)
    events = send(landed, 3)
    run = only_run(landed)
    assert run["StartingEventBatchCondition"] == {"BatchSize": 2}
    assert run["WorkflowRunProperties"]["aws:eventIds"] == f"[{events[0]}, {events[1]}]"
    assert run["WorkflowRunProperties"]["Redo"] == "changed"


def test_batch_that_is_not_full_starts_a_run_when_its_window_is_over(landed: Nightly) -> None:
    condition = {"BatchSize": 100, "BatchWindow": 900}
    landed.trigger("first", "prepare", "EVENT", EventBatchingCondition=condition, StartOnCreation=True)
    events = send(landed, 3)
    landed.server.context.clock.advance(timedelta(seconds=890))
    assert landed.runs() == []
    landed.server.context.clock.advance(timedelta(seconds=20))
    run = only_run(landed)
    assert run["StartingEventBatchCondition"] == {"BatchWindow": 900}
    assert run["WorkflowRunProperties"]["aws:eventIds"] == f"[{', '.join(events)}]"


def test_objects_that_land_start_a_run_which_names_an_event_for_each(landed: Nightly) -> None:
    condition = {"BatchSize": 2, "BatchWindow": 900}
    landed.trigger("first", "prepare", "EVENT", EventBatchingCondition=condition, StartOnCreation=True)
    s3, events = landed.server.client("s3"), landed.server.client("events")
    s3.put_bucket_notification_configuration(Bucket="lake", NotificationConfiguration={"EventBridgeConfiguration": {}})
    flights = {"object": {"key": [{"prefix": "flights/"}]}}
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": flights}
    events.put_rule(Name="landed", EventPattern=json.dumps(pattern))
    for key in ("flights/1.csv", "weather/1.csv", "flights/2.csv"):
        s3.put_object(Bucket="lake", Key=key, Body=b"rows")
    ids = only_run(landed)["WorkflowRunProperties"]["aws:eventIds"]
    assert len(set(ids[1:-1].split(", "))) == 2
    events.disable_rule(Name="landed")
    for key in ("flights/3.csv", "flights/4.csv"):
        s3.put_object(Bucket="lake", Key=key, Body=b"rows")
    assert len(landed.runs()) == 1


def test_event_starts_a_run_at_once_without_a_batching_condition(landed: Nightly) -> None:
    landed.trigger("first", "prepare", "EVENT", StartOnCreation=True)
    send(landed, 1)
    assert only_run(landed)["StartingEventBatchCondition"] == {"BatchSize": 1}


def test_events_beyond_the_workflows_bound_leave_a_run_in_error(landed: Nightly) -> None:
    landed.glue.update_workflow(Name="nightly", MaxConcurrentRuns=1)
    actions = [{"JobName": "prepare", "Arguments": {"--sleep": "60"}}]
    landed.trigger("first", "", "EVENT", StartOnCreation=True, Actions=actions)
    send(landed, 2)
    newest, _ = landed.wait(landed.runs, lambda runs: len(runs) == 2)
    assert (newest["Status"], newest["ErrorMessage"]) == ("ERROR", "Concurrent runs exceeded for workflow: nightly.")


def test_events_reach_triggers_from_their_creation_on_and_what_a_stopped_one_misses_is_logged(
    landed: Nightly, caplog: pytest.LogCaptureFixture
) -> None:
    landed.trigger("first", "prepare", "EVENT")
    send(landed, 1)
    only_run(landed)
    landed.glue.stop_trigger(Name="first")
    assert landed.glue.get_trigger(Name="first")["Trigger"]["State"] == "DEACTIVATED"
    with caplog.at_level(logging.WARNING, "local_aws.event_targets"):
        send(landed, 1)
    assert "Trigger first is DEACTIVATED" in caplog.text
    assert len(landed.runs()) == 1


def test_target_without_a_role_reaches_no_workflow(landed: Nightly, caplog: pytest.LogCaptureFixture) -> None:
    landed.trigger("first", "prepare", "EVENT", StartOnCreation=True)
    landed.server.client("events").put_targets(Rule="landed", Targets=[{"Id": "workflow", "Arn": ARN}])
    send(landed, 1)
    assert "no RoleArn" in caplog.text
    assert landed.runs() == []


def test_of_glue_only_workflows_are_targets() -> None:
    assert is_supported(ARN)
    assert not is_supported("arn:aws:glue:us-east-1:123456789012:job/prepare")


def test_trigger_on_demand_starts_its_workflow_or_its_jobs(nightly: Nightly) -> None:
    nightly.job("prepare")
    nightly.trigger("first", "prepare")
    nightly.glue.start_trigger(Name="first")
    only_run(nightly)
    nightly.glue.create_trigger(Name="alone", Type="ON_DEMAND", Actions=[{"JobName": "prepare"}])
    nightly.glue.start_trigger(Name="alone")
    found = nightly.glue.get_job_runs(JobName="prepare")["JobRuns"]
    assert [run["TriggerName"] for run in found] == ["alone", "first"]


def test_actions_set_arguments_timeout_and_security(nightly: Nightly) -> None:
    nightly.job("prepare", DefaultArguments={"--colour": "red", "--size": "1"})
    action = {"JobName": "prepare", "Arguments": {"--colour": "blue"}, "Timeout": 7, "SecurityConfiguration": "safe"}
    nightly.trigger("first", "", Actions=[action])
    nightly.run()
    [run] = nightly.glue.get_job_runs(JobName="prepare")["JobRuns"]
    assert (run["Timeout"], run["SecurityConfiguration"]) == (7, "safe")
    assert {"--colour": "blue", "--size": "1"}.items() <= nightly.arguments("prepare")[0].items()


def test_update_replaces_what_a_trigger_does(nightly: Nightly) -> None:
    nightly.follow("then", "publish", ("prepare", "SUCCEEDED"), Description="old")
    predicate = {"Conditions": [{"LogicalOperator": "EQUALS", "JobName": "prepare", "State": "FAILED"}]}
    update = {"Actions": [{"JobName": "repair"}], "Predicate": predicate}
    trigger = nightly.glue.update_trigger(Name="then", TriggerUpdate=update)["Trigger"]
    assert trigger == {
        "Name": "then",
        "Type": "CONDITIONAL",
        "WorkflowName": "nightly",
        "State": "ACTIVATED",
        **update,
    }
    assert nightly.glue.get_trigger(Name="then")["Trigger"] == trigger
    with pytest.raises(ClientError, match="needs at least one action"):
        nightly.glue.update_trigger(Name="then", TriggerUpdate={"Predicate": predicate})


def test_triggers_are_found_by_job_and_tag(nightly: Nightly) -> None:
    nightly.trigger("first", "prepare", Tags={"team": "data"})
    nightly.follow("then", "publish", ("prepare", "SUCCEEDED"), Tags={"team": "ml"})
    glue = nightly.glue
    assert glue.list_triggers()["TriggerNames"] == ["first", "then"]
    assert glue.list_triggers(Tags={"team": "ml"})["TriggerNames"] == ["then"]
    assert [found["Name"] for found in glue.get_triggers(DependentJobName="prepare")["Triggers"]] == ["first"]
    answer = glue.batch_get_triggers(TriggerNames=["then", "nothing"])
    assert ([found["Name"] for found in answer["Triggers"]], answer["TriggersNotFound"]) == (["then"], ["nothing"])
    assert glue.delete_trigger(Name="nothing")["Name"] == "nothing"


CONDITION = {"LogicalOperator": "EQUALS", "JobName": "prepare", "State": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("trigger", "problem"),
    [
        ({"Type": "SCHEDULED", "Schedule": "cron(0 6 * * ? *)"}, "start the workflow by EventBridge Scheduler"),
        ({"Type": "EVENT"}, "has a starting trigger already, first"),
        ({"Type": "EVENT", "WorkflowName": "nothing"}, "Workflow nothing not found"),
        ({"Type": "ON_DEMAND", "StartOnCreation": True}, "can't start on creation"),
        ({"Type": "ON_DEMAND", "Name": "first"}, "already exists"),
        ({"Type": "ON_DEMAND", "Actions": [{"CrawlerName": "any"}]}, "crawlers don't run in the local AWS"),
        ({"Type": "ON_DEMAND", "EventBatchingCondition": {"BatchSize": 1}}, "is of triggers of type EVENT"),
        ({"Type": "CONDITIONAL"}, "needs a Predicate with Conditions"),
        ({"Type": "CONDITIONAL", "Predicate": {"Conditions": [CONDITION] * 2}}, "needs Logical: AND or ANY"),
        (
            {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{**CONDITION, "State": "RUNNING"}]}},
            "one of SUCCEEDED, STOPPED, FAILED, TIMEOUT",
        ),
    ],
)
def test_triggers_that_would_never_fire_are_refused(nightly: Nightly, trigger: dict[str, Any], problem: str) -> None:
    nightly.trigger("first", "prepare")
    with pytest.raises(ClientError, match=problem):
        nightly.glue.create_trigger(
            **{"Name": "any", "WorkflowName": "nightly", "Actions": [{"JobName": "prepare"}], **trigger}
        )
    assert nightly.glue.list_triggers()["TriggerNames"] == ["first"]
