"""The rules of a training as CloudWatch metrics, written to the log: an isolated job has them as well."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from model_runtime.embedded_metrics import metric_line

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
            broken = int(rule["status"] == "broken")
            yield metric_line(namespace, [place | {"Rule": name}], {RULE_METRIC: ("Count", broken)})
    warning = sum(rule["status"] == "broken" and rule["action"] == "warn" for rule in rules.values())
    yield metric_line(namespace, [place], {WARNING_METRIC: ("Count", warning)})
