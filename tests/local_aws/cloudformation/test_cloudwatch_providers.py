"""Alarms and dashboards as CloudFormation deploys them."""

from __future__ import annotations

import json
from typing import Any

from tests.local_aws.cloudformation.deployer import Deployer, deployed, tags

ALARM = {
    "Namespace": "shop",
    "MetricName": "Lost",
    "Dimensions": [{"Name": "Kind", "Value": "tea"}],
    "Statistic": "Maximum",
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 1,
    "Period": 60,
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",
}


def found(stack: Deployer, name: str) -> dict[str, Any]:
    return dict(stack.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0])


def test_alarm_follows_its_declaration(stack: Deployer) -> None:
    cloudwatch = stack.client("cloudwatch")
    name = deployed(stack, "CloudWatch::Alarm", ALARM | {"Tags": tags(team="a")})
    alarm = found(stack, name)
    assert (alarm["Threshold"], alarm["TreatMissingData"], alarm["Dimensions"]) == (
        1,
        "notBreaching",
        ALARM["Dimensions"],
    )
    assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == tags(team="a")
    assert deployed(stack, "CloudWatch::Alarm", ALARM | {"Threshold": 2, "Tags": tags(team="b")}) == name
    assert found(stack, name)["Threshold"] == 2
    assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == tags(team="b")
    stack.destroy()
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def test_dashboard_has_the_body_that_was_declared_last_and_goes_with_its_stack(stack: Deployer) -> None:
    cloudwatch = stack.client("cloudwatch")

    def body(text: str) -> str:
        widget = {"type": "text", "x": 0, "y": 0, "width": 6, "height": 6, "properties": {"markdown": text}}
        return json.dumps({"widgets": [widget]})

    name = deployed(stack, "CloudWatch::Dashboard", {"DashboardName": "shop-tea", "DashboardBody": body("leaves")})
    assert name == "shop-tea"
    assert cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"] == body("leaves")
    assert deployed(stack, "CloudWatch::Dashboard", {"DashboardName": name, "DashboardBody": body("bags")}) == name
    assert cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"] == body("bags")
    listed = cloudwatch.list_dashboards(DashboardNamePrefix="shop-")["DashboardEntries"]
    assert [each["DashboardName"] for each in listed] == [name]
    assert deployed(stack, "CloudWatch::Dashboard", {"DashboardName": "shop-two", "DashboardBody": body("")}) != name
    assert cloudwatch.list_dashboards(DashboardNamePrefix="shop-tea")["DashboardEntries"] == []
    stack.destroy()
    assert cloudwatch.list_dashboards(DashboardNamePrefix="shop-")["DashboardEntries"] == []
