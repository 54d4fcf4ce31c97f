"""AWS::Scheduler::Schedule and AWS::Scheduler::ScheduleGroup."""

from __future__ import annotations

from dataclasses import dataclass

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Tagging
from local_aws.cloudformation.providers.provider import Provisioned, Request


@dataclass(frozen=True, kw_only=True)
class Schedule(ApiResource):
    """A schedule. Its group is part of its identity for the API: in another group it is made anew under its name."""

    def update(self, request: Request) -> Provisioned:
        """Update the schedule, or move it to another group."""
        if not request.changed("GroupName"):
            return super().update(request)
        client = request.client(self.service)
        scope = self._scope(request, {**request.properties, "Name": request.physical_id})
        scope["created"] = self.create_operation.call(client, self.service, scope, scope["properties"])
        self.delete_operation.call(client, self.service, self._scope(request, request.previous), {})
        return self._provisioned(client, scope)


SCHEDULE = Schedule(
    type="AWS::Scheduler::Schedule",
    service="scheduler",
    name_property="Name",
    create_operation=Operation("CreateSchedule", body=""),
    update_operation=Operation("UpdateSchedule", body=""),
    delete_operation=Operation("DeleteSchedule", {"Name": "id", "GroupName": "properties.GroupName"}),
    read_operation=Operation("GetSchedule", {"Name": "id", "GroupName": "properties.GroupName"}),
    physical_id="properties.Name",
    attributes={"Arn": "read.Arn"},
)

_GROUP_ARN = "join('', ['arn:aws:scheduler:', region, ':', account, ':schedule-group/', id])"

SCHEDULE_GROUP = ApiResource(
    type="AWS::Scheduler::ScheduleGroup",
    service="scheduler",
    name_property="Name",
    create_operation=Operation("CreateScheduleGroup", body=""),
    delete_operation=Operation("DeleteScheduleGroup", {"Name": "id"}),
    read_operation=Operation("GetScheduleGroup", {"Name": "id"}),
    physical_id="properties.Name",
    attributes={"Arn": "read.Arn", "State": "read.State"},
    tagging=Tagging(
        Operation("TagResource", {"ResourceArn": _GROUP_ARN, "Tags": "value"}),
        Operation("UntagResource", {"ResourceArn": _GROUP_ARN, "TagKeys": "value"}),
    ),
)
