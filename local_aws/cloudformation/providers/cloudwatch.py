"""AWS::CloudWatch::Alarm and AWS::CloudWatch::Dashboard."""

from __future__ import annotations

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Tagging

_ARN = "join('', ['arn:aws:cloudwatch:', region, ':', account, ':alarm:', id])"

ALARM = ApiResource(
    type="AWS::CloudWatch::Alarm",
    service="cloudwatch",
    name_property="AlarmName",
    name_length=255,
    create_operation=Operation("PutMetricAlarm", body=""),
    update_operation=Operation("PutMetricAlarm", body=""),
    delete_operation=Operation("DeleteAlarms", {"AlarmNames": "[id]"}),
    physical_id="properties.AlarmName",
    attributes={"Arn": _ARN},
    tagging=Tagging(
        Operation("TagResource", {"ResourceARN": _ARN, "Tags": "value"}),
        Operation("UntagResource", {"ResourceARN": _ARN, "TagKeys": "value"}),
    ),
)

DASHBOARD = ApiResource(
    type="AWS::CloudWatch::Dashboard",
    service="cloudwatch",
    name_property="DashboardName",
    name_length=255,
    create_operation=Operation("PutDashboard", body=""),
    update_operation=Operation("PutDashboard", body=""),
    delete_operation=Operation("DeleteDashboards", {"DashboardNames": "[id]"}),
    physical_id="properties.DashboardName",
)
