"""What a model's `serving` may say, and what each of it makes of the endpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Stage
from pydantic import ValidationError

from mlops_constructs.model_registry import ModelRegistry
from stacks.blueprint import Blueprint
from stacks.configuration import load
from stacks.data_stack import DataStack
from stacks.foundation_stack import FoundationStack
from stacks.serving_settings import Serving
from stacks.serving_stack import ServingStack
from stacks.settings import Repository
from tests.deployment.assemblies import CONTEXT, REPOSITORY, Template, Templates, template_files, templates_of
from tests.deployment.declarations import Change, problems
from tests.deployment.security_pack import Audit, audit
from tests.deployment.test_security import lint

DECLARED = "ml_code/models/flight_delay/model.yaml"
SCALING = {"minimum": 1, "maximum": 6}
ASYNC = {"asynchronous": {}, "scaling": {**SCALING, "minimum": 0}}
SERVERLESS = {"capture_percent": 0, "serverless": {"memory_mb": 3072}}
COMPONENT = {"capture_percent": 0, "component": {"fleet": "small"}}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "off": {"enabled": False},
    "canary": {"instance_count": 2},
    "linear": {"instance_count": 4, "release": {"strategy": "linear", "percent": 25}},
    "rolling": {"instance_count": 4, "release": {"strategy": "rolling", "percent": 25, "wait_minutes": 3}},
    "waiting": {"instance_count": 2, "release": {"wait_minutes": 1}},
    "baking": {"release": {"bake_minutes": 7}},
    "percent": {"instance_count": 2, "release": {"percent": 40}},
    "quiet": {"release": {"alarms": dict.fromkeys(
        ("server_error_percent", "client_error_percent", "p99_milliseconds", "prediction_shift")
    )}},
    "strict": {"release": {"alarms": {"server_error_percent": 0.0}}},
    "refusing": {"release": {"alarms": {"client_error_percent": 3.0}}},
    "fast": {"release": {"alarms": {"p99_milliseconds": 20.0}}},
    "steady": {"release": {"alarms": {"prediction_shift": 0.1}}},
    "scaled": {"scaling": SCALING},
    "more": {"scaling": {**SCALING, "maximum": 7}},
    "busier": {"scaling": {**SCALING, "requests_per_instance": 500.0}},
    "growing": {"scaling": {**SCALING, "scale_in": False}},
    "slower": {"scaling": {**SCALING, "scale_in_minutes": 30}},
    "hasty": {"scaling": {**SCALING, "scale_out_minutes": 0}},
    "daily": {"scaling": {**SCALING, "schedules": [{"schedule": "cron(0 7 * * ? *)", "minimum": 2, "maximum": 6}]}},
    "serverless": SERVERLESS,
    "provisioned": {**SERVERLESS, "serverless": {"provisioned_concurrency": 2}},
    "concurrent": {**SERVERLESS, "serverless": {"max_concurrency": 50}},
    "asynchronous": ASYNC,
    "patient": {**ASYNC, "asynchronous": {"backlog_per_instance": 20.0}},
    "parallel": {**ASYNC, "asynchronous": {"max_concurrent": 9}},
    "shadow": {"challenger": {}},
    "half": {"challenger": {"percent": 50}},
    "pair": {"challenger": {"instance_count": 2}},
    "split": {"challenger": {"mode": "split", "percent": 20}},
    "machine": {"instance_type": "ml.c5.large"},
    "uncaptured": {"capture_percent": 0},
    "component": COMPONENT,
    "copies": {**COMPONENT, "component": {"fleet": "small", "copies": 2}},
    "memory": {**COMPONENT, "component": {"fleet": "small", "memory_mb": 512}},
    "cores": {**COMPONENT, "component": {"fleet": "small", "cpus": 0.5}},
    "other": {**COMPONENT, "component": {"fleet": "large"}},
    "copied": {**COMPONENT, "scaling": SCALING},
    "away": {**COMPONENT, "enabled": False},
}  # fmt: skip


def build(outdir: Path) -> App:
    """The serving stacks of all variants, with what they share."""
    settings = load(REPOSITORY).environments[0]
    app = App(context=CONTEXT, outdir=str(outdir))
    stage = Stage(app, "dev")
    blueprint = Blueprint(settings=settings, repository=REPOSITORY)
    (model,) = [each for each in settings.models if each.name == "flight_delay"]
    foundation = FoundationStack(stage, "foundation", blueprint=blueprint)
    data = DataStack(stage, "data", blueprint=blueprint, foundation=foundation)
    registry = ModelRegistry(Stack(stage, "registry"), "Registry", group_name="dev-flight-delay", description="-")
    for name, values in VARIANTS.items():
        ServingStack(
            stage,
            name,
            blueprint=blueprint,
            model=model,
            serving=Serving.model_validate(values),
            foundation=foundation,
            lake=data.lake,
            registry=registry,
        )
    return app


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    outdir = tmp_path_factory.mktemp("serving") / "cdk.out"
    return audit(lambda: build(outdir))


@pytest.fixture(scope="module")
def variants(audited: Audit) -> Templates:
    return {name.removeprefix("dev/"): template for name, template in templates_of(audited.assembly).items()}


def of_type(template: Template, kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in template["Resources"].values() if each["Type"] == kind]


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = of_type(template, kind)
    return found


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "plain"])
def test_each_setting_changes_the_stack(name: str, variants: Templates) -> None:
    base = {"quiet": "plain", "hasty": "scaled", "slower": "scaled", "growing": "scaled", "busier": "scaled",
            "more": "scaled", "daily": "scaled", "patient": "asynchronous", "parallel": "asynchronous",
            "provisioned": "serverless", "concurrent": "serverless", "half": "shadow", "pair": "shadow",
            "waiting": "canary", "percent": "canary", "copies": "component", "memory": "component",
            "cores": "component", "other": "component", "copied": "component",
            "away": "component"}.get(name, "plain")  # fmt: skip
    changed, unchanged = (json.dumps(variants[each]["Resources"], sort_keys=True) for each in (name, base))
    # the state machine of releases names its stack
    assert changed.replace(f"dev-{name}", "dev-stack") != unchanged.replace(f"dev-{base}", "dev-stack")


def test_the_security_pack_finds_nothing_unanswered_in_any(audited: Audit) -> None:
    assert audited.unanswered == []


def test_cloudformation_s_rules_find_nothing_in_any(audited: Audit) -> None:
    assert audited.others == []
    files = template_files(audited.assembly)
    assert lint([files[f"dev/{name}"] for name in VARIANTS]) == []


@pytest.mark.parametrize(
    ("name", "routing"),
    [
        ("plain", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}),
        (
            "canary",
            {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 300,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            },
        ),
        (
            "linear",
            {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 300,
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
            },
        ),
    ],
)
def test_traffic_goes_to_a_new_version_as_the_strategy_says(
    name: str, routing: dict[str, Any], variants: Templates
) -> None:
    policy = only(variants[name], "AWS::SageMaker::Endpoint")["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == routing


def test_rolling_replaces_instances_in_batches(variants: Templates) -> None:
    config = only(variants["rolling"], "AWS::SageMaker::Endpoint")["DeploymentConfig"]
    assert "BlueGreenUpdatePolicy" not in config
    assert config["RollingUpdatePolicy"]["MaximumBatchSize"] == {"Type": "CAPACITY_PERCENT", "Value": 25}
    assert config["RollingUpdatePolicy"]["WaitIntervalInSeconds"] == 180


def test_every_alarm_takes_back_and_tells_and_watches_the_new_fleet_alone(variants: Templates) -> None:
    template = variants["plain"]
    alarms = {name: each for name, each in template["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    assert len(alarms) == 4
    watched = only(template, "AWS::SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert [each["AlarmName"]["Ref"] for each in watched] == list(alarms)
    (configuration,) = [
        name for name, each in template["Resources"].items() if each["Type"] == "AWS::SageMaker::EndpointConfig"
    ]
    for name, alarm in alarms.items():
        properties = alarm["Properties"]
        assert properties["AlarmActions"]
        assert properties["TreatMissingData"] == "notBreaching"
        assert {"GetAtt"} <= set(re.findall(r"Fn::(GetAtt)", json.dumps(properties["AlarmName"]))), "new each release"
        periods = [each["MetricStat"]["Period"] for each in properties.get("Metrics", []) if "MetricStat" in each]
        assert set(periods or [properties["Period"]]) == {60}
        assert properties["EvaluationPeriods"] == (1 if "Shift" in name else 3)
        metrics = [each["MetricStat"]["Metric"] for each in properties.get("Metrics", []) if "MetricStat" in each]
        for metric in metrics or [properties]:
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            if "Shift" in name:
                fleet = dimensions["Fleet"]
                (model,) = [each for key, each in template["Resources"].items() if key.startswith("InferenceModel")]
                assert model["Properties"]["PrimaryContainer"]["Environment"]["FLEET_NAME"] == fleet
            else:
                assert dimensions["EndpointConfigName"] == {"Fn::GetAtt": [configuration, "EndpointConfigName"]}


def test_same_version_in_another_shape_is_another_fleet(variants: Templates) -> None:
    def fleet(name: str) -> str:
        (model,) = [each for key, each in variants[name]["Resources"].items() if key.startswith("InferenceModel")]
        return json.dumps(model["Properties"]["PrimaryContainer"]["Environment"]["FLEET_NAME"])

    shapes = ("plain", "canary", "machine", "uncaptured", "asynchronous", "serverless", "shadow", "half", "split")
    assert len({fleet(name) for name in shapes}) == len(shapes)
    # what changes no configuration replaces no fleet
    assert fleet("plain") == fleet("baking") == fleet("fast") == fleet("scaled")
    # nor does a challenger come or go without one
    assert "Fn::If" in fleet("shadow")


def test_without_alarms_nothing_takes_back(variants: Templates) -> None:
    assert of_type(variants["quiet"], "AWS::CloudWatch::Alarm") == []
    assert "AutoRollbackConfiguration" not in only(variants["quiet"], "AWS::SageMaker::Endpoint")["DeploymentConfig"]


def test_endpoint_that_is_off_has_no_fleet_and_keeps_the_rest(variants: Templates) -> None:
    on, off = (set(variants[name]["Resources"]) for name in ("plain", "off"))
    gone = {variants["plain"]["Resources"][name]["Type"] for name in on - off}
    assert off < on
    assert gone == {
        "AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Endpoint", "AWS::CloudWatch::Alarm",
    }  # fmt: skip
    assert "EndpointName" not in variants["off"]["Outputs"]


def test_scaled_variant_keeps_its_count_and_takes_weights_and_capture_anew(variants: Templates) -> None:
    endpoint = only(variants["scaled"], "AWS::SageMaker::Endpoint")
    assert endpoint["RetainAllVariantProperties"] is True
    kept = {each["VariantPropertyType"] for each in endpoint["ExcludeRetainedVariantProperties"]}
    assert kept == {"DesiredWeight", "DataCaptureConfig"}
    assert "RetainAllVariantProperties" not in only(variants["plain"], "AWS::SageMaker::Endpoint")
    target = only(variants["scaled"], "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"] == "endpoint/dev-flight-delay/variant/live"
    (resource,) = [
        each
        for each in variants["scaled"]["Resources"].values()
        if each["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
    ]
    assert any("Endpoint" in name for name in resource["DependsOn"])


def test_asynchronous_endpoint_scales_to_none_and_comes_back_by_its_backlog(variants: Templates) -> None:
    policies = of_type(variants["asynchronous"], "AWS::ApplicationAutoScaling::ScalingPolicy")
    assert {each["PolicyType"] for each in policies} == {"TargetTrackingScaling", "StepScaling"}
    alarms = {each["MetricName"]: each for each in of_type(variants["asynchronous"], "AWS::CloudWatch::Alarm")}
    assert set(alarms) == {
        "HasBacklogWithoutCapacity", "Invocation5XXErrors", "Invocation4XXErrors", "PredictionShift",
    }  # fmt: skip
    alarm = alarms["HasBacklogWithoutCapacity"]
    (waking,) = [name for name in variants["asynchronous"]["Resources"] if "Waking" in name]
    assert alarm["AlarmActions"] == [{"Ref": waking}]


def test_challenger_comes_with_its_version_and_goes_with_it(variants: Templates) -> None:
    for name in ("shadow", "split"):
        template = variants[name]
        assert template["Parameters"]["ChallengerPackageArn"]["Default"] == ""
        configuration = only(template, "AWS::SageMaker::EndpointConfig")
        live, *others = configuration["ProductionVariants"]
        (condition, (second, nothing)) = (
            (others[0]["Fn::If"][0], others[0]["Fn::If"][1:])
            if others
            else (
                configuration["ShadowProductionVariants"]["Fn::If"][0],
                [
                    configuration["ShadowProductionVariants"]["Fn::If"][1][0],
                    configuration["ShadowProductionVariants"]["Fn::If"][2],
                ],
            )
        )
        assert nothing == {"Ref": "AWS::NoValue"}
        assert "Fn::And" in template["Conditions"][condition]
        assert second["VariantName"] == "challenger"
        share = (second["InitialVariantWeight"], live["InitialVariantWeight"])
        assert share == ((20, 80) if name == "split" else (10, 100))


def test_challenger_that_answers_is_watched_and_takes_nothing_back(variants: Templates) -> None:
    template = variants["split"]
    alarms = {name for name, each in template["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    watched = only(template, "AWS::SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    others = alarms - {each["AlarmName"]["Ref"] for each in watched}
    assert len(others) == 3
    assert all("ChallengerAlarms" in name for name in others)
    assert not [name for name in variants["shadow"]["Resources"] if "ChallengerAlarms" in name]


def test_serverless_endpoint_has_neither_instances_nor_capture_nor_a_release_in_parts(variants: Templates) -> None:
    configuration = only(variants["serverless"], "AWS::SageMaker::EndpointConfig")
    assert "DataCaptureConfig" not in configuration
    assert "KmsKeyId" not in configuration
    (variant,) = configuration["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    assert "InstanceType" not in variant
    assert "DeploymentConfig" not in only(variants["serverless"], "AWS::SageMaker::Endpoint")


def test_component_is_the_released_version_on_the_fleet_and_has_a_name_that_stays(variants: Templates) -> None:
    template = variants["component"]
    component = only(template, "AWS::SageMaker::InferenceComponent")
    (model,) = [name for name, each in template["Resources"].items() if each["Type"] == "AWS::SageMaker::Model"]
    assert (component["InferenceComponentName"], component["EndpointName"]) == ("dev-flight-delay", "dev-fleet-small")
    assert component["Specification"] == {
        "ModelName": {"Fn::GetAtt": [model, "ModelName"]},
        "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024, "MaxMemoryRequiredInMb": 1024},
    }
    assert "ModelName" not in template["Resources"][model]["Properties"]
    assert of_type(template, "AWS::SageMaker::Endpoint") == []
    told = {name: each["Value"] for name, each in template["Outputs"].items()}
    assert told["EndpointName"] == "dev-fleet-small"
    assert told["InferenceComponentName"] == "dev-flight-delay"


def test_copies_go_over_in_steps_that_alarms_take_back_and_one_alone_at_once(variants: Templates) -> None:
    template = variants["copies"]
    deployment = only(template, "AWS::SageMaker::InferenceComponent")["DeploymentConfig"]
    assert deployment["RollingUpdatePolicy"]["MaximumBatchSize"] == {"Type": "CAPACITY_PERCENT", "Value": 10}
    alarms = {name: each for name, each in template["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    watched = deployment["AutoRollbackConfiguration"]["Alarms"]
    assert [each["AlarmName"]["Ref"] for each in watched] == list(alarms)
    for name, alarm in alarms.items():
        assert "Model" in json.dumps(alarm["Properties"]["AlarmName"]), "new each release"
        metrics = [
            each["MetricStat"]["Metric"] for each in alarm["Properties"].get("Metrics", []) if "MetricStat" in each
        ]
        for metric in metrics or [alarm["Properties"]]:
            dimensions = {each["Name"] for each in metric["Dimensions"]}
            assert dimensions == ({"Endpoint", "Fleet"} if "Shift" in name else {"InferenceComponentName"})
    assert "DeploymentConfig" not in only(variants["component"], "AWS::SageMaker::InferenceComponent")


def test_releases_may_look_at_their_component_and_at_no_endpoint(variants: Templates) -> None:
    text = json.dumps([each["PolicyDocument"] for each in of_type(variants["component"], "AWS::IAM::Policy")])
    assert "sagemaker:DescribeInferenceComponent" in text
    assert ":inference-component/dev-flight-delay" in text
    assert "sagemaker:DescribeEndpoint" not in text


def test_copies_follow_the_traffic(variants: Templates) -> None:
    target = only(variants["copied"], "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"] == "inference-component/dev-flight-delay"
    assert target["ScalableDimension"] == "sagemaker:inference-component:DesiredCopyCount"
    policy = only(variants["copied"], "AWS::ApplicationAutoScaling::ScalingPolicy")
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    assert tracked == {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}


def test_component_that_is_off_keeps_its_role_and_logs(variants: Templates) -> None:
    on, off = (set(variants[name]["Resources"]) for name in ("component", "away"))
    gone = {variants["component"]["Resources"][name]["Type"] for name in on - off}
    assert off < on
    assert gone == {"AWS::SageMaker::Model", "AWS::SageMaker::InferenceComponent", "AWS::CloudWatch::Alarm"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({**COMPONENT, "serverless": {}}, "is not for a component of a fleet"),
        ({**COMPONENT, "asynchronous": {}}, "is not for a component of a fleet"),
        ({**COMPONENT, "challenger": {}}, "is not for a component of a fleet"),
        ({"component": {"fleet": "small"}}, "must be 0 with component: a fleet captures nothing"),
        (
            {**COMPONENT, "release": {"strategy": "canary"}},
            "must be rolling or all_at_once for a component, got canary",
        ),
        ({**COMPONENT, "release": {"strategy": "rolling"}}, "rolling moves 10 % of 1 instance"),
        ({**COMPONENT, "scaling": {"minimum": 2}}, "must be from 2 to 4 as scaling says, got 1"),
        ({**COMPONENT, "scaling": {"minimum": 0}}, "only an asynchronous endpoint may"),
        ({"component": {"fleet": "Small-1"}, "capture_percent": 0}, "String should match pattern"),
        ({"release": {"strategy": "canary"}}, "canary moves 10 % of 1 instance.*more instances"),
        ({"instance_count": 3, "release": {"percent": 40}}, r"canary moves 40 % of 3 instances, which is 2"),
        ({"instance_count": 4, "release": {"strategy": "linear", "percent": 5}}, "linear must lie between 10 and 50"),
        (
            {"instance_count": 4, "scaling": {}, "release": {"strategy": "canary", "percent": 25}},
            "canary moves 25 % of 1 instance",
        ),
        (
            {"instance_count": 10, "release": {"strategy": "linear", "wait_minutes": 60, "bake_minutes": 60}},
            "takes 11.0 hours, and SageMaker gives up after 8",
        ),
        ({"capture_percent": 0, "serverless": {}, "release": {"strategy": "canary"}, "instance_count": 2}, "no effect"),
        ({"release": {"wait_minutes": 61}}, "less than or equal to 60"),
        ({"scaling": {"minimum": 3, "maximum": 2}}, "must be at most the maximum, 2, got 3"),
        ({"scaling": {"minimum": 2}}, "must be from 2 to 4 as scaling says, got 1"),
        ({"scaling": {"minimum": 0}}, "only an asynchronous endpoint may"),
        ({"serverless": {}}, "capture_percent|must be 0 with serverless"),
        ({**SERVERLESS, "scaling": {}}, "is not for serverless endpoints"),
        ({**SERVERLESS, "challenger": {}}, "is not for serverless endpoints"),
        ({**SERVERLESS, "serverless": {"provisioned_concurrency": 9}}, "at most max_concurrency, 5, got 9"),
        ({"asynchronous": {}, "challenger": {}}, "is not for asynchronous endpoints"),
        ({"challenger": {"mode": "split", "percent": 100}}, "less than 100 for a split"),
        (
            {"challenger": {"mode": "split"}, "instance_count": 4, "release": {"strategy": "rolling", "percent": 25}},
            "can't be rolling beside a split",
        ),
    ],
)
def test_what_sagemaker_refuses_is_refused_at_synth(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Serving.model_validate(values)


def test_mistake_is_told_with_its_place(change: Change, repository: Repository) -> None:
    change(DECLARED, r"^  capture_percent: 100$", "  capture_percent: 100\n  scaling: {minimum: 0}")
    (found,) = problems(repository)
    assert re.search(r"model\.yaml:\d+: serving\.scaling: goes down to 0 instances", found)
