"""States that turn a parameter of their own stack on, once, and follow the update to its end: plain data."""

from __future__ import annotations

from .release_definition import LONGEST_POLL_SECONDS, POLL_SECONDS
from .states_language import STACK_REFUSALS, State, catching, catching_all, choice, pause, task, when_updatable

SWITCH_VARIABLES = {
    "pause": POLL_SECONDS,
    "refusals": 0,
    "why": "",
    # names of executions may have underscores, those that rules start do: CloudFormation takes none
    "token": "{% 'switch-' & $replace($states.context.Execution.Name, /[^a-zA-Z0-9]/, '-') %}",
}
"""What the states of `switching_on` need to be assigned before."""
_POLL_GROWTH = 1.2
_MOST_REFUSALS = 5


def switching_on(stack_name: str, parameter: str, following: str) -> dict[str, State]:
    """The states from ``LookAtStack`` on, for a parameter that is ``off`` or ``on``.

    A stack where it is on is left alone, so that the update, whose end may start the state machine again, isn't
    followed by another. They wait while somebody else updates the stack, and fail, with CloudFormation's reason, where
    it refuses the update or rolls it back.
    """
    key, refused = "ParameterKey", {"why": "{% $states.errorOutput.Cause %}", "refusals": "{% $refusals + 1 %}"}
    return {
        "LookAtStack": _look(stack_name, parameter, "IsBusy"),
        "IsBusy": when_updatable("IsOn", busy="WaitForTurn", broken="StackIsBroken"),
        "WaitForTurn": _pause("LookAtStack"),
        "StackIsBroken": {
            "Type": "Fail",
            "Error": "StackCannotBeUpdated",
            "Cause": (
                f"{{% '{stack_name} is ' & $status & ': repair it (continue-update-rollback, or deploy it anew); "
                f"{parameter} is ' & $value %}}"
            ),
        },
        "IsOn": choice("{% $value = 'on' %}", following, otherwise="SwitchOn"),
        "SwitchOn": task(
            "cloudformation:updateStack",
            {
                "StackName": stack_name,
                "UsePreviousTemplate": True,
                "Parameters": (
                    f"{{% $append([{{'{key}': '{parameter}', 'ParameterValue': 'on'}}], "
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
        "IsRefused": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $contains($why, 'No updates are to be performed') %}", "Next": following},
                # somebody else may have begun an update since the stack was looked at: the next look tells
                {
                    "Condition": f"{{% $contains($why, '_IN_PROGRESS') or $refusals < {_MOST_REFUSALS} %}}",
                    "Next": "WaitForTurn",
                },
            ],
            "Default": "Refused",
        },
        "Refused": {
            "Type": "Fail",
            "Error": "UpdateRefused",
            "Cause": f"{{% 'CloudFormation does not update {stack_name}: ' & $why & '; {parameter} is off' %}}",
        },
        **_following_the_update(stack_name, parameter, following),
    }


def _following_the_update(stack_name: str, parameter: str, following: str) -> dict[str, State]:
    # the newest come first, and the first failure is the reason of all others
    failed = (
        "$states.result.StackEvents[ClientRequestToken = $token & '-' & $string($refusals)]"
        "[$contains(ResourceStatus, '_FAILED')][-1]"
    )
    said = f"{failed}.LogicalResourceId & ': ' & {failed}.ResourceStatusReason"
    return {
        "WaitForEnd": _pause("LookAgain"),
        "LookAgain": _look(stack_name, parameter, "HasEnded"),
        # an update that comes after it, and is rolled back, leaves it on
        "HasEnded": when_updatable("IsOnNow", busy="WaitForEnd", broken="FindWhy"),
        "IsOnNow": choice("{% $value = 'on' %}", following, otherwise="FindWhy"),
        "FindWhy": task(
            "cloudformation:describeStackEvents",
            {"StackName": stack_name},
            assign={"why": f"{{% $exists({failed}) ? $replace({said}, /\\s+/, ' ') : 'see its events' %}}"},
            following="NotSwitchedOn",
            catch=catching_all("NotSwitchedOn", {"why": "see its events"}),
        ),
        "NotSwitchedOn": {
            "Type": "Fail",
            "Error": "SwitchFailed",
            "Cause": f"{{% '{stack_name} is ' & $status & ', and {parameter} is ' & $value & ': ' & $why %}}",
        },
    }


def _look(stack_name: str, parameter: str, following: str) -> State:
    stack = "$states.result.Stacks[0]"
    return task(
        "cloudformation:describeStacks",
        {"StackName": stack_name},
        assign={
            "status": f"{{% {stack}.StackStatus %}}",
            "others": f"{{% [{stack}.Parameters[ParameterKey != '{parameter}'].ParameterKey] %}}",
            # a stack that was deployed with a template without the switch has none
            "value": (
                f"{{% $exists({stack}.Parameters[ParameterKey = '{parameter}']) "
                f"? {stack}.Parameters[ParameterKey = '{parameter}'].ParameterValue : 'missing' %}}"
            ),
        },
        following=following,
    )


def _pause(following: str) -> State:
    return pause(following, growth=_POLL_GROWTH, longest=LONGEST_POLL_SECONDS)
