"""The dashboard of a model: what it shows, and that it shows nothing that isn't there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch

from mlops_constructs.model_dashboard import ModelDashboard, ShownEndpoint, ShownModel
from mlops_constructs.monitor_alarms import MonitorLimits, MonitorMetrics

Widgets = dict[str, dict[str, Any]]
FULL = MonitorLimits(quality_loss=0.05, bias=True, minimum_ndcg=0.9)


@pytest.fixture
def shown(stack: Stack) -> ShownModel:
    metric = cloudwatch.Metric(namespace="x", metric_name="x")
    return ShownModel(
        metrics=MonitorMetrics(namespace="mlops/Monitoring", environment="dev", model="late"),
        limits=FULL,
        features=["carrier", "origin"],
        alarms=[cloudwatch.Alarm(stack, "Alarm", metric=metric, threshold=1, evaluation_periods=1)],
        quality_metric="auc",
        reports="s3://artifacts/late/reports",
        endpoint=ShownEndpoint(endpoint_name="dev-late", variant_name="live"),
        pipelines={"dev-late": "training"},
        release_logs=["/aws/vendedlogs/states/dev-late-endpoint-release"],
    )


@pytest.fixture
def widgets(stack: Stack, resources: Callable[..., Any]) -> Callable[[ShownModel], Widgets]:
    """The widgets of a model's dashboard by their title."""

    def find(shown: ShownModel) -> Widgets:
        ModelDashboard(stack, "Dashboard", dashboard_name="mlops-dev-late", shown=shown)
        (found,) = [each["Properties"] for each in resources("AWS::CloudWatch::Dashboard").values()]
        assert found["DashboardName"] == "mlops-dev-late"
        _, parts = found["DashboardBody"]["Fn::Join"]
        body = json.loads("".join(part if isinstance(part, str) else "token" for part in parts))
        return {each["properties"].get("title", each["type"]): each["properties"] for each in body["widgets"]}

    return find


def test_model_with_everything_shows_traffic_drift_quality_alarms_and_releases(
    shown: ShownModel, widgets: Callable[[ShownModel], Widgets]
) -> None:
    found = widgets(shown)
    assert list(found) == [
        "text", "Alarms", "Requests and errors", "Latency in microseconds", "Drift by feature, in thresholds",
        "Moved features and violated constraints", "Quality: auc, and what it has lost since training",
        "Rows that were looked at, and labels that have come", "Broken limits of fairness",
        "Order of the features by their weight (NDCG)", "Executions of pipelines", "Releases: the newest first",
    ]  # fmt: skip
    drift = found["Drift by feature, in thresholds"]
    assert [line[6:8] + line[2:6] for line in drift["metrics"]] == [
        ["Model", "late", "Environment", "dev", "Feature", name] for name in ("carrier", "origin")
    ]
    assert drift["annotations"]["horizontal"][0]["value"] == 1
    quality = found["Quality: auc, and what it has lost since training"]
    assert quality["annotations"]["horizontal"][0] == {
        "value": 0.05, "label": "loss that is an alarm", "color": "#d62728", "yAxis": "right",
    }  # fmt: skip
    assert "SOURCE '/aws/vendedlogs/states/dev-late-endpoint-release'" in found["Releases: the newest first"]["query"]


def test_model_without_an_endpoint_and_with_drift_alone_shows_no_more_than_that(
    shown: ShownModel, widgets: Callable[[ShownModel], Widgets]
) -> None:
    found = widgets(replace(shown, endpoint=None, limits=MonitorLimits(), pipelines={}, release_logs=[]))
    assert not {"Requests and errors", "Broken limits of fairness", "Releases: the newest first"} & set(found)
    assert "annotations" not in found["Quality: auc, and what it has lost since training"]
