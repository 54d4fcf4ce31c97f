"""The state machine that retrains a model until its alarms are off, as plain data: States Language with JSONata.

Its input isn't looked at: it goes by the alarms as they are. Its output is `{"outcome": ..., "reason": ..., "attempts":
[...]}`, with the outcome calm, given up, or joined, where another execution is at it already.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .states_language import State, catching, catching_all, choice, pause, task

SETTLE_SECONDS = 15
"""After which all executions that began together see each other."""
POLL_SECONDS = 30
LONGEST_POLL_SECONDS = 1800
_POLL_GROWTH = 1.1
_LONGEST_TRAINING_SECONDS = 30 * 24 * 3600
_SUBJECT_LENGTH = 100  # of SNS
_REASON_LENGTH = 1000  # so that ten of them fit into a message, and into what an execution may hold
_SHOWN = 100

REGISTERED, REJECTED, FAILED, NO_DATA, WAITING = "registered", "rejected", "failed", "no data", "waiting"
"""What becomes of an attempt. A version that waits for its approval needs a person, not another training."""


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What is retrained, and when that ends.

    Parameters
    ----------
    name
        Of the model in its environment, as people know it: ``dev-flight-delay``.
    alarm_names
        The alarms that have to go off.
    trigger_arn
        The state machine of the training's triggers.
    register_step, reject_step
        The steps of the training pipeline that register a version, and that fail when the gate rejects it.
    cool_down_seconds
        From the end of a training, and from the approval of its version, to the next look at the alarms: a version has
        to be released, asked and looked at.
    stop_after
        Attempts in a row that didn't help, after which `topic_arn` is told and the execution ends.
    reports
        Where a person finds the reports of the monitor.
    """

    name: str
    alarm_names: Sequence[str]
    trigger_arn: str
    topic_arn: str
    cool_down_seconds: int
    stop_after: int
    reports: str
    register_step: str = "Register"
    reject_step: str = "Rejected"

    def __post_init__(self) -> None:
        """Refuse a loop that never turns, or never ends."""
        if not self.alarm_names:
            raise ValueError("alarm_names must name the alarms that a training is to end, got none")
        if self.cool_down_seconds < 0 or self.stop_after < 1:
            raise ValueError(
                f"cool_down_seconds must be at least 0 and stop_after at least 1, got {self.cool_down_seconds} "
                f"and {self.stop_after}"
            )


def retraining_definition(loop: Retraining) -> dict[str, Any]:
    """The definition for one model.

    One execution works at a time: of those that run the oldest does, and the others end as joined.

    An attempt starts the training by its trigger, so that it waits its turn and joins one that is due anyway, and is
    followed to its end. After the cool-down the alarms say whether it has helped, which takes an approval, a release
    and runs of the monitor. A version that still waits for its approval then isn't followed by another training: the
    attempt counts, as nothing has become better, and the person who is told at last learns what is missing.

    Attempts that a person is told of are over: the next execution begins when an alarm goes off again, or by hand.
    """
    return {
        "Comment": f"Retrains {loop.name} while its monitor's alarms are on, {loop.stop_after} times at the most",
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "TimeoutSeconds": loop.stop_after * (loop.cool_down_seconds + _LONGEST_TRAINING_SECONDS),
        "States": {
            **_take_turn(),
            **_look_at_alarms(loop),
            **_train(loop),
            **_follow(loop),
            **_judge(loop),
            **_tell(loop),
        },
    }


def _take_turn() -> dict[str, State]:
    mine = "$states.context.Execution"
    listed = "$states.result.Executions"
    # by the list's own times, which may have fewer digits than the execution's
    began = f"$toMillis([{listed}[ExecutionArn = {mine}.Id].StartDate, $began][0])"
    older = (
        f"{listed}[ExecutionArn != {mine}.Id and ($toMillis(StartDate) < {began} "
        f"or ($toMillis(StartDate) = {began} and ExecutionArn < {mine}.Id))][0]"
    )
    return {
        "Begin": {
            "Type": "Pass",
            "Assign": {
                "began": f"{{% {mine}.StartTime %}}",
                "attempts": [],
                "pause": POLL_SECONDS,
                "waits": "",
                "training": "none",
            },
            "Next": "Settle",
        },
        "Settle": {"Type": "Wait", "Seconds": SETTLE_SECONDS, "Next": "FindOlder"},
        "FindOlder": task(
            "sfn:listExecutions",
            {
                "StateMachineArn": "{% $states.context.StateMachine.Id %}",
                "StatusFilter": "RUNNING",
                "MaxResults": _SHOWN,
            },
            assign={"older": f"{{% $exists({older}) ? {older}.ExecutionArn : 'none' %}}"},
            following="IsFirst",
        ),
        "IsFirst": choice("{% $older = 'none' %}", "LookAtAlarms", otherwise="Joined"),
        "Joined": {"Type": "Succeed", "Output": {"outcome": "joined", "reason": "{% $older & ' is at it' %}"}},
    }


def _look_at_alarms(loop: Retraining) -> dict[str, State]:
    on = "$states.result.MetricAlarms[StateValue = 'ALARM']"
    tried = f"$count($attempts) >= {loop.stop_after}"
    return {
        "LookAtAlarms": task(
            "cloudwatch:describeAlarms",
            {"AlarmNames": list(loop.alarm_names), "AlarmTypes": ["MetricAlarm"], "MaxRecords": _SHOWN},
            assign={
                "on": f"{{% [{on}.AlarmDescription] %}}",
                "pause": POLL_SECONDS,
            },
            following="WhatNow",
        ),
        "WhatNow": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $count($on) = 0 %}", "Next": "Calm"},
                {"Condition": f"{{% {tried} %}}", "Next": "Tell"},
                {"Condition": "{% $waits != '' %}", "Next": "LookAtVersionAgain"},
            ],
            "Default": "Train",
        },
        "Calm": {
            "Type": "Succeed",
            "Output": {"outcome": "calm", "reason": "the alarms are off", "attempts": "{% $attempts %}"},
        },
    }


def _train(loop: Retraining) -> dict[str, State]:
    output = "$states.result.Output.PipelineExecutionArn"
    start = task(
        "",
        {"StateMachineArn": loop.trigger_arn, "Input": {"trigger": "monitor"}},
        assign={
            "training": f"{{% $exists({output}) ? {output} : 'none' %}}",
            "outcome": NO_DATA,
            "why": "there is no published data to train on yet",
        },
        following="HasTraining",
        # a trigger that fails has tried again itself, and told people
        at_once=["States.TaskFailed", "States.Timeout"],
        catch=catching_all(
            "NotStarted",
            {
                "outcome": FAILED,
                "why": f"{{% $substring('its trigger failed: ' & $states.errorOutput.Cause, 0, {_REASON_LENGTH}) %}}",
            },
        ),
    )
    return {
        # waits for the trigger's end, which waits for its turn
        "Train": {**start, "Resource": "arn:aws:states:::states:startExecution.sync:2"},
        "HasTraining": choice("{% $training = 'none' %}", "NotStarted", otherwise="WaitForEnd"),
        "NotStarted": _note("$outcome", "$why", following="CoolDown", training="'none'"),
    }


def _follow(loop: Retraining) -> dict[str, State]:
    steps = "$states.result.PipelineExecutionSteps"
    reasons = f"$join([{steps}[StepStatus = 'Failed'].(StepName & ': ' & FailureReason)], '; ')"
    why = f"({reasons} = '' ? 'its training is ' & $status : {reasons})"
    rejected = f"$exists({steps}[StepName = '{loop.reject_step}' and StepStatus = 'Failed'])"
    version = f"{steps}[StepName = '{loop.register_step}' and StepStatus = 'Succeeded'].Metadata.RegisterModel.Arn"
    return {
        "WaitForEnd": _pause("LookAtTraining"),
        "LookAtTraining": task(
            "sagemaker:describePipelineExecution",
            {"PipelineExecutionArn": "{% $training %}"},
            assign={"status": "{% $states.result.PipelineExecutionStatus %}"},
            following="HasEnded",
        ),
        "HasEnded": choice("{% $status in ['Executing', 'Stopping'] %}", "WaitForEnd", otherwise="FindOutcome"),
        "FindOutcome": task(
            "sagemaker:listPipelineExecutionSteps",
            {"PipelineExecutionArn": "{% $training %}", "MaxResults": _SHOWN},
            assign={
                "waits": f"{{% $exists({version}) ? {version} : '' %}}",
                "why": f"{{% $substring({why}, 0, {_REASON_LENGTH}) %}}",
                "outcome": f"{{% $status = 'Succeeded' ? '{REGISTERED}' : {rejected} ? '{REJECTED}' : '{FAILED}' %}}",
            },
            following="Note",
            catch=catching_all("Note", {"waits": "", "why": "{% 'its training is ' & $status %}", "outcome": FAILED}),
        ),
        "Note": _note("$outcome", "$waits != '' ? $waits : $why", following="CoolDown"),
        "CoolDown": {"Type": "Wait", "Seconds": loop.cool_down_seconds, "Next": "IsThereAVersion"},
        "IsThereAVersion": choice("{% $waits != '' %}", "LookAtVersion", otherwise="LookAtAlarms"),
    }


def _judge(loop: Retraining) -> dict[str, State]:
    """What has become of a version meanwhile: one that was decided on is no reason to wait for its approval.

    Of one that was approved the cool-down begins with that: until then no run of the monitor has seen it.
    """
    found = "$states.result"

    def look(following: str) -> State:
        return task(
            "sagemaker:describeModelPackage",
            {"ModelPackageName": "{% $waits %}"},
            assign={
                "approval": f"{{% {found}.ModelApprovalStatus %}}",
                "decided": f"{{% [{found}.LastModifiedTime, {found}.CreationTime][0] %}}",
            },
            following=following,
            # it may have been deleted since
            catch=[catching(["States.ALL"], "LookAtAlarms", {"waits": ""})],
        )

    def decide(pending: str, otherwise: str) -> State:
        return {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $approval = 'PendingManualApproval' %}", "Next": pending},
                {"Condition": "{% $approval = 'Approved' %}", "Next": "WaitForRuns"},
            ],
            "Default": otherwise,
            "Assign": {"waits": ""},
        }

    seen = f"$fromMillis($toMillis($decided) + {loop.cool_down_seconds * 1000})"
    return {
        "LookAtVersion": look("IsPending"),
        "IsPending": decide("LookAtAlarms", "LookAtAlarms"),
        "LookAtVersionAgain": look("IsStillPending"),
        "IsStillPending": decide("NoteWaiting", "Train"),
        "NoteWaiting": _note(f"'{WAITING}'", "$waits & ' is not approved yet'", following="CoolDown"),
        # a moment that has passed is not waited for
        "WaitForRuns": {
            "Type": "Wait",
            "Timestamp": f"{{% {seen} %}}",
            "Assign": {"waits": ""},
            "Next": "LookAtAlarms",
        },
    }


def _tell(loop: Retraining) -> dict[str, State]:
    one = (
        "'Attempt ' & $string($i + 1) & ': ' & $a.outcome & ', ' & $a.reason "
        "& ($a.training = 'none' ? '' : ' (' & $a.training & ')')"
    )
    listed = f"$join($map($attempts, function($a, $i) {{ {one} }}), '\\n')"
    # a text of JSON is one of JSONata, which knows no escape for a single quote
    head = json.dumps(f"{loop.name} was trained again, and its alarms are still on:\n- ")
    what_to_do = (
        "\n\nWhat to do: read the newest report below "
        + loop.reports
        + ". If a version waits, decide on it (mlops model "
        "approve, or reject). If the gate rejects all, the world has changed more than the model can learn: change its "
        "features, its data or its gate. Start the state machine again, or the alarm will when it goes off anew."
    )
    return {
        "Tell": task(
            "sns:publish",
            {
                "TopicArn": loop.topic_arn,
                "Subject": f"{loop.name}: retraining didn't help"[:_SUBJECT_LENGTH],
                "Message": (f"{{% {head} & $join($on, '\\n- ') & '\\n\\n' & {listed} & {json.dumps(what_to_do)} %}}"),
            },
            assign={},
            following="GivenUp",
        ),
        "GivenUp": {
            "Type": "Succeed",
            "Output": {
                "outcome": "given up",
                "reason": "{% $attempts[-1].outcome & ': ' & $attempts[-1].reason %}",
                "attempts": "{% $attempts %}",
                "alarms": "{% $on %}",
            },
        },
    }


def _note(outcome: str, reason: str, *, following: str, training: str = "$training") -> State:
    entry = f"{{'outcome': {outcome}, 'reason': {reason}, 'training': {training}}}"
    return {"Type": "Pass", "Assign": {"attempts": f"{{% $append($attempts, [{entry}]) %}}"}, "Next": following}


def _pause(following: str) -> State:
    return pause(following, growth=_POLL_GROWTH, longest=LONGEST_POLL_SECONDS)
