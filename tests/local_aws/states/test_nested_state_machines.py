"""State machines that start others, and wait for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local_aws.states.conftest import States

NEST = "arn:aws:states:::states:startExecution"
WAIT = {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "Next": "Say"}
SAY = {"Type": "Succeed", "Output": {"said": "{% $states.input.words %}"}}
BREAK = {"Type": "Fail", "Error": "Broken", "Cause": "it had to"}


def nesting(machine: str, how: str, **input_: Any) -> dict[str, Any]:
    task = {"Type": "Task", "Resource": NEST + how, "Arguments": {"StateMachineArn": machine, "Input": input_}}
    return {"Nest": {**task, "End": True}}


def test_outcome_of_the_other_is_the_result_in_json_by_the_clock(states: States) -> None:
    other = states.create({"Wait": WAIT, "Say": SAY})
    began = states.clock.now()
    execution = states.start(states.create(nesting(other, ".sync:2", seconds=7200, words=["a", "b"])))
    states.pass_time(hours=1)
    assert states.describe(execution)["status"] == "RUNNING"
    states.pass_time(hours=1)
    found = states.ended(execution)
    assert (found["stopDate"] - began).total_seconds() == pytest.approx(7200, abs=60)
    answer = json.loads(found["output"])
    assert (answer["Status"], answer["StateMachineArn"]) == ("SUCCEEDED", other)
    assert answer["Input"] == {"seconds": 7200, "words": ["a", "b"]}
    assert answer["Output"] == {"said": ["a", "b"]}


def test_sync_alone_leaves_the_output_as_text_and_without_it_nobody_waits(states: States) -> None:
    other = states.create({"Say": SAY})
    answer = states.output(states.create(nesting(other, ".sync", words="tea")))
    assert json.loads(answer["Output"]) == {"said": "tea"}
    slow = states.create({"Wait": WAIT, "Say": SAY})
    answer = states.output(states.create(nesting(slow, "", seconds=900, words="tea")))
    assert set(answer) == {"ExecutionArn", "StartDate"}
    assert states.describe(answer["ExecutionArn"])["status"] == "RUNNING"


def test_failure_of_the_other_fails_the_task_with_all_that_is_known_of_it(states: States) -> None:
    nest = nesting(states.create({"Break": BREAK}), ".sync:2")
    catcher = {"ErrorEquals": ["States.TaskFailed"], "Output": "{% $states.errorOutput %}", "Next": "No"}
    nest["Nest"]["Catch"] = [catcher]
    caught = states.output(states.create({**nest, "No": {"Type": "Succeed"}}))
    cause = json.loads(caught["Cause"])
    assert (caught["Error"], cause["Status"]) == ("States.TaskFailed", "FAILED")
    assert (cause["Error"], cause["Cause"]) == ("Broken", "it had to")


def test_other_is_stopped_with_the_one_that_waits_for_it(states: States) -> None:
    other = states.create({"Wait": WAIT, "Say": SAY})
    execution = states.start(states.create(nesting(other, ".sync:2", seconds=900, words="tea")))
    states.settle()
    states.api.stop_execution(executionArn=execution)
    assert states.ended(execution)["status"] == "ABORTED"
    (one,) = states.api.list_executions(stateMachineArn=other)["executions"]
    assert states.ended(one["executionArn"])["status"] == "ABORTED"


def test_alarms_and_executions_can_be_asked_about(states: States) -> None:
    states.context.client("cloudwatch").put_metric_alarm(
        AlarmName="asked", Namespace="shop", MetricName="Lost", Statistic="Maximum", Threshold=1.0, Period=60,
        ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1,
    )  # fmt: skip
    other = states.create({"Wait": WAIT, "Say": SAY})
    states.start(other, {"seconds": 60, "words": ""})
    asked = {
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:cloudwatch:describeAlarms",
            "Arguments": {"AlarmNames": ["asked"]},
            "Assign": {"state": "{% $states.result.MetricAlarms[0].StateValue %}"},
            "Next": "List",
        },
        "List": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:listExecutions",
            "Arguments": {"StateMachineArn": other, "StatusFilter": "RUNNING"},
            "Output": {"state": "{% $state %}", "running": "{% $count($states.result.Executions) %}"},
            "End": True,
        },
    }
    assert states.output(states.create(asked)) == {"state": "INSUFFICIENT_DATA", "running": 1}
    states.context.client("cloudwatch").delete_alarms(AlarmNames=["asked"])
