"""Model Monitor's definitions and schedules: a changed definition is another one, and the schedule goes on."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, CfnCondition, CfnParameter, Environment, Fn, Stack
from aws_cdk.assertions import Template
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from mlops_constructs.job_role import JobRole
from mlops_constructs.native_baselines import BASELINES, SWITCH, NativeBaselines, native_baselines_definition
from mlops_constructs.native_monitor import Kind, NativeJob, NativeMonitor
from mlops_constructs.pipeline_steps import JobNetwork, JobResources

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-analyzer:latest"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0"
CONSTRAINTS = {"ConstraintsResource": {"S3Uri": "s3://artifacts/baseline/constraints.json"}}
JOBS = (
    NativeJob(kind="DataQuality", application={"ImageUri": IMAGE}, baseline=CONSTRAINTS),
    NativeJob(
        kind="ModelQuality",
        application={"ImageUri": IMAGE, "ProblemType": "Regression"},
        baseline=CONSTRAINTS,
        endpoint={"InferenceAttribute": "0"},
        ground_truth="s3://labels",
    ),
    NativeJob(
        kind="ModelBias",
        application={"ImageUri": IMAGE, "ConfigUri": "s3://artifacts/bias.json"},
        baseline=CONSTRAINTS,
        ground_truth="s3://labels",
    ),
    NativeJob(
        kind="ModelExplainability",
        application={"ImageUri": IMAGE, "ConfigUri": "s3://artifacts/explained.json"},
        baseline=CONSTRAINTS,
    ),
)


def synthesized(
    name: str = "dev-late", machine: str = "ml.m5.large", every: str = "cron(0 10 ? * * *)"
) -> dict[str, Any]:
    """The definitions and schedules by their logical ids."""
    stack = Stack(App(), "Test", env=Environment(account="123456789012", region="eu-west-1"))
    switch = CfnParameter(stack, SWITCH, default="off")
    NativeMonitor(
        stack,
        "Native",
        name=name,
        endpoint_name="dev-late",
        jobs=JOBS,
        schedule=every,
        role=JobRole(stack, "Role", service="sagemaker.amazonaws.com", log_groups="/aws/sagemaker/"),
        resources=JobResources(instance_type=machine),
        output="s3://artifacts/native",
        kms_key_arn=KEY,
        condition=CfnCondition(stack, "On", expression=Fn.condition_equals(switch.value_as_string, "on")),
        network=JobNetwork(subnet_ids=["subnet-0000000a"], security_group_ids=["sg-0000000a"]),
    )
    found = Template.from_stack(stack).to_json()["Resources"]
    return {key: each for key, each in found.items() if each["Type"].startswith("AWS::SageMaker::")}


def definition_names(resources: dict[str, Any]) -> dict[str, str]:
    return {
        key: each["Properties"]["JobDefinitionName"]
        for key, each in resources.items()
        if each["Type"].endswith("JobDefinition")
    }


def schedules(resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: each["Properties"] for key, each in resources.items() if each["Type"].endswith("MonitoringSchedule")}


def test_changed_definition_is_another_one_and_the_schedule_stays_and_goes_over_to_it() -> None:
    before, after = synthesized(), synthesized(machine="ml.m5.xlarge")
    assert set(before) == set(after), "nothing is made anew for CloudFormation"
    old, new = definition_names(before), definition_names(after)
    assert len(old) == 4
    for key, name in old.items():
        assert name != new[key]
        assert name.rpartition("-")[0] == new[key].rpartition("-")[0]
    for key, schedule in schedules(after).items():
        earlier = schedules(before)[key]
        assert schedule["MonitoringScheduleName"] == earlier["MonitoringScheduleName"]
        config, earlier_config = (each["MonitoringScheduleConfig"] for each in (schedule, earlier))
        assert config["MonitoringJobDefinitionName"] in new.values()
        assert earlier_config["MonitoringJobDefinitionName"] in old.values()
        assert config["ScheduleConfig"] == earlier_config["ScheduleConfig"]


def test_same_definition_keeps_its_name_whatever_the_schedule() -> None:
    before, after = synthesized(), synthesized(every="cron(0 * ? * * *)")
    assert definition_names(before) == definition_names(after)
    assert schedules(before) != schedules(after)


def test_nothing_is_there_without_the_condition() -> None:
    assert {each["Condition"] for each in synthesized().values()} == {"On"}


def test_long_names_are_cut_to_what_sagemaker_takes_and_stay_apart() -> None:
    found = synthesized(name="environment1-" + "a" * 41)
    names = [*definition_names(found).values(), *(each["MonitoringScheduleName"] for each in schedules(found).values())]
    assert all(len(name) <= 63 for name in names)
    assert len(set(names)) == 8


def test_models_whose_names_begin_alike_share_no_name_when_these_are_cut() -> None:
    first, second = (synthesized(name="environment1-" + "a" * 40 + last) for last in "bc")
    for key, schedule in schedules(first).items():
        assert schedule["MonitoringScheduleName"] != schedules(second)[key]["MonitoringScheduleName"]
    for key, name in definition_names(first).items():
        assert name != definition_names(second)[key]


def test_name_that_fits_is_left_as_it_is() -> None:
    assert {each["MonitoringScheduleName"] for each in schedules(synthesized()).values()} == {
        "dev-late-data-quality", "dev-late-model-quality", "dev-late-model-bias", "dev-late-model-explainability",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["DataQuality", "ModelQuality", "ModelBias", "ModelExplainability"])
def test_definition_is_what_the_api_takes(kind: Kind) -> None:
    (properties,) = [
        each["Properties"] for each in synthesized().values() if each["Type"] == f"AWS::SageMaker::{kind}JobDefinition"
    ]
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    shape = model.operation_model(f"Create{kind}JobDefinition").input_shape
    report = ParamValidator().validate({**properties, "RoleArn": "arn:aws:iam::123456789012:role/jobs"}, shape)
    assert not report.has_errors(), report.generate_report()


def test_state_machine_of_baselines_reaches_every_state_and_its_tasks_fit_their_services() -> None:
    definition = native_baselines_definition(
        NativeBaselines(
            endpoint_name="dev-late", version_name="/dev-late/released-version", bucket_name="b", prefix="late/",
            files=list(BASELINES), stack_name="dev-monitoring", explanation={"predictor": {}},
        )
    )  # fmt: skip
    named = {definition["StartAt"]}
    for state in definition["States"].values():
        named |= {state.get("Next"), state.get("Default")}
        named |= {each["Next"] for each in [*state.get("Choices", []), *state.get("Catch", [])]}
        if state["Type"] == "Task":
            service, name = state["Resource"].split(":")[-2:]
            model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
            shape = model.operation_model(name[0].upper() + name[1:]).input_shape
            assert set(shape.required_members) <= set(state["Arguments"]) <= set(shape.members)
    assert named - {None} == set(definition["States"])
