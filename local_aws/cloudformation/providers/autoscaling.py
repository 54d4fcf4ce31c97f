"""AWS::ApplicationAutoScaling: scalable targets with their scheduled actions, and scaling policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Scope, Tagging
from local_aws.cloudformation.providers.api_shape import fit_input
from local_aws.cloudformation.providers.provider import Provisioned, Request, is_gone, tag_map

_SERVICE = "application-autoscaling"
_KEY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
# what RegisterScalableTarget leaves as it was, where it isn't named
_NOT_SUSPENDED = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}


@dataclass(frozen=True, kw_only=True)
class ScalableTarget(ApiResource):
    """A scalable target. Its id is `<resource id>|<dimension>|<namespace>`, as CloudFormation's `Ref` has it."""

    def create(self, request: Request) -> Provisioned:
        """Register the target and put its scheduled actions."""
        self._register(request)
        properties = request.properties
        request.identified(
            "|".join(properties[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
        )
        self._put_actions(request, {})
        return self._provisioned(request.client(_SERVICE), self._scope_of(request))

    def update(self, request: Request) -> Provisioned:
        """Change limits and suspensions, and bring the scheduled actions to what is declared."""
        if request.changed("MinCapacity", "MaxCapacity", "SuspendedState"):
            self._register(request)
        self._put_actions(request, _by_name(request.previous))
        client = request.client(_SERVICE)
        scope = self._scope_of(request)
        if request.changed("Tags"):
            self._retag(client, scope, tag_map(request.previous.get("Tags")), tag_map(request.properties.get("Tags")))
        return self._provisioned(client, scope)

    def delete(self, request: Request) -> None:
        """Deregister the target; with its endpoint it is gone already."""
        try:
            request.client(_SERVICE).deregister_scalable_target(**_key(request.properties))
        except ClientError as error:
            if not is_gone(error):
                raise

    def _register(self, request: Request) -> None:
        wanted = {
            **{name: value for name, value in request.properties.items() if name != "ScheduledActions"},
            "SuspendedState": {**_NOT_SUSPENDED, **request.properties.get("SuspendedState", {})},
        }
        if request.previous:
            wanted.pop("Tags", None)
        request.client(_SERVICE).register_scalable_target(**fit_input(_SERVICE, "RegisterScalableTarget", wanted))

    def _put_actions(self, request: Request, before: Mapping[str, Any]) -> None:
        client, key = request.client(_SERVICE), _key(request.properties)
        wanted = _by_name(request.properties)
        for name, action in before.items():
            if action != wanted.get(name):
                # anew, since what an action leaves out would stay
                client.delete_scheduled_action(ScheduledActionName=name, **key)
        for name, action in wanted.items():
            if action != before.get(name):
                client.put_scheduled_action(**fit_input(_SERVICE, "PutScheduledAction", {**action, **key}))

    def _scope_of(self, request: Request) -> Scope:
        properties = request.properties
        identifier = "|".join(properties[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
        return {**self._scope(request, properties), "id": identifier}


def _key(properties: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(properties[name]) for name in _KEY}


def _by_name(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {action["ScheduledActionName"]: action for action in properties.get("ScheduledActions") or []}


_ARN = "read.ScalableTargets[0].ScalableTargetARN"

SCALABLE_TARGET = ScalableTarget(
    type="AWS::ApplicationAutoScaling::ScalableTarget",
    service=_SERVICE,
    create_operation=Operation("RegisterScalableTarget", body=""),
    read_operation=Operation(
        "DescribeScalableTargets",
        {
            "ServiceNamespace": "properties.ServiceNamespace",
            "ResourceIds": "[properties.ResourceId]",
            "ScalableDimension": "properties.ScalableDimension",
        },
    ),
    delete_operation=Operation("DeregisterScalableTarget"),
    physical_id="id",
    attributes={"Id": "id", "@Arn": _ARN},
    tagging=Tagging(
        Operation("TagResource", {"ResourceARN": 'attributes."@Arn"', "Tags": "value"}),
        Operation("UntagResource", {"ResourceARN": 'attributes."@Arn"', "TagKeys": "value"}),
    ),
)


@dataclass(frozen=True, kw_only=True)
class ScalingPolicy(ApiResource):
    """A scaling policy, whose target may be named by the id of a scalable target: `ScalingTargetId`."""

    def create(self, request: Request) -> Provisioned:
        """Put the policy."""
        arn = self._put(request)
        request.identified(arn)
        return Provisioned(arn, {"Arn": arn})

    def update(self, request: Request) -> Provisioned:
        """Put the policy anew under its name."""
        arn = self._put(request)
        return Provisioned(arn, {"Arn": arn})

    def delete(self, request: Request) -> None:
        """Delete the policy; with its target it is gone already."""
        properties = _on_target(request.properties)
        try:
            request.client(_SERVICE).delete_scaling_policy(PolicyName=properties["PolicyName"], **_key(properties))
        except ClientError as error:
            if not is_gone(error):
                raise

    def _put(self, request: Request) -> str:
        wanted = fit_input(_SERVICE, "PutScalingPolicy", _on_target(request.properties))
        return str(request.client(_SERVICE).put_scaling_policy(**wanted)["PolicyARN"])


def _on_target(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties with namespace, resource and dimension in the place of a target's id."""
    named = {name: value for name, value in properties.items() if name != "ScalingTargetId"}
    if "ScalingTargetId" in properties:
        resource_id, dimension, namespace = properties["ScalingTargetId"].split("|")
        named |= {"ServiceNamespace": namespace, "ResourceId": resource_id, "ScalableDimension": dimension}
    return named


SCALING_POLICY = ScalingPolicy(
    type="AWS::ApplicationAutoScaling::ScalingPolicy",
    service=_SERVICE,
    create_operation=Operation("PutScalingPolicy", body=""),
    delete_operation=Operation("DeleteScalingPolicy"),
    physical_id="id",
)
