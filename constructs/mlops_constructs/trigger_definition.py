"""The state machine that all triggers of a training pipeline go through, as plain data: States Language with JSONata.

Its input is `{"trigger": <name>, "parameters": [{"Name": ..., "Value": ...}], "at_most_every_hours": <number>}`; what
isn't needed is left out. Its output is `{"PipelineExecutionArn": ..., "joined": <whether it was there already>}`, or
`{"waits_for": <URI>}` where the file that training needs isn't there yet, so that nothing was started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .states_language import State, choice, pause, task

POLL_SECONDS = 30
"""After which a trigger that waits first looks whether the execution before it has ended; then less and less often."""
LONGEST_POLL_SECONDS = 1800
_POLL_GROWTH = 1.1  # it notices an end late by a tenth of the time that it has waited, at most
LONGEST_SECONDS = 30 * 24 * 3600
"""After which a trigger gives up: an execution of a pipeline can run for 28 days."""
_SHOWN = 50
_AFTER = "the-pipeline-execution-that-comes-after-"
_REGULAR = "Started by its triggers"
_BEGINNING = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class NeededFile:
    """A file in S3 without which nothing can be trained: the manifest of the published data, say."""

    bucket_name: str
    key: str


def trigger_definition(pipeline_name: str, needed: NeededFile | None = None) -> dict[str, Any]:
    """The definition for one pipeline.

    On the first day there is no data, which is no failure: a trigger then ends well, and starts nothing.

    A trigger looks up the newest execution, waits until it has ended, and starts the one that comes after it, under a
    token made of the id of the one before. Triggers that have seen the same one get the same successor from SageMaker,
    however many they are; one that finds there an execution of other parameters than its own waits for it in turn.

    An execution of a state machine ends with 25,000 events in its history [1]_, of which each look takes nine. So the
    pause between two looks grows: the thirty days that a trigger waits at the longest are 1,500 of them.

    .. [1] https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    return {
        "Comment": f"Starts {pipeline_name}: one execution at a time, and none for nothing",
        "QueryLanguage": "JSONata",
        "StartAt": "FindData" if needed else "FindNewest",
        "TimeoutSeconds": LONGEST_SECONDS,
        "States": {
            **(_find_data(needed) if needed else {}),
            "FindNewest": _find_newest(pipeline_name),
            "IsRunning": choice("{% $status in ['Executing', 'Stopping'] %}", "WaitForEnd", otherwise="CoolDown"),
            "WaitForEnd": _pause("LookAgain"),
            "LookAgain": _task(
                "describePipelineExecution",
                {"PipelineExecutionArn": "{% $seen %}"},
                assign={"status": "{% $states.result.PipelineExecutionStatus %}"},
                following="IsRunning",
            ),
            "CoolDown": {
                "Type": "Wait",
                # a moment that has passed is not waited for
                "Timestamp": "{% $fromMillis($toMillis($started) + $hours * 3600000) %}",
                "Next": "FindSuccessor",
            },
            "FindSuccessor": _find_successor(pipeline_name),
            "HasSuccessor": _has_successor(),
            "Start": _start(pipeline_name),
            "GiveWay": _pause("FindSuccessor"),
            "LookAtIt": _look_at_it(),
            "IsOurs": _is_ours(),
            "Started": _succeed("{% $successor %}", joined=False),
            "Joined": _succeed("{% $joined %}", joined=True),
        },
    }


def _find_data(needed: NeededFile) -> dict[str, State]:
    # a list of keys, not a look at the file: it takes no right to read, nor the key that the file is encrypted with
    arguments = {"Bucket": needed.bucket_name, "Prefix": needed.key, "MaxKeys": 1}
    return {
        "FindData": _task(
            "listObjectsV2",
            arguments,
            assign={"found": "{% $states.result.KeyCount %}"},
            following="HasData",
            service="s3",
        ),
        "HasData": choice("{% $found > 0 %}", "FindNewest", otherwise="NoDataYet"),
        "NoDataYet": {"Type": "Succeed", "Output": {"waits_for": f"s3://{needed.bucket_name}/{needed.key}"}},
    }


def _pause(following: str) -> State:
    return pause(following, growth=_POLL_GROWTH, longest=LONGEST_POLL_SECONDS)


def _find_newest(pipeline_name: str) -> State:
    newest = "$states.result.PipelineExecutionSummaries[0]"
    return _list(
        pipeline_name,
        assign={
            "pause": POLL_SECONDS,
            "seen": f"{{% $exists({newest}) ? {newest}.PipelineExecutionArn : 'none' %}}",
            "status": f"{{% $exists({newest}) ? {newest}.PipelineExecutionStatus : 'none' %}}",
            "started": f"{{% $exists({newest}) ? {newest}.StartTime : '{_BEGINNING}' %}}",
            "parameters": "{% [$states.input.parameters] %}",
            "hours": "{% $exists($states.input.at_most_every_hours) ? $states.input.at_most_every_hours : 0 %}",
            "mine": (
                "{% $count([$states.input.parameters]) > 0 "
                f"? 'Started by ' & $states.context.Execution.Name : '{_REGULAR}' %}}"
            ),
        },
        following="IsRunning",
    )


def _find_successor(pipeline_name: str) -> State:
    found = "$states.result.PipelineExecutionSummaries"
    ours = f"{found}[PipelineExecutionDescription = $mine and $toMillis(StartTime) > $toMillis($started)][0]"
    return _list(
        pipeline_name,
        assign={
            "joined": f"{{% $exists({ours}) ? {ours}.PipelineExecutionArn : 'none' %}}",
            "newest": f"{{% $exists({found}[0]) ? {found}[0].PipelineExecutionArn : 'none' %}}",
            "newest_status": f"{{% $exists({found}[0]) ? {found}[0].PipelineExecutionStatus : 'none' %}}",
            "newest_started": f"{{% $exists({found}[0]) ? {found}[0].StartTime : '{_BEGINNING}' %}}",
        },
        following="HasSuccessor",
    )


def _has_successor() -> State:
    other = {
        "seen": "{% $newest %}",
        "status": "{% $newest_status %}",
        "started": "{% $newest_started %}",
        "pause": POLL_SECONDS,
    }
    return {
        "Type": "Choice",
        "Choices": [
            {"Condition": "{% $joined != 'none' %}", "Next": "Joined"},
            {"Condition": "{% $newest != $seen %}", "Assign": other, "Next": "IsRunning"},
        ],
        "Default": "Start",
    }


def _start(pipeline_name: str) -> State:
    # a state machine that is deployed anew has another name, so that nothing of an earlier one's first token is left
    previous = "($seen = 'none' ? $states.context.StateMachine.Name : $split($seen, '/')[-1])"
    return _task(
        "startPipelineExecution",
        {
            "PipelineName": pipeline_name,
            "ClientRequestToken": f"{{% '{_AFTER}' & {previous} %}}",
            "PipelineExecutionDescription": "{% $mine %}",
            "PipelineParameters": "{% $parameters %}",
        },
        assign={"successor": "{% $states.result.PipelineExecutionArn %}"},
        following="LookAtIt",
        catch=[{"ErrorEquals": ["SageMaker.ConflictException"], "Next": "GiveWay"}],
    )


def _look_at_it() -> State:
    description = "$states.result.PipelineExecutionDescription"
    return _task(
        "describePipelineExecution",
        {"PipelineExecutionArn": "{% $successor %}"},
        assign={
            "description": f"{{% $exists({description}) ? {description} : '' %}}",
            "newest_status": "{% $states.result.PipelineExecutionStatus %}",
            "newest_started": "{% $states.result.CreationTime %}",
        },
        following="IsOurs",
    )


def _is_ours() -> State:
    other = {
        "seen": "{% $successor %}",
        "status": "{% $newest_status %}",
        "started": "{% $newest_started %}",
        "pause": POLL_SECONDS,
    }
    ours = choice("{% $description = $mine %}", "Started", otherwise="IsRunning")
    return {**ours, "Assign": other}


def _list(pipeline_name: str, *, assign: Mapping[str, str | int], following: str) -> State:
    arguments = {
        "PipelineName": pipeline_name,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": _SHOWN,
    }
    return _task("listPipelineExecutions", arguments, assign=assign, following=following)


def _task(
    operation: str,
    arguments: dict[str, Any],
    *,
    assign: Mapping[str, str | int],
    following: str,
    catch: Sequence[State] = (),
    service: str = "sagemaker",
) -> State:
    # another request has taken the place: trying again won't help
    at_once = ["SageMaker.ConflictException"]
    return task(f"{service}:{operation}", arguments, assign=assign, following=following, catch=catch, at_once=at_once)


def _succeed(execution: str, *, joined: bool) -> State:
    return {"Type": "Succeed", "Output": {"PipelineExecutionArn": execution, "joined": joined}}
