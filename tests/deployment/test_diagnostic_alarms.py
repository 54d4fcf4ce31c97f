"""Trainings say where their metrics belong, and models whose rules warn have an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stacks.diagnostic_settings import Diagnostics
from tests.deployment.assemblies import Templates
from tests.deployment.snapshots import readable


def training_of(template: dict[str, Any]) -> dict[str, Any]:
    (pipeline,) = [
        each for each in readable(template)["Resources"].values() if each["Type"] == "AWS::SageMaker::Pipeline"
    ]
    steps = pipeline["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]["Steps"]
    return dict(next(step["Arguments"] for step in steps if step["Type"] == "Training"))


@pytest.mark.parametrize("model", ["flight_delay", "block_time"])
def test_the_alarm_looks_where_the_training_writes(model: str, templates: Templates) -> None:
    template = templates[f"prod/{model.replace('_', '-')}-training"]
    (alarm,) = [
        each["Properties"] for each in template["Resources"].values() if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    variables = training_of(template)["Environment"]
    assert variables["METRICS_NAMESPACE"] == alarm["Namespace"]
    assert alarm["Dimensions"] == [
        {"Name": "Environment", "Value": variables["METRICS_ENVIRONMENT"]},
        {"Name": "Model", "Value": variables["MODEL_NAME"]},
    ]
    assert variables["METRICS_ENVIRONMENT"] == "prod"
    assert "Alarms" in str(alarm["AlarmActions"])


@pytest.mark.parametrize(
    ("changes", "warns"),
    [({}, True), ({name: {"action": "stop"} for name in Diagnostics.model_fields}, False)],
)
def test_rules_that_never_warn_need_no_alarm(changes: Mapping[str, Any], warns: bool) -> None:
    assert Diagnostics.model_validate(changes).warns is warns
