"""State machines of the local AWS: what each state does, what fails them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.asking import until
from tests.local_aws.states.conftest import ROLE, START, States

PUT = "arn:aws:states:::aws-sdk:ssm:putParameter"
GET = "arn:aws:states:::aws-sdk:ssm:getParameter"


def getting(name: str, **members: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": GET, "Arguments": {"Name": name}, "End": True, **members}


def test_variables_and_outputs_go_from_state_to_state(states: States) -> None:
    machine = states.create(
        {
            "Count": {
                "Type": "Pass",
                "Assign": {"count": "{% $count($states.input.rows) %}", "fixed": [1, {"a": "{% 'b' %}"}]},
                "Output": {"rows": "{% $states.input.rows %}"},
                "Next": "Decide",
            },
            "Decide": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $count > 2 %}", "Next": "Many", "Output": "{% 'many: ' & $count %}"},
                    {"Condition": "{% $count > 0 %}", "Assign": {"count": 0}, "Next": "Few"},
                ],
                "Default": "None",
            },
            "Many": {"Type": "Succeed"},
            "Few": {"Type": "Succeed", "Output": {"count": "{% $count %}", "fixed": "{% $fixed %}"}},
            "None": {"Type": "Fail", "Error": "NoRows", "Cause": "{% 'there are ' & $count & ' rows' %}"},
        }
    )
    assert states.output(machine, {"rows": [1, 2, 3]}) == "many: 3"
    assert states.output(machine, {"rows": [1]}) == {"count": 0, "fixed": [1, {"a": "b"}]}
    failed = states.run(machine, {"rows": []})
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "NoRows", "there are 0 rows")


def test_assignments_of_a_state_see_the_values_before_it(states: States) -> None:
    machine = states.create(
        {
            "First": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "Swap"},
            "Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Output": "{% $a %}", "Next": "Say"},
            "Say": {"Type": "Succeed", "Output": ["{% $states.input %}", "{% $a %}", "{% $b %}"]},
        }
    )
    assert states.output(machine) == [1, 2, 1]


def test_task_calls_the_api_in_the_role_of_the_state_machine_and_times_are_text(states: States) -> None:
    machine = states.create(
        {
            "Who": {
                "Type": "Task",
                "Resource": PUT,
                "Arguments": {
                    "Name": "/said",
                    "Value": "{% $states.input.text %}",
                    "Type": "String",
                    "Overwrite": True,
                },
                "Next": "Read",
            },
            "Read": getting("/said", Output="{% $states.result.Parameter %}"),
        }
    )
    said = states.output(machine, {"text": "hello"})
    assert said["Value"] == "hello"
    assert said["LastModifiedDate"].endswith("Z")
    roles: list[Any] = []
    of_context = states.context.client

    def client(service: str, **options: Any) -> Any:
        roles.append((service, options.get("role_arn")))
        return of_context(service, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states.context, "client", client)
        states.output(machine, {"text": "hello"})
    assert {each for each in roles if each[0] == "ssm"} == {("ssm", ROLE)}


def test_error_that_the_service_names_is_caught_by_its_name(states: States) -> None:
    caught = {
        "ErrorEquals": ["Ssm.ParameterNotFoundException"],
        "Next": "Missing",
        "Assign": {"why": "{% $states.errorOutput %}"},
    }
    machine = states.create(
        {"Read": getting("/nothing", Catch=[caught]), "Missing": {"Type": "Succeed", "Output": "{% $why.Error %}"}}
    )
    assert states.output(machine) == "Ssm.ParameterNotFoundException"
    uncaught = states.run(states.create({"Read": getting("/nothing")}))
    assert (uncaught["status"], uncaught["error"]) == ("FAILED", "Ssm.ParameterNotFoundException")


def test_retries_pause_by_the_clock_and_give_up(states: States) -> None:
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 100, "MaxAttempts": 2, "BackoffRate": 3}
    execution = states.start(states.create({"Read": getting("/nothing", Retry=[retry])}))
    began = states.clock.now()
    states.pass_time(seconds=399)
    assert states.describe(execution)["status"] == "RUNNING"
    states.pass_time(seconds=1)
    found = states.ended(execution)
    assert found["error"] == "Ssm.ParameterNotFoundException"
    assert (found["stopDate"] - began).total_seconds() == 400


def test_retry_that_succeeds_is_a_success(states: States) -> None:
    retry = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 60}
    execution = states.start(states.create({"Read": getting("/late", Retry=[retry], Output="here")}))
    states.settle()
    states.context.client("ssm").put_parameter(Name="/late", Value="x", Type="String")
    states.pass_time(minutes=1)
    assert json.loads(states.ended(execution)["output"]) == "here"


def test_waits_end_at_their_moment_and_one_that_has_passed_at_once(states: States) -> None:
    machine = states.create(
        {
            "Until": {"Type": "Wait", "Timestamp": "{% $states.input.at %}", "Next": "For"},
            "For": {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "End": True},
        }
    )
    began = states.clock.now()
    execution = states.start(machine, {"at": "2001-01-01T00:00:00.5Z", "seconds": 90})
    states.pass_time(seconds=89)
    assert states.describe(execution)["status"] == "RUNNING"
    states.pass_time(seconds=1)
    assert (states.ended(execution)["stopDate"] - began).total_seconds() == 90
    assert states.current_states(execution) == ["Until", "For"]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"Type": "Pass", "Output": "{% $states.input.nothing %}", "End": True}, "returned nothing"),
        ({"Type": "Pass", "Output": "{% 1 + 'a' %}", "End": True}, "can't be evaluated"),
        ({"Type": "Wait", "Timestamp": "{% 'soon' %}", "End": True}, "'soon' is not a timestamp"),
        ({"Type": "Wait", "Seconds": "{% -1 %}", "End": True}, "a whole number from 0"),
    ],
)
def test_expression_that_leads_nowhere_fails_the_execution_with_its_text(
    states: States, state: dict[str, Any], reason: str
) -> None:
    found = states.run(states.create({"It": state}))
    assert found["error"] == "States.QueryEvaluationError"
    assert reason in found["cause"]


def test_choice_without_a_way_fails(states: States) -> None:
    choice = {"Type": "Choice", "Choices": [{"Condition": "{% false %}", "Next": "Choose"}]}
    assert states.run(states.create({"Choose": choice}))["error"] == "States.NoChoiceMatched"


def test_execution_ends_at_its_timeout_and_when_it_is_stopped(states: States) -> None:
    long = {"Wait": {"Type": "Wait", "Seconds": 1000, "End": True}}
    late = states.start(states.create(long, TimeoutSeconds=60))
    stopped = states.start(states.create(long))
    states.api.stop_execution(executionArn=stopped, error="Enough", cause="it is late")
    found = states.ended(stopped)
    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Enough", "it is late")
    states.pass_time(seconds=60)
    assert states.ended(late)["status"] == "TIMED_OUT"


def test_each_change_of_status_is_an_event(states: States) -> None:
    machine = states.create({"Say": {"Type": "Succeed", "Output": {"said": "it"}}})
    seen: list[tuple[str, dict[str, Any]]] = []
    emit = states.context.emit
    states.context.emit = lambda _, kind, detail, __: seen.append((kind, detail))
    try:
        states.run(machine)
        until(lambda: len(seen) == 2)
    finally:
        states.context.emit = emit
    assert {kind for kind, _ in seen} == {"Step Functions Execution Status Change"}
    assert [detail["status"] for _, detail in seen] == ["RUNNING", "SUCCEEDED"]
    assert seen[1][1]["stateMachineArn"] == machine
    assert json.loads(seen[1][1]["output"]) == {"said": "it"}
    assert seen[1][1]["stopDate"] >= START.timestamp() * 1000


def test_log_group_gets_the_history(states: States) -> None:
    logs = states.context.client("logs")
    logs.create_log_group(logGroupName="/aws/vendedlogs/states/it")
    group = logs.describe_log_groups(logGroupNamePrefix="/aws/vendedlogs/states/it")["logGroups"][0]["arn"]
    definition = {"QueryLanguage": "JSONata", "StartAt": "Say", "States": {"Say": {"Type": "Succeed", "Output": "it"}}}
    destination = {"cloudWatchLogsLogGroup": {"logGroupArn": group}}
    machine = states.create_from(
        definition, loggingConfiguration={"level": "ALL", "includeExecutionData": True, "destinations": [destination]}
    )
    states.run(machine)
    (stream,) = logs.describe_log_streams(logGroupName="/aws/vendedlogs/states/it")["logStreams"]
    events = logs.get_log_events(logGroupName="/aws/vendedlogs/states/it", logStreamName=stream["logStreamName"])
    lines = [json.loads(event["message"]) for event in events["events"]]
    assert [line["type"] for line in lines] == ["ExecutionStarted", "SucceedStateEntered", "ExecutionSucceeded"]
    assert lines[-1]["details"] == {"output": "it"}


def test_same_name_is_the_same_execution_as_long_as_it_runs(states: States) -> None:
    machine = states.create({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}})
    first = states.start(machine, {"a": 1}, name="once")
    assert states.start(machine, {"a": 1}, name="once") == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start(machine, {"a": 2}, name="once")
    states.pass_time(minutes=1)
    states.ended(first)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start(machine, {"a": 1}, name="once")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"Type": "Map", "End": True}, "types Task, Pass, Wait, Choice, Succeed, Fail, not 'Map'"),
        ({"Type": "Pass", "Parameters": {}, "End": True}, "doesn't act on Parameters"),
        ({"Type": "Pass"}, "exactly one of Next and End"),
        ({"Type": "Pass", "Next": "Nowhere"}, "goes on to 'Nowhere', which is no state"),
        ({"Type": "Pass", "Output": "{% 1 + %}", "End": True}, r"1 \+"),
        ({"Type": "Wait", "End": True}, "exactly one of Seconds and Timestamp"),
        ({"Type": "Wait", "Seconds": -1, "End": True}, "from 0 to 99999999, got -1"),
        ({"Type": "Wait", "Timestamp": "noon", "End": True}, "'noon' is not a timestamp"),
        ({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}, "the local AWS's tasks are"),
        ({"Type": "Task", "Resource": GET.replace("get", "guess"), "End": True}, "ssm has no operation guessParameter"),
        ({"Type": "Task", "Resource": GET, "Arguments": {"name": "x"}, "End": True}, "has no name and needs Name"),
        ({"Type": "Choice", "Choices": []}, "must hold one rule at least"),
        ({"Type": "Choice", "Choices": [{"Next": "It"}]}, "needs a Condition and a Next"),
        ({"Type": "Succeed", "QueryLanguage": "JSONPath", "Retry": []}, "doesn't act on Retry"),
    ],
)
def test_what_can_not_be_run_is_refused_with_its_place(states: States, state: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as refused:
        states.create({"It": state})
    assert refused.value.response["Error"]["Code"] == "InvalidDefinition"
    assert "It: " in str(refused.value)
