"""The state machine of training triggers against pipelines that really run: one at a time, none lost, none doubled."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mlops_constructs.trigger_definition import (
    LONGEST_POLL_SECONDS,
    LONGEST_SECONDS,
    POLL_SECONDS,
    NeededFile,
    trigger_definition,
)
from tests.local_aws.asking import until
from tests.local_aws.states.conftest import IMAGE, ROLE, States

NAME = "dev-model"
MOST_EVENTS = 25_000  # of an execution, before Step Functions ends it
NEW_DATA = {"trigger": "new-data", "at_most_every_hours": 24}


class Trainings:
    """A pipeline of one step, which ends when `let_end` says so, and the machine of its triggers."""

    def __init__(self, states: States) -> None:
        self.states = states
        step = {
            "Name": "Train",
            "Type": "Processing",
            "Arguments": {
                "AppSpecification": {"ImageUri": IMAGE, "ContainerArguments": [{"Get": "Parameters.Mark"}]},
                "ProcessingResources": {
                    "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
                },
                "Environment": {"MARKS": str(states.marks)},
            },
        }
        definition = {
            "Version": "2020-12-01",
            "Parameters": [{"Name": "Mark", "Type": "String", "DefaultValue": "end"}],
            "Steps": [step],
        }
        states.sagemaker.create_pipeline(
            PipelineName=NAME, RoleArn=ROLE, PipelineDefinition=json.dumps(definition), ClientRequestToken="1" * 32
        )
        self.machine = states.create_from(trigger_definition(NAME))

    def executions(self) -> list[dict[str, Any]]:
        """The newest first."""
        return list(self.states.sagemaker.list_pipeline_executions(PipelineName=NAME)["PipelineExecutionSummaries"])

    def statuses(self) -> list[str]:
        return [each["PipelineExecutionStatus"] for each in self.executions()]

    def trigger(self, value: dict[str, Any] | None = None) -> str:
        return self.states.start(self.machine, value or {"trigger": "schedule"})

    def by_hand(self, **parameters: str) -> str:
        given = [{"Name": name, "Value": value} for name, value in parameters.items()]
        return self.trigger({"trigger": "by-hand", "parameters": given})

    def hold_after(self, state: str) -> None:
        """Have every trigger stop for a minute after a state, so that all of them have seen the same."""
        definition = trigger_definition(NAME)
        found = definition["States"][state]
        definition["States"]["Hold"] = {"Type": "Wait", "Seconds": 60, "Next": found["Next"]}
        found["Next"] = "Hold"
        self.states.api.update_state_machine(stateMachineArn=self.machine, definition=json.dumps(definition))

    def let_end(self, mark: str = "end", outcome: str = "") -> None:
        (self.states.marks / mark).write_text(outcome)

    def started_by(self, *triggers: str) -> list[str]:
        outputs = [json.loads(self.states.ended(each)["output"]) for each in triggers]
        return [output["PipelineExecutionArn"] for output in outputs]

    def waits(self, trigger: str, state: str) -> None:
        until(lambda: self.states.current_states(trigger)[-1], lambda name: name == state)


@pytest.fixture
def trainings(states: States) -> Iterator[Trainings]:
    made = Trainings(states)
    yield made
    for mark in ("end", "other"):
        made.let_end(mark)
    states.api.delete_state_machine(stateMachineArn=made.machine)
    states.settle()
    states.sagemaker.delete_pipeline(PipelineName=NAME)


def test_trigger_starts_nothing_until_there_is_data(trainings: Trainings) -> None:
    s3 = trainings.states.context.client("s3")
    s3.create_bucket(Bucket="curated-for-triggers")
    needed = NeededFile("curated-for-triggers", "flights/manifest.json")
    definition = trigger_definition(NAME, needed)
    trainings.states.api.update_state_machine(stateMachineArn=trainings.machine, definition=json.dumps(definition))
    early = trainings.states.ended(trainings.trigger())
    assert early["status"] == "SUCCEEDED"
    assert json.loads(early["output"]) == {"waits_for": "s3://curated-for-triggers/flights/manifest.json"}
    assert trainings.executions() == []
    s3.put_object(Bucket=needed.bucket_name, Key=needed.key, Body=b"[]")
    assert trainings.started_by(trainings.trigger()) == [
        each["PipelineExecutionArn"] for each in trainings.executions()
    ]


def test_trigger_starts_the_pipeline_at_once(trainings: Trainings) -> None:
    (started,) = trainings.started_by(trainings.trigger())
    assert [each["PipelineExecutionArn"] for each in trainings.executions()] == [started]


@pytest.mark.parametrize("state", ["FindNewest", "FindSuccessor"])
def test_triggers_that_come_at_once_start_one_execution_together(trainings: Trainings, state: str) -> None:
    trainings.hold_after(state)
    trainings.let_end()
    triggers = [trainings.trigger() for _ in range(8)]
    trainings.states.pass_time(minutes=2)
    assert len(set(trainings.started_by(*triggers))) == 1
    assert len(trainings.executions()) == 1
    # and after it, again
    again = [trainings.trigger() for _ in range(8)]
    trainings.states.pass_time(minutes=2)
    assert len(set(trainings.started_by(*again))) == 1
    assert len(trainings.executions()) == 2


def test_triggers_that_come_at_once_with_other_parameters_have_a_run_each_one_after_the_other(
    trainings: Trainings,
) -> None:
    trainings.hold_after("FindSuccessor")
    trainings.let_end()
    trainings.let_end("other")
    regular = [trainings.trigger() for _ in range(3)]
    special = [trainings.by_hand(Mark="other") for _ in range(2)]
    trainings.states.pass_time(minutes=30)
    assert len(set(trainings.started_by(*regular))) == 1
    assert len(set(trainings.started_by(*special))) == 2
    executions = [
        trainings.states.sagemaker.describe_pipeline_execution(PipelineExecutionArn=each["PipelineExecutionArn"])
        for each in reversed(trainings.executions())
    ]
    assert len(executions) == 3
    for before, after in itertools.pairwise(executions):
        assert before["LastModifiedTime"] <= after["CreationTime"]


def test_triggers_during_a_run_are_remembered_and_start_one_execution_after_it(trainings: Trainings) -> None:
    (first,) = trainings.started_by(trainings.trigger())
    waiting = [trainings.trigger() for _ in range(3)]
    for each in waiting:
        trainings.waits(each, "WaitForEnd")
    trainings.states.clock.advance_to(trainings.states.clock.upcoming())
    assert len(trainings.executions()) == 1
    trainings.let_end()
    trainings.states.pass_time(seconds=2 * POLL_SECONDS)
    (second,) = set(trainings.started_by(*waiting))
    assert second != first
    assert trainings.statuses() == ["Succeeded", "Succeeded"]


def test_trigger_looks_less_and_less_often_so_that_its_history_outlasts_any_run(
    trainings: Trainings,
) -> None:
    trainings.started_by(trainings.trigger())
    waiting, clock = trainings.trigger(), trainings.states.clock
    trainings.waits(waiting, "WaitForEnd")
    pauses: list[float] = []
    for look in range(2, 52):
        began, upcoming = clock.now(), clock.upcoming()
        assert upcoming is not None
        pauses.append((upcoming - began).total_seconds())
        clock.advance_to(upcoming)
        until(lambda: trainings.states.current_states(waiting).count("WaitForEnd"), lambda count, at=look: count == at)
    assert pauses[0] == POLL_SECONDS
    assert all(later <= 1.2 * sooner for sooner, later in itertools.pairwise(pauses[10:]))
    assert pauses[-1] == LONGEST_POLL_SECONDS
    events_of_a_look = 9
    looks = len(pauses) + LONGEST_SECONDS / LONGEST_POLL_SECONDS
    assert events_of_a_look * looks < MOST_EVENTS


def test_failed_run_does_not_block_the_next(trainings: Trainings) -> None:
    trainings.trigger()
    until(trainings.executions)
    waiting = trainings.trigger()
    trainings.waits(waiting, "WaitForEnd")
    trainings.let_end(outcome="no rows")
    trainings.states.pass_time(seconds=2 * POLL_SECONDS)
    trainings.started_by(waiting)
    assert trainings.statuses() == ["Failed", "Failed"]


def test_new_data_waits_until_the_newest_run_is_so_many_hours_old(trainings: Trainings) -> None:
    trainings.let_end()
    trainings.started_by(trainings.trigger(NEW_DATA))
    trainings.states.pass_time(hours=1)
    early = [trainings.trigger(NEW_DATA) for _ in range(8)]
    trainings.states.pass_time(hours=22, minutes=59)
    assert len(trainings.executions()) == 1
    trainings.states.pass_time(minutes=1)
    assert len(set(trainings.started_by(*early))) == 1
    newest, oldest = trainings.executions()
    assert (newest["StartTime"] - oldest["StartTime"]).total_seconds() == 24 * 3600
    trainings.states.pass_time(hours=25)
    trainings.started_by(trainings.trigger(NEW_DATA))
    assert len(trainings.executions()) == 3


def test_new_data_that_waits_is_served_by_a_run_that_others_start(trainings: Trainings) -> None:
    trainings.let_end()
    trainings.started_by(trainings.trigger())
    trainings.states.settle()
    early = trainings.trigger(NEW_DATA)
    trainings.states.pass_time(hours=2)
    (scheduled,) = trainings.started_by(trainings.trigger())
    trainings.states.pass_time(hours=30)
    assert json.loads(trainings.states.ended(early)["output"]) == {"PipelineExecutionArn": scheduled, "joined": True}
    assert len(trainings.executions()) == 2


def test_run_with_parameters_waits_its_turn(trainings: Trainings) -> None:
    scheduled = trainings.trigger()
    trainings.started_by(scheduled)
    special = trainings.by_hand(Mark="other")
    trainings.waits(special, "WaitForEnd")
    trainings.let_end()
    trainings.let_end("other")
    trainings.states.pass_time(seconds=2 * POLL_SECONDS)
    (own,) = trainings.started_by(special)
    found = trainings.states.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=own)
    assert found["PipelineParameters"] == [{"Name": "Mark", "Value": "other"}]


def test_run_with_other_parameters_does_not_count_as_the_one_that_was_asked_for(trainings: Trainings) -> None:
    trainings.trigger()
    until(trainings.executions)
    waiting = trainings.trigger()
    trainings.waits(waiting, "WaitForEnd")
    trainings.let_end()
    trainings.states.settle()
    # somebody comes before it, past the triggers
    trainings.let_end("other")
    other = trainings.states.sagemaker.start_pipeline_execution(
        PipelineName=NAME, PipelineParameters=[{"Name": "Mark", "Value": "other"}]
    )["PipelineExecutionArn"]
    trainings.states.pass_time(seconds=3 * POLL_SECONDS)
    (started,) = trainings.started_by(waiting)
    assert started != other
    assert len(trainings.executions()) == 3


def test_trigger_that_cannot_start_says_why(trainings: Trainings) -> None:
    failed = trainings.by_hand(Nothing="1")
    trainings.states.pass_time(minutes=10)
    found = trainings.states.ended(failed)
    assert (found["status"], found["error"]) == ("FAILED", "SageMaker.SageMakerException")
    assert "Nothing" in found["cause"]
    assert trainings.executions() == []
