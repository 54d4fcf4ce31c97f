"""What a model's diagnostics, fairness and allowed features may say, and what becomes of it in the pipeline."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stacks.configuration import load
from stacks.diagnostic_settings import Diagnostics
from stacks.model_settings import Model
from stacks.settings import Repository
from stacks.training_definition import Surroundings, training_definition
from tests.deployment.declarations import Change, problems

DECLARED = "ml_code/models/flight_delay/model.yaml"
TRAINING, GATE, FEATURES = r"^training:\n", r"^gate:\n", r"^  features:\n"
FAIRNESS = r"^fairness:\n(.*\n)*?(?=\n|\Z)"


def model(repository: Repository) -> Model:
    (found, *_) = (each for each in load(repository).environments[0].models if each.name == "flight_delay")
    return found


def steps(of: Model) -> dict[str, Any]:
    place = Surroundings(
        image_uri="image", role_arn="role", kms_key_arn="key", group_name="group", code="c", manifest="m", artifacts="a"
    )
    return {step["Name"]: step for step in training_definition(of, place).to_json()["Steps"]}


def rules_of(of: Model) -> Any:
    return json.loads(steps(of)["Train"]["Arguments"]["HyperParameters"].get("_diagnostics", "{}"))


@pytest.mark.parametrize("rule", list(Diagnostics.model_fields))
def test_each_setting_of_each_rule_reaches_the_training(repository: Repository, change: Change, rule: str) -> None:
    (threshold, *others) = [name for name in type(getattr(Diagnostics(), rule)).model_fields if name != "action"]
    value = getattr(getattr(Diagnostics(), rule), threshold)
    other = value * 2 if rule not in ("class_imbalance", "resource_starvation") else value / 2
    new = other + 1 if value == 0 else other
    assert rules_of(model(repository)) == {}
    text = f"training:\n  diagnostics:\n    {rule}: {{action: off, {threshold}: {new}}}\n"
    change(DECLARED, TRAINING, text)
    assert rules_of(model(repository)) == {rule: {"action": "off", threshold: new}}
    assert others in ([], ["percent"])


@pytest.mark.parametrize(
    ("new", "finding"),
    [
        ("overfiting: {}", r"diagnostics\.overfiting is not a known key; did you mean 'overfitting'"),
        ("overfitting: {action: halt}", r"overfitting\.action must be .*off.*warn.*stop.*, got 'halt'"),
        ("overfitting: {percent: 0}", r"overfitting\.percent must be more than 0, got 0"),
        ("exploding_metric: {factor: 1}", r"exploding_metric\.factor must be more than 1, got 1"),
        ("class_imbalance: {minimum_share: 0.6}", r"class_imbalance\.minimum_share must be at most 0\.5, got 0\.6"),
    ],
)
def test_a_rule_that_makes_no_sense_is_named_with_its_line(
    repository: Repository, change: Change, new: str, finding: str
) -> None:
    change(DECLARED, TRAINING, f"training:\n  diagnostics:\n    {new}\n")
    (found,) = problems(repository)
    assert re.match(rf"{re.escape(DECLARED)}:\d+: training\.diagnostics\.", found)
    assert re.search(finding, found), found


def facets(*lines: str) -> str:
    return "fairness:\n  facets:\n" + "".join(f"    - {line}\n" for line in lines) + "gate:\n"


def test_a_facet_reaches_the_evaluation_with_the_training_rows(repository: Repository, change: Change) -> None:
    change(DECLARED, FAIRNESS, "")
    plain = steps(model(repository))
    assert "--facet" not in plain["Evaluate"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert "Bias" not in plain["Gate"]["Arguments"]["IfSteps"][0]["Arguments"]["ModelMetrics"]
    change(DECLARED, GATE, facets("{feature: origin, values: [LGA], limits: {DI: {minimum: 0.8}}, action: warn}"))
    found = steps(model(repository))
    arguments = found["Evaluate"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert json.loads(arguments[arguments.index("--facet") + 1]) == {
        "feature": "origin",
        "values": ["LGA"],
        "limits": {"DI": {"minimum": 0.8}},
        "action": "warn",
    }
    assert "train" in [each["InputName"] for each in found["Evaluate"]["Arguments"]["ProcessingInputs"]]
    metrics = found["Gate"]["Arguments"]["IfSteps"][0]["Arguments"]["ModelMetrics"]
    assert metrics["Bias"]["Report"]["S3Uri"]["Std:Join"]["Values"][1] == "bias.json"


@pytest.mark.parametrize(
    ("facet", "finding"),
    [
        ("{feature: orign, values: [1]}", r"facets\[0\]\.feature: must be one of the model's features, .*'origin'"),
        ("{feature: origin}", r"facets\[0\]: needs either values or above"),
        ("{feature: origin, values: [1], above: 2}", r"facets\[0\]: needs either values or above"),
        ("{feature: origin, values: []}", r"facets\[0\]\.values must have at least 1 entr"),
        ("{feature: origin, values: [1], limits: {ED: {maximum: 1}}}", r"facets\[0\]\.limits\.ED: has no meaning for"),
        ("{feature: origin, values: [1], limits: {DI: {}}}", r"facets\[0\]\.limits\.DI: needs a minimum or a maximum"),
        ("{feature: origin, values: [1], limits: {DI: {minimum: 2, maximum: 1}}}", r"facets.*: has a min"),
        (f"{{feature: origin, values: [{', '.join(map(str, range(10**4, 10**4 + 60)))}]}}", r"facets\[0\]: takes \d+"),
    ],
)  # fmt: skip
def test_a_facet_that_compares_nothing_is_named_with_its_line(
    repository: Repository, change: Change, facet: str, finding: str
) -> None:
    change(DECLARED, FAIRNESS, "")
    change(DECLARED, GATE, facets(facet))
    (found,) = problems(repository)
    assert re.search(rf"^{re.escape(DECLARED)}:\d+: fairness\.{finding}", found), found


def test_an_allowed_feature_reaches_prepare_and_an_unknown_one_is_named(repository: Repository, change: Change) -> None:
    change(DECLARED, FEATURES, "  allow_leakage: [carrier]\n  features:\n")
    arguments = steps(model(repository))["Prepare"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--allow-leakage") + 1] == "carrier"
    change(DECLARED, r"allow_leakage: \[carrier\]", "allow_leakage: [carier]")
    (found,) = problems(repository)
    assert re.search(r"data\.allow_leakage\[0\]: must be one of the features, got 'carier'; did you mean", found)


def test_no_champion_is_asked_for_when_a_model_wants_none(repository: Repository, change: Change) -> None:
    assert "--champions" in steps(model(repository))["Evaluate"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    change(DECLARED, r"^  champion:\n    margin: 0.0\n", "  champion: null\n")
    arguments = steps(model(repository))["Evaluate"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert arguments[:2] == ["--metric", "auc"]
    assert "--champions" not in arguments


def test_what_is_registered_says_what_it_was_judged_by(repository: Repository) -> None:
    register = steps(model(repository))["Gate"]["Arguments"]["IfSteps"][0]["Arguments"]
    files = {
        name: [uri["S3Uri"]["Std:Join"]["Values"][1] for uri in content.values()]
        for name, content in register["ModelMetrics"].items()
    }
    assert files == {
        "ModelQuality": ["evaluation.json", "constraints.json"],
        "ModelDataQuality": ["statistics.json", "constraints.json"],
        "Bias": ["bias.json"],
        "Explainability": ["explainability.json"],
    }
    baselines = register["DriftCheckBaselines"]
    assert set(baselines) == {"ModelQuality", "ModelDataQuality", "Bias", "Explainability"}
    output = "Steps.Prepare.ProcessingOutputConfig.Outputs['baseline'].S3Output.S3Uri"
    for file in baselines["ModelDataQuality"].values():
        assert file["S3Uri"]["Std:Join"]["Values"][0] == {"Get": output}
    card = register["ModelCard"]["ModelCardContent"]["Std:JsonGet"]
    assert card == {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.ModelCard"}, "Path": "content"}
    assert register["CustomerMetadataProperties"]["Gate"]["Std:JsonGet"]["Path"] == "gate.summary"
