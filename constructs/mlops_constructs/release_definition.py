"""The state machine that releases versions of a model, as plain data: States Language with JSONata.

It brings a stack to the version that should serve: the pinned one, or else the newest that is approved. Its input is
`{"trigger": <name>, "reason": <text>, "package": <ARN>}`, all of which may be left out; `package` is the version whose
approval or rejection started it, and tells the reason where none is given. Its output says what serves afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

State = dict[str, Any]

PACKAGE_PARAMETER = "ModelPackageArn"
NOT_PINNED = "none"
"""The value of the pin's parameter when no version is pinned: a parameter can't be empty."""
POLL_SECONDS = 3
"""After which it first looks how far the stack is; then less and less often."""
LONGEST_POLL_SECONDS = 60
_POLL_GROWTH = 1.2
LONGEST_SECONDS = 12 * 3600
"""After which a release is given up: an endpoint's update ends within eight hours."""
_MOST_REFUSALS = 3  # of an update by CloudFormation, before the version is what it refuses
_DESCRIPTION_LENGTH = 1024  # of an approval
_RETRY = [
    {"ErrorEquals": ["CloudFormation.CloudFormationException", "SageMaker.ConflictException"], "MaxAttempts": 0},
    {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": 2,
        "MaxAttempts": 4,
        "BackoffRate": 3,
        "JitterStrategy": "FULL",
    },
]
_ASK_AGAIN = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "MaxAttempts": 5, "BackoffRate": 2}]


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is released where.

    Parameters
    ----------
    stack_name
        The stack whose parameter ``ModelPackageArn`` names the version.
    group_name
        The model's package group.
    pin_name
        The SSM parameter that holds the ARN of the pinned version, or ``none``.
    bucket_name, prefix
        Where each release leaves its record: ``<prefix><time>.json``.
    """

    stack_name: str
    group_name: str
    pin_name: str
    bucket_name: str
    prefix: str


def release_definition(release: Release) -> dict[str, Any]:
    """The definition for one stack.

    Whatever starts it, an approval, a rejection or a person, it looks up what should serve and what does, and changes
    the stack where these differ. So events may come twice, late or together: the last one leaves the right version.
    Nothing is ever taken away: where no version is approved any more, the one that serves goes on.

    A release that fails, because the endpoint's alarms went off or for any other reason, is rolled back by
    CloudFormation. The version then loses its approval, with the reason, so that it isn't tried again, nor compared
    with as the champion; who approves it again tries it again.
    """
    return {
        "Comment": f"Brings {release.stack_name} to the version of {release.group_name} that should serve",
        "QueryLanguage": "JSONata",
        "StartAt": "LookAtStack",
        "TimeoutSeconds": LONGEST_SECONDS,
        "States": {
            **_wait_for_turn(release),
            **_choose_version(release),
            **_update_stack(release),
            **_tell_failure(release),
            **_record(release),
        },
    }


def _wait_for_turn(release: Release) -> dict[str, State]:
    return {
        "LookAtStack": _look(
            release,
            following="IsBusy",
            assign={
                "pause": f"{{% $exists($pause) ? $pause : {POLL_SECONDS} %}}",
                "refusals": "{% $exists($refusals) ? $refusals : 0 %}",
                "trigger": "{% $exists($states.input.trigger) ? $states.input.trigger : 'by-hand' %}",
                "asked": "{% $exists($states.input.reason) ? $states.input.reason : '' %}",
                "announced": "{% $exists($states.input.package) ? $states.input.package : 'none' %}",
                "began": "{% $states.context.Execution.StartTime %}",
            },
        ),
        "IsBusy": _choice("{% $contains($status, '_IN_PROGRESS') %}", "WaitForTurn", otherwise="FindPin"),
        "WaitForTurn": _pause("LookAtStack"),
    }


def _choose_version(release: Release) -> dict[str, State]:
    newest = "$states.result.ModelPackageSummaryList[0]"
    return {
        "FindPin": _task(
            "ssm:getParameter",
            {"Name": release.pin_name},
            assign={"wanted": "{% $states.result.Parameter.Value %}"},
            following="IsPinned",
        ),
        "IsPinned": _choice(f"{{% $wanted != '{NOT_PINNED}' %}}", "Compare", otherwise="FindNewest"),
        "FindNewest": _task(
            "sagemaker:listModelPackages",
            {
                "ModelPackageGroupName": release.group_name,
                "ModelApprovalStatus": "Approved",
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
                "MaxResults": 1,
            },
            assign={"wanted": f"{{% $exists({newest}) ? {newest}.ModelPackageArn : '{NOT_PINNED}' %}}"},
            following="Compare",
        ),
        "Compare": _choice(
            f"{{% $wanted = '{NOT_PINNED}' or $wanted = $before %}}", "NothingToDo", otherwise="HasReason"
        ),
        "NothingToDo": {"Type": "Succeed", "Output": {"outcome": "unchanged", "serving": "{% $before %}"}},
        "HasReason": _choice("{% $asked != '' or $announced = 'none' %}", "LookAtVersion", otherwise="FindWhy"),
        "FindWhy": _task(
            "sagemaker:describeModelPackage",
            {"ModelPackageName": "{% $announced %}"},
            assign={"asked": f"{{% {_told('ApprovalDescription')} %}}"},
            following="LookAtVersion",
            # it may have been deleted since
            catch=[{"ErrorEquals": ["States.ALL"], "Output": "{% $states.input %}", "Next": "LookAtVersion"}],
        ),
        "LookAtVersion": _task(
            "sagemaker:describeModelPackage",
            {"ModelPackageName": "{% $wanted %}"},
            assign={"approval": "{% $states.result.ModelApprovalStatus %}"},
            following="IsApproved",
        ),
        "IsApproved": _choice("{% $approval = 'Approved' %}", "Update", otherwise="NotApproved"),
        "NotApproved": {
            "Type": "Fail",
            "Error": "VersionIsNotApproved",
            "Cause": "{% $wanted & ' should serve, and is ' & $approval & ': approve it, or pin another version' %}",
        },
    }


def _told(member: str) -> str:
    return f"$exists($states.result.{member}) ? $states.result.{member} : ''"


def _update_stack(release: Release) -> dict[str, State]:
    key = "ParameterKey"
    return {
        "Update": _task(
            "cloudformation:updateStack",
            {
                "StackName": release.stack_name,
                "UsePreviousTemplate": True,
                "Parameters": (
                    f"{{% $append([{{'{key}': '{PACKAGE_PARAMETER}', 'ParameterValue': $wanted}}], "
                    f"$map($others, function($name) {{{{'{key}': $name, 'UsePreviousValue': true}}}})) %}}"
                ),
                "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
                "ClientRequestToken": "{% $states.context.Execution.Name %}",
            },
            assign={"pause": POLL_SECONDS},
            following="WaitForEnd",
            catch=[
                {
                    "ErrorEquals": ["CloudFormation.CloudFormationException"],
                    "Assign": {"why": "{% $states.errorOutput.Cause %}", "refusals": "{% $refusals + 1 %}"},
                    "Output": "{% $states.input %}",
                    "Next": "IsTaken",
                }
            ],
        ),
        # somebody else may have changed the stack since it was looked at, or be about to: the next look tells
        "IsTaken": _choice(
            f"{{% $contains($why, '_IN_PROGRESS') or $refusals < {_MOST_REFUSALS} %}}",
            "WaitForTurn",
            otherwise="Withdraw",
        ),
        "WaitForEnd": _pause("LookAgain"),
        "LookAgain": _look(release, following="HasEnded", assign={}, serving="after"),
        "HasEnded": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $contains($status, '_IN_PROGRESS') %}", "Next": "WaitForEnd"},
                {
                    "Condition": "{% $status = 'UPDATE_COMPLETE' and $after = $wanted %}",
                    "Assign": {"outcome": "released", "why": ""},
                    "Next": "Record",
                },
            ],
            "Default": "FindReason",
        },
    }


def _tell_failure(release: Release) -> dict[str, State]:
    mine = "ClientRequestToken = $states.context.Execution.Name"
    failed = f"$states.result.StackEvents[{mine} and $contains(ResourceStatus, '_FAILED')]"
    # the newest come first, and the first failure is the reason of all others
    first = f"{failed}[-1]"
    return {
        "FindReason": _task(
            "cloudformation:describeStackEvents",
            {"StackName": release.stack_name},
            assign={
                "why": (
                    f"{{% $exists({first}) ? {first}.LogicalResourceId & ': ' & {first}.ResourceStatusReason "
                    ": 'the stack is ' & $status & ': see its events' %}"
                )
            },
            following="Withdraw",
            catch=[
                {
                    "ErrorEquals": ["States.ALL"],
                    "Assign": {"why": "{% 'the stack is ' & $status & ': see its events' %}"},
                    "Output": "{% $states.input %}",
                    "Next": "Withdraw",
                }
            ],
        ),
        "Withdraw": _task(
            "sagemaker:updateModelPackage",
            {
                "ModelPackageArn": "{% $wanted %}",
                "ModelApprovalStatus": "PendingManualApproval",
                "ApprovalDescription": (
                    f"{{% $substring('Its release failed, approve it to try again: ' & $why, 0, {_DESCRIPTION_LENGTH})"
                    " %}"
                ),
            },
            assign={"outcome": "rolled back"},
            following="Record",
        ),
    }


def _record(release: Release) -> dict[str, State]:
    record = (
        "{'outcome': $outcome, 'package': $wanted, 'before': $before, 'trigger': $trigger, 'asked': $asked, "
        f"'reason': $why, 'stack': '{release.stack_name}', 'began': $began, 'ended': $now()}}"
    )
    return {
        "Record": _task(
            "s3:putObject",
            {
                "Bucket": release.bucket_name,
                "Key": f"{{% '{release.prefix}' & $replace($began, ':', '-') & '.json' %}}",
                "Body": f"{{% $string({record}) %}}",
                "ContentType": "application/json",
            },
            assign={},
            following="IsReleased",
        ),
        "IsReleased": _choice("{% $outcome = 'released' %}", "Released", otherwise="RolledBack"),
        "Released": {
            "Type": "Succeed",
            "Output": {"outcome": "released", "serving": "{% $wanted %}", "before": "{% $before %}"},
        },
        "RolledBack": {
            "Type": "Fail",
            "Error": "ReleaseFailed",
            "Cause": "{% $wanted & ' was not released: ' & $why %}",
        },
    }


def _look(release: Release, *, following: str, assign: Mapping[str, str], serving: str = "before") -> State:
    stack = "$states.result.Stacks[0]"
    parameter = f"ParameterKey = '{PACKAGE_PARAMETER}'"
    found = {
        "status": f"{{% {stack}.StackStatus %}}",
        "others": f"{{% [{stack}.Parameters[ParameterKey != '{PACKAGE_PARAMETER}'].ParameterKey] %}}",
        serving: f"{{% {stack}.Parameters[{parameter}].ParameterValue %}}",
    }
    return _task(
        "cloudformation:describeStacks",
        {"StackName": release.stack_name},
        assign={**found, **assign},
        following=following,
        retry=_ASK_AGAIN,
    )


def _pause(following: str) -> State:
    grown = f"{{% $min([$ceil($pause * {_POLL_GROWTH}), {LONGEST_POLL_SECONDS}]) %}}"
    return {"Type": "Wait", "Seconds": "{% $pause %}", "Assign": {"pause": grown}, "Next": following}


def _task(
    call: str,
    arguments: Mapping[str, Any],
    *,
    assign: Mapping[str, str | int],
    following: str,
    catch: list[dict[str, Any]] | None = None,
    retry: list[dict[str, Any]] | None = None,
) -> State:
    state = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:{call}",
        "Arguments": arguments,
        "Retry": retry or _RETRY,
        **({"Assign": assign} if assign else {}),
        # what comes in is of use until the end
        "Output": "{% $states.input %}",
        "Next": following,
    }
    return {**state, "Catch": catch} if catch else state


def _choice(condition: str, following: str, *, otherwise: str) -> State:
    return {"Type": "Choice", "Choices": [{"Condition": condition, "Next": following}], "Default": otherwise}
