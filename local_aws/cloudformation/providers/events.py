"""AWS::Events::Rule."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_shape import as_text, fit_input
from local_aws.cloudformation.providers.provider import ProviderFailure, Provisioned, Request, is_gone, tag_map
from local_aws.event_targets import is_supported


class Rule:
    """A rule with its targets; one whose target can't be reached here is refused, so that no event is lost silently."""

    name_property: str | None = "Name"

    def create(self, request: Request) -> Provisioned:
        """Put the rule, then its targets."""
        self._check(request)
        name = request.name("Name")
        arn = self._put_rule(request, name, with_tags=True)
        request.identified(name)
        self._put_targets(request, name)
        return Provisioned(name, {"Arn": arn, "RuleName": name})

    def update(self, request: Request) -> Provisioned:
        """Put the rule anew, and take away the targets that are gone."""
        self._check(request)
        name, client = request.physical_id, request.client("events")
        arn = self._put_rule(request, name, with_tags=False)
        kept = {target["Id"] for target in request.properties.get("Targets", [])}
        gone = [target["Id"] for target in request.previous.get("Targets", []) if target["Id"] not in kept]
        if gone:
            client.remove_targets(Rule=name, Ids=gone, **_bus(request))
        self._put_targets(request, name)
        if request.changed("Tags"):
            before, after = tag_map(request.previous.get("Tags")), tag_map(request.properties.get("Tags"))
            removed = [key for key in before if key not in after]
            if removed:
                client.untag_resource(ResourceARN=arn, TagKeys=removed)
            client.tag_resource(ResourceARN=arn, Tags=[{"Key": key, "Value": item} for key, item in after.items()])
        return Provisioned(name, {"Arn": arn, "RuleName": name})

    def delete(self, request: Request) -> None:
        """Delete the rule with its targets."""
        client, name = request.client("events"), request.physical_id
        try:
            targets = client.list_targets_by_rule(Rule=name, **_bus(request))["Targets"]
            if targets:
                client.remove_targets(Rule=name, Ids=[target["Id"] for target in targets], **_bus(request))
            client.delete_rule(Name=name, **_bus(request))
        except ClientError as error:
            if not is_gone(error):
                raise

    def _put_rule(self, request: Request, name: str, *, with_tags: bool) -> str:
        left_out = {"Targets", "Name"} if with_tags else {"Targets", "Name", "Tags"}
        given = {key: value for key, value in request.properties.items() if key not in left_out}
        if "EventPattern" in given:
            given["EventPattern"] = as_text(given["EventPattern"])
        answer: dict[str, Any] = request.client("events").put_rule(
            **fit_input("events", "PutRule", {**given, "Name": name})
        )
        return str(answer["RuleArn"])

    def _put_targets(self, request: Request, name: str) -> None:
        targets = request.properties.get("Targets", [])
        if targets:
            given = {"Rule": name, "Targets": targets, **_bus(request)}
            request.client("events").put_targets(**fit_input("events", "PutTargets", given))

    @staticmethod
    def _check(request: Request) -> None:
        if "ScheduleExpression" in request.properties:
            raise ProviderFailure(
                "the local AWS's rules have no schedules: use an AWS::Scheduler::Schedule", "InvalidRequest"
            )
        for target in request.properties.get("Targets", []):
            if not is_supported(target["Arn"]):
                raise ProviderFailure(f"the local AWS's rules don't reach the target {target['Arn']}", "InvalidRequest")


def _bus(request: Request) -> dict[str, str]:
    bus = request.properties.get("EventBusName")
    return {"EventBusName": bus} if bus else {}
