"""The alarm on a model's trainings, and where their metrics lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_sns as sns

from mlops_constructs.training_diagnostics import DiagnosticAlarm, DiagnosticMetrics

METRICS = DiagnosticMetrics(namespace="mlops/Training", environment="dev", model="flight_delay")


def test_rules_that_warn_alarm_the_topic_and_no_training_is_a_good_one(
    stack: Stack, resources: Callable[..., Any]
) -> None:
    topic = sns.Topic(stack, "Alarms")
    DiagnosticAlarm(stack, "Diagnostics", metrics=METRICS, topic=topic)
    (alarm,) = [each["Properties"] for each in resources("AWS::CloudWatch::Alarm").values()]
    assert alarm["AlarmActions"] == [{"Ref": stack.get_logical_id(topic.node.default_child)}]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == (
        "mlops/Training",
        "RulesWarning",
        "Maximum",
    )
    assert alarm["Dimensions"] == [{"Name": "Environment", "Value": "dev"}, {"Name": "Model", "Value": "flight_delay"}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (3600, 1, "notBreaching")
    assert "AlarmName" not in alarm


def test_a_rule_has_a_metric_of_its_own() -> None:
    assert METRICS.rule("overfitting").dimensions == {
        "Environment": "dev",
        "Model": "flight_delay",
        "Rule": "overfitting",
    }
