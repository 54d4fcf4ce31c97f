"""QualityCheck and ClarifyCheck steps: what is run of them, what is refused, and what they leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CHECKED = ("QualityCheck", "ClarifyCheck")
CHECK_MEMBERS = frozenset(
    {
        "CheckType", "FailOnViolation", "ModelName", "ModelPackageGroupName", "RegisterNewBaseline", "SkipCheck",
        "SuppliedBaselineConstraints", "SuppliedBaselineStatistics",
    }
)  # fmt: skip
"""What such a step says beside its arguments."""

DEBUGGER_REFUSED = (
    "the local AWS has no rules of SageMaker Debugger, which nobody but AWS runs: leave them out here, as with "
    "training.debugger: off, and use rules that the training job evaluates by itself"
)

_RUN = {"QualityCheck": "DATA_QUALITY", "ClarifyCheck": "DATA_BIAS"}
_INSTEAD = {
    "MODEL_QUALITY": "a Processing step of your own that judges predictions",
    "MODEL_BIAS": "a Processing step of your own that asks the model, as the step Evaluate does for fairness.facets",
    "MODEL_EXPLAINABILITY": "a Processing step of your own, as the step Evaluate with TreeSHAP",
}
_REPORTS = {
    "QualityCheck": {"Constraints": "constraints.json", "Statistics": "statistics.json"},
    "ClarifyCheck": {"Constraints": "analysis.json"},
}


def check_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a check isn't run: the local AWS describes data, and asks no model."""
    kind, check = raw["Type"], raw.get("CheckType")
    if check == _RUN[kind]:
        return
    instead = _INSTEAD.get(str(check))
    said = f"; use {instead}, or leave the check out for the local AWS" if instead else ""
    yield f"the local AWS runs {_RUN[kind]} as a {kind} step, not {check}{said}"


def asks_debugger(request: Mapping[str, Any]) -> bool:
    """Say whether a training job is to be watched by rules of SageMaker Debugger."""
    return bool(request.get("DebugRuleConfigurations") or request.get("ProfilerRuleConfigurations"))


def flag_problem(declared: Mapping[str, Any]) -> str | None:
    """Say why a check of these flags can't be run: nothing is compared here."""
    if _true(declared.get("SkipCheck", False)):
        return None
    return (
        "the local AWS calculates baselines and compares nothing: SkipCheck must be true, as it is for a first baseline"
    )


def check_property_problem(kind: str, members: str) -> str | None:
    """Say what is wrong with `Steps.<name>.<members>` of a check."""
    names = [f"{which}{report}" for which in _WHICH for report in _REPORTS[kind]]
    return None if members in names else f"a {kind} step has no property {members!r}; it has {', '.join(names)}"


def check_results(kind: str, declared: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties of a check that has ended: where its baseline lies, and which one counts from now on."""
    output = str(request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]).rstrip("/")
    found = {f"{_CALCULATED}{report}": f"{output}/{file}" for report, file in _REPORTS[kind].items()}
    for report in _REPORTS[kind]:
        supplied = declared.get(f"SuppliedBaseline{report}")
        if _true(declared.get("RegisterNewBaseline", False)):
            found[f"{_USED}{report}"] = found[f"{_CALCULATED}{report}"]
        elif supplied:
            found[f"{_USED}{report}"] = str(supplied)
    return found


def check_metadata(declared: Mapping[str, Any], properties: Mapping[str, str], job_arn: str) -> dict[str, Any]:
    """Return the step's entry in the list of steps."""
    group = declared.get("ModelPackageGroupName")
    return {
        "CheckType": declared["CheckType"],
        **properties,
        **({"ModelPackageGroupName": group} if group else {}),
        "CheckJobArn": job_arn,
        "SkipCheck": _true(declared.get("SkipCheck", False)),
        "RegisterNewBaseline": _true(declared.get("RegisterNewBaseline", False)),
    }


_CALCULATED, _USED = "CalculatedBaseline", "BaselineUsedForDriftCheck"
_WHICH = (_CALCULATED, _USED)


def _true(value: Any) -> bool:
    # parameters of a pipeline are text
    return str(value).lower() == "true"
