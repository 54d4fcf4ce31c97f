"""The rules of a training as CloudWatch metrics, written to the log in the embedded metric format.

CloudWatch Logs makes metrics of such lines by itself, so a job needs no call, no permission and no network for them,
and an isolated one has them as well. Source:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

NAMESPACE_VARIABLE = "METRICS_NAMESPACE"
ENVIRONMENT_VARIABLE = "METRICS_ENVIRONMENT"
MODEL_VARIABLE = "MODEL_NAME"
RULE_METRIC = "RuleBroken"
WARNING_METRIC = "RulesWarning"


def metric_lines(rules: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a training's rules, as its report has them; none unless the job's variables say where they belong.

    `RuleBroken` by Environment, Model and Rule is 1 for a rule that is broken and 0 for one that holds; a rule that is
    off has none. `RulesWarning` by Environment and Model counts the broken rules that warn.
    """
    namespace = os.environ.get(NAMESPACE_VARIABLE)
    model, environment = os.environ.get(MODEL_VARIABLE), os.environ.get(ENVIRONMENT_VARIABLE)
    if not (namespace and model and environment):
        return
    place = {"Environment": environment, "Model": model}
    for name, rule in rules.items():
        if rule["status"] != "off":
            yield _line(namespace, place | {"Rule": name}, RULE_METRIC, int(rule["status"] == "broken"))
    warning = sum(rule["status"] == "broken" and rule["action"] == "warn" for rule in rules.values())
    yield _line(namespace, place, WARNING_METRIC, warning)


def _line(namespace: str, dimensions: Mapping[str, str], metric: str, value: int) -> str:
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": metric, "Unit": "Count"}],
    }
    head = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": head, **dimensions, metric: value}, separators=(",", ":"))
