"""The state machine that releases versions of a model, as plain data: States Language with JSONata.

It brings a stack to the version that should serve: the pinned one, or else the newest that is approved. Its input is
`{"trigger": <name>, "reason": <text>, "package": <ARN>}`, all of which may be left out; `package` is the version whose
approval or rejection started it, and tells the reason where none is given. Its output says what serves afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .states_language import STACK_REFUSALS, State, catching, catching_all, choice, pause, task, when_updatable

PACKAGE_PARAMETER = "ModelPackageArn"
NOTHING = "none"
POLL_SECONDS = 3
"""After which it first looks how far the stack is; then less and less often."""
LONGEST_POLL_SECONDS = 60
_POLL_GROWTH = 1.2
LONGEST_SECONDS = 24 * 3600
"""After which a release is given up: an endpoint's update ends within eight hours, and it may have to wait for one."""
_MOST_REFUSALS = 5  # of CloudFormation, and of an endpoint that is being scaled
_SCALED = ("endpoint", "inference component")  # what SageMaker refuses to update while it is being scaled
_DESCRIPTION_LENGTH = 1024  # of an approval


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
        The SSM parameter that holds the ARN of the pinned version; where there is none, no version is pinned.
    bucket_name, prefix
        Where each release leaves its record: ``<prefix><time>.json``.
    endpoint_name
        The endpoint that the stack may have; it isn't updated while it is being scaled. None for a stack without.
    component_name
        The inference component that it may have in place of an endpoint, as an endpoint.
    """

    stack_name: str
    group_name: str
    pin_name: str
    bucket_name: str
    prefix: str
    endpoint_name: str | None = None
    component_name: str | None = None


def release_definition(release: Release) -> dict[str, Any]:
    """The definition for one stack.

    Whatever starts it, an approval, a rejection or a person, it looks up what should serve and what does, and changes
    the stack where these differ. So events may come twice, late or together: the last one leaves the right version.
    Nothing is ever taken away: where no version is approved any more, the one that serves goes on.

    A release that fails, because the endpoint's alarms went off or for any other reason, is rolled back by
    CloudFormation. The version then loses its approval, with the reason, so that it isn't tried again, nor compared
    with as the champion; who approves it again tries it again. That needs CloudFormation's own word that this very
    update failed: an update that is refused, as of a stack that is broken, says nothing of the version.
    """
    return {
        "Comment": f"Brings {release.stack_name} to the version of {release.group_name} that should serve",
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "TimeoutSeconds": LONGEST_SECONDS,
        "States": {
            **_wait_for_turn(release),
            **_choose_version(release),
            **_wait_while_scaled(release),
            **_update_stack(release),
            **_judge(release),
            **_record(release),
        },
    }


def _wait_for_turn(release: Release) -> dict[str, State]:
    return {
        "Begin": {
            "Type": "Pass",
            "Assign": {
                "pause": POLL_SECONDS,
                "refusals": 0,
                "why": "",
                "trigger": "{% $exists($states.input.trigger) ? $states.input.trigger : 'by-hand' %}",
                "asked": "{% $exists($states.input.reason) ? $states.input.reason : '' %}",
                "announced": f"{{% $exists($states.input.package) ? $states.input.package : '{NOTHING}' %}}",
                "began": "{% $states.context.Execution.StartTime %}",
                # names of executions may have underscores, those that rules start do: CloudFormation takes none
                "token": "{% 'release-' & $replace($states.context.Execution.Name, /[^a-zA-Z0-9]/, '-') %}",
            },
            "Next": "LookAtStack",
        },
        "LookAtStack": _look(release, following="IsBusy", serving="before"),
        "IsBusy": when_updatable("FindPin", busy="WaitForTurn", broken="StackIsBroken"),
        "WaitForTurn": _pause("LookAtStack"),
        "StackIsBroken": {
            "Type": "Fail",
            "Error": "StackCannotBeUpdated",
            "Cause": (
                f"{{% '{release.stack_name} is ' & $status & ': repair it (continue-update-rollback, or deploy it "
                "anew), then approve the version again; nothing was changed' %}"
            ),
        },
    }


def _choose_version(release: Release) -> dict[str, State]:
    newest = "$states.result.ModelPackageSummaryList[0]"
    first = "LookAtEndpoint" if release.endpoint_name or release.component_name else "Update"
    return {
        "FindPin": task(
            "ssm:getParameter",
            {"Name": release.pin_name},
            assign={"wanted": "{% $states.result.Parameter.Value %}"},
            following="Compare",
            catch=[catching(["Ssm.ParameterNotFoundException"], "FindNewest")],
            at_once=["Ssm.ParameterNotFoundException"],
        ),
        "FindNewest": task(
            "sagemaker:listModelPackages",
            {
                "ModelPackageGroupName": release.group_name,
                "ModelApprovalStatus": "Approved",
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
                "MaxResults": 1,
            },
            assign={"wanted": f"{{% $exists({newest}) ? {newest}.ModelPackageArn : '{NOTHING}' %}}"},
            following="Compare",
        ),
        "Compare": choice(f"{{% $wanted = '{NOTHING}' or $wanted = $before %}}", "NothingToDo", otherwise="HasReason"),
        "NothingToDo": {"Type": "Succeed", "Output": {"outcome": "unchanged", "serving": "{% $before %}"}},
        "HasReason": choice(f"{{% $asked != '' or $announced = '{NOTHING}' %}}", "LookAtVersion", otherwise="FindWhy"),
        "FindWhy": task(
            "sagemaker:describeModelPackage",
            {"ModelPackageName": "{% $announced %}"},
            assign={
                "asked": "{% $exists($states.result.ApprovalDescription) ? $states.result.ApprovalDescription : '' %}"
            },
            following="LookAtVersion",
            # it may have been deleted since
            catch=catching_all("LookAtVersion"),
        ),
        "LookAtVersion": _look_at_version("IsApproved"),
        "IsApproved": choice("{% $approval = 'Approved' %}", first, otherwise="NotApproved"),
        "NotApproved": {
            "Type": "Fail",
            "Error": "VersionIsNotApproved",
            "Cause": "{% $wanted & ' should serve, and is ' & $approval & ': approve it, or unpin it' %}",
        },
    }


def _look_at_version(following: str) -> State:
    return task(
        "sagemaker:describeModelPackage",
        {"ModelPackageName": "{% $wanted %}"},
        assign={"approval": "{% $states.result.ModelApprovalStatus %}"},
        following=following,
    )


def _wait_while_scaled(release: Release) -> dict[str, State]:
    """What is being scaled refuses an update, which would look like the version's fault."""
    if release.component_name:
        operation, named = "describeInferenceComponent", {"InferenceComponentName": release.component_name}
        status = "InferenceComponentStatus"
    elif release.endpoint_name:
        operation, named, status = "describeEndpoint", {"EndpointName": release.endpoint_name}, "EndpointStatus"
    else:
        return {}
    return {
        "LookAtEndpoint": task(
            f"sagemaker:{operation}",
            named,
            assign={"endpoint": f"{{% $states.result.{status} %}}"},
            following="IsBeingScaled",
            # there is none before the first release
            catch=[catching(["SageMaker.SageMakerException"], "Update")],
            at_once=["SageMaker.SageMakerException"],
        ),
        "IsBeingScaled": choice(
            "{% $endpoint in ['Updating', 'Creating', 'SystemUpdating', 'RollingBack'] %}",
            "WaitForEndpoint",
            otherwise="Update",
        ),
        # what should serve may be another version by then
        "WaitForEndpoint": _pause("LookAtStack"),
    }


def _update_stack(release: Release) -> dict[str, State]:
    key, refused = "ParameterKey", {"why": "{% $states.errorOutput.Cause %}", "refusals": "{% $refusals + 1 %}"}
    return {
        "Update": task(
            "cloudformation:updateStack",
            {
                "StackName": release.stack_name,
                "UsePreviousTemplate": True,
                "Parameters": (
                    f"{{% $append([{{'{key}': '{PACKAGE_PARAMETER}', 'ParameterValue': $wanted}}], "
                    f"$map($others, function($name) {{{{'{key}': $name, 'UsePreviousValue': true}}}})) %}}"
                ),
                "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
                "ClientRequestToken": "{% $token & '-' & $string($refusals) %}",
            },
            assign={"pause": POLL_SECONDS},
            following="WaitForEnd",
            catch=[catching(STACK_REFUSALS, "IsRefused", refused)],
            at_once=STACK_REFUSALS,
        ),
        # somebody else may have changed the stack since it was looked at, or be about to: the next look tells
        "IsRefused": choice(
            f"{{% $contains($why, '_IN_PROGRESS') or $refusals < {_MOST_REFUSALS} %}}",
            "WaitForTurn",
            otherwise="Refused",
        ),
        "Refused": {
            "Type": "Fail",
            "Error": "UpdateRefused",
            "Cause": (
                f"{{% 'CloudFormation does not update {release.stack_name}: ' & $why "
                "& '; nothing was changed, and ' & $wanted & ' was not tried' %}"
            ),
        },
        "WaitForEnd": _pause("LookAgain"),
        "LookAgain": _look(release, following="HasEnded", serving="after"),
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
            "Default": "FindOutcome",
        },
    }


def _judge(release: Release) -> dict[str, State]:
    """What became of this very update: another one may have come after it, or have failed after it."""
    mine = "$states.result.StackEvents[ClientRequestToken = $token & '-' & $string($refusals)]"
    # the newest come first, and the first failure is the reason of all others
    failed = f"{mine}[$contains(ResourceStatus, '_FAILED')][-1]"
    ended = f"{mine}[ResourceType = 'AWS::CloudFormation::Stack' and ResourceStatus = 'UPDATE_COMPLETE'][0]"
    said = f"{failed}.LogicalResourceId & ': ' & {failed}.ResourceStatusReason"
    being_scaled = " or ".join(f"$contains($why, 'in-progress {what}')" for what in _SCALED)
    rolled_back = "$contains($status, 'ROLLBACK') ? 'failed' : 'unknown'"
    return {
        "FindOutcome": task(
            "cloudformation:describeStackEvents",
            {"StackName": release.stack_name},
            assign={
                "outcome": f"{{% $exists({ended}) ? 'released' : $exists({failed}) ? 'failed' : {rolled_back} %}}",
                "why": (
                    f"{{% $exists({failed}) ? $replace({said}, /\\s+/, ' ') "
                    ": 'the stack is ' & $status & ': see its events' %}"
                ),
            },
            following="WhichOutcome",
            catch=catching_all(
                "WhichOutcome",
                {"outcome": f"{{% {rolled_back} %}}", "why": "{% 'the stack is ' & $status & ': see its events' %}"},
            ),
        ),
        "WhichOutcome": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $outcome = 'released' %}", "Next": "Record"},
                {
                    "Condition": f"{{% ({being_scaled}) and $refusals < {_MOST_REFUSALS} %}}",
                    "Assign": {"refusals": "{% $refusals + 1 %}"},
                    "Next": "WaitForTurn",
                },
                {"Condition": "{% $outcome = 'failed' %}", "Next": "LookAtFailed"},
            ],
            # another update came between: what should serve, and does, is to be seen anew
            "Default": "LookAtStack",
        },
        "LookAtFailed": _look_at_version("IsStillApproved"),
        # who has rejected it meanwhile had a reason of their own
        "IsStillApproved": {
            **choice("{% $approval = 'Approved' %}", "Withdraw", otherwise="Record"),
            "Assign": {"outcome": "rolled back"},
        },
        "Withdraw": task(
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
            catch=catching_all("Record", {"outcome": "rolled back"}),
        ),
    }


def _record(release: Release) -> dict[str, State]:
    names = {"outcome": "outcome", "package": "wanted", "before": "before", "trigger": "trigger", "asked": "asked"}
    record = {name: f"{{% ${variable} %}}" for name, variable in {**names, "reason": "why", "began": "began"}.items()}
    return {
        "Record": task(
            "s3:putObject",
            {
                "Bucket": release.bucket_name,
                "Key": f"{{% '{release.prefix}' & $replace($began, ':', '-') & '.json' %}}",
                "Body": {**record, "stack": release.stack_name, "ended": "{% $now() %}"},
                "ContentType": "application/json",
            },
            assign={},
            following="IsReleased",
            # a history that can't be written doesn't change what has happened
            catch=catching_all("IsReleased"),
        ),
        "IsReleased": choice("{% $outcome = 'released' %}", "Released", otherwise="RolledBack"),
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


def _look(release: Release, *, following: str, serving: str) -> State:
    stack = "$states.result.Stacks[0]"
    value = f"{stack}.Parameters[ParameterKey = '{PACKAGE_PARAMETER}'].ParameterValue"
    return task(
        "cloudformation:describeStacks",
        {"StackName": release.stack_name},
        assign={
            "status": f"{{% {stack}.StackStatus %}}",
            "others": f"{{% [{stack}.Parameters[ParameterKey != '{PACKAGE_PARAMETER}'].ParameterKey] %}}",
            serving: f"{{% $exists({value}) ? {value} : '' %}}",
        },
        following=following,
    )


def _pause(following: str) -> State:
    return pause(following, growth=_POLL_GROWTH, longest=LONGEST_POLL_SECONDS)
