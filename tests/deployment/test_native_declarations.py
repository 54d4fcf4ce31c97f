"""SageMaker's own Debugger, Clarify and Model Monitor: what models that ask for them get, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aws_cdk import App, Stage
from aws_cdk.assertions import Annotations, Match, Template

from mlops_constructs import pipeline_schema
from stacks.configuration import load
from stacks.environment_stage import EnvironmentStage
from stacks.model_settings import Model
from stacks.native_settings import Native
from stacks.native_steps import NativeServices, asked_of_prepare
from stacks.settings import Environment, EnvironmentSettings, Repository
from stacks.training_definition import Surroundings, training_definition
from tests.deployment.assemblies import CONTEXT, NATIVE, NATIVE_CHECKS, REPOSITORY, SURROUNDINGS, with_native_services
from tests.deployment.declarations import Change, problems

AT = replace(
    SURROUNDINGS,
    native=NativeServices(images=Native(**NATIVE), endpoint_prefix="check-dev", analyses_uri="s3://assets/a.json"),
)


def model(*, training: dict[str, Any] | None = None, **changes: Any) -> Model:
    data = load(REPOSITORY).environments[0].models[0].model_dump()
    return Model.model_validate({**data, **changes, "training": {**data["training"], **(training or {})}})


def steps(declared: Model, at: Surroundings = AT) -> dict[str, Any]:
    definition = training_definition(declared, at)
    pipeline_schema.check(definition)
    return {step["Name"]: step for step in definition.to_json()["Steps"]}


def training_stack(declared: Model) -> tuple[Any, Template]:
    """The model's training stack in an environment that has the images."""
    dev = load(REPOSITORY).environments[0]
    environment = Environment.model_validate({**dev.environment.model_dump(), "native": NATIVE})
    settings: EnvironmentSettings = dev.model_copy(update={"environment": environment, "models": (declared,)})
    stage: Stage = EnvironmentStage(App(context=CONTEXT), "dev", settings=settings, repository=REPOSITORY)
    stack = stage.node.find_child("flight-delay-training")
    return stack, Template.from_stack(stack)


def test_by_default_nothing_of_them_is_rendered() -> None:
    found = steps(model(), replace(AT, native=NativeServices()))
    assert {step["Type"] for step in found.values()} == {"Processing", "Training", "Condition"}
    assert not {"DebugHookConfig", "DebugRuleConfigurations", "ProfilerConfig"} & found["Train"]["Arguments"].keys()


def test_checks_stand_between_the_model_and_its_registration() -> None:
    found = steps(model(native_checks=NATIVE_CHECKS))
    assert list(found)[2:7] == ["DataQuality", "CheckedModel", "DataBias", "ModelBias", "Explainability"]
    assert found["Gate"]["DependsOn"] == list(found)[2:7]
    assert [found[name].get("CheckType") for name in ("DataQuality", "DataBias", "ModelBias", "Explainability")] == [
        "DATA_QUALITY", "DATA_BIAS", "MODEL_BIAS", "MODEL_EXPLAINABILITY",
    ]  # fmt: skip
    assert found["ModelBias"]["ModelName"] == {"Get": "Steps.CheckedModel.ModelName"}
    assert found["DataBias"]["Arguments"]["AppSpecification"]["ImageUri"] == NATIVE["clarify_image"]
    config, dataset = found["ModelBias"]["Arguments"]["ProcessingInputs"]
    assert config["S3Input"]["S3Uri"]["Std:Join"]["Values"][1:] == ["ModelBias", "analysis_config.json"]
    assert dataset["S3Input"]["S3Uri"]["Std:Join"]["Values"][1:] == ["test", ""]
    # a sample for what asks the model hundreds of times for each row, and CSV for Model Monitor
    for name, folder in (("Explainability", "explained"), ("DataQuality", "described")):
        dataset = found[name]["Arguments"]["ProcessingInputs"][-1]
        assert dataset["S3Input"]["S3Uri"]["Std:Join"]["Values"][1:] == [folder, ""]
    assert "csv" in json.loads(found["DataQuality"]["Arguments"]["Environment"]["dataset_format"])
    assert "checks" in {
        each["OutputName"] for each in found["Prepare"]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    }


def test_prepare_is_asked_for_what_the_checks_need() -> None:
    asked = asked_of_prepare(model(native_checks=["explainability"]), "check-dev")
    assert asked["analyses"]["Explainability"]["methods"]["shap"]["num_samples"] == 200
    assert asked["analyses"]["Explainability"]["methods"]["shap"]["seed"] == 0
    assert not asked["described"]
    assert asked_of_prepare(model(native_checks=["data_quality"]), "check-dev")["described"]


def test_a_check_of_rows_alone_has_them_prepared() -> None:
    _, template = training_stack(model(native_checks=["data_quality"]))
    assert '\\"checks\\"' in json.dumps(template.to_json())


def test_one_check_brings_nothing_of_the_others() -> None:
    found = steps(model(native_checks=["data_bias"]))
    assert set(found) == {"Prepare", "Train", "DataBias", "Evaluate", "Gate"}


def test_debugger_has_the_thresholds_of_our_rules_and_leaves_the_cache_alone() -> None:
    diagnostics = {"class_imbalance": {"minimum_share": 0.2}, "overfitting": {"action": "off"}}
    train = steps(model(training={"debugger": "native", "diagnostics": diagnostics}))["Train"]["Arguments"]
    assert {each["RuleConfigurationName"]: each["RuleParameters"] for each in train["DebugRuleConfigurations"]} == {
        "ClassImbalance": {"rule_to_invoke": "ClassImbalance", "threshold_imbalance": "4"},
        "LossNotDecreasing": {
            "rule_to_invoke": "LossNotDecreasing",
            "collection_names": "metrics",
            "num_steps": "20",
            "diff_percent": "0.1",
        },
    }
    # with the execution's id in it no execution would have the inputs of an earlier one
    assert train["DebugHookConfig"]["S3OutputPath"] == "s3://artifacts/flight_delay/debugger"


def test_the_job_role_may_pull_the_images_and_ask_its_own_endpoints_and_synth_says_what_is_closed() -> None:
    stack, template = training_stack(with_native_services(model()))
    statements = [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    text = json.dumps([each for each in statements if "ecr:BatchGetImage" in each["Action"]])
    assert all(image.partition("/")[2].partition(":")[0] in text for image in NATIVE.values())
    invoking = [each for each in statements if "sagemaker:InvokeEndpoint" in each["Action"]]
    assert "endpoint/check-dev-flight-delay*" in json.dumps(invoking)
    assert not [each for each in statements if "*" in each["Action"]]
    made = json.dumps([each["Resource"] for each in statements if "sagemaker:CreateEndpointConfig" in each["Action"]])
    assert "endpoint-config/sm-clarify-config*" in made
    assert "endpoint-config/*" not in made
    Annotations.from_stack(stack).has_info("*", Match.string_like_regexp("closed to new customers since 2026-07-30"))


def test_a_model_without_them_has_neither_permission_nor_note() -> None:
    stack, template = training_stack(model())
    assert "check-dev-flight-delay" not in json.dumps(template.to_json())
    assert Annotations.from_stack(stack).find_info("*", Match.any_value()) == []


@pytest.mark.parametrize(
    ("addition", "image"),
    [
        ("native_checks: [data_bias]", "clarify_image"),
        ("native_checks: [data_quality]", "monitor_image"),
    ],
)
def test_an_environment_without_the_image_is_told_which(
    addition: str, image: str, repository: Repository, change: Change
) -> None:
    change("ml_code/models/flight_delay/model.yaml", r"^serving:$", f"{addition}\nserving:")
    found = problems(repository)
    assert len(found) == 3, found
    assert all(
        problem.startswith("ml_code/models/flight_delay/model.yaml:") and f"native.{image}" in problem
        for problem in found
    )
    assert any("config/dev.yaml" in problem for problem in found)


def test_an_environment_can_have_debugger_alone(repository: Repository) -> None:
    with (repository.config / "staging.yaml").open("a") as file:
        file.write(f"\nnative:\n  debugger_image: {NATIVE['debugger_image']}\n")
        file.write("models:\n  flight_delay:\n    training:\n      debugger: native\n")
    debuggers = {each.name: each.models[0].training.debugger for each in load(repository).environments}
    assert debuggers == {"dev": "off", "staging": "native", "prod": "off"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"native_checks": ["data_bias", "data_bias"]}, "data_bias is listed twice"),
        ({"native_checks": ["model_bias"], "fairness": {"facets": []}}, "it needs fairness.facets"),
        ({"native_checks": ["model_quality"]}, "Input should be"),
        (
            {"training": {"debugger": "native", "tuning": {"ranges": {"max_depth": {"integer": [3, 9]}}, "trials": 4}}},
            "can't watch tuned training jobs",
        ),
        (
            {
                "training": {
                    "debugger": "native",
                    "diagnostics": {
                        name: {"action": "off"} for name in ("class_imbalance", "loss_not_decreasing", "overfitting")
                    },
                }
            },
            "needs a rule of training.diagnostics",
        ),
    ],
)
def test_what_they_can_t_do_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        model(**changes)


@pytest.mark.parametrize("uri", ["python:3.11", "sagemaker-debugger-rules", "1.dkr.ecr.eu-west-1.amazonaws.com/rules"])
def test_what_is_no_image_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"must be the URI of an image, as 111122223333\.dkr\.ecr"):
        Native(debugger_image=uri)
