"""Pipeline definitions: what they render to, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_constructs import pipeline_schema
from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_expressions import EXECUTION_ID, Get, Join
from mlops_constructs.pipeline_steps import (
    Comparison,
    ConditionStep,
    FailStep,
    InvalidPipelineError,
    JobNetwork,
    JobResources,
    Manifest,
    ProcessingStep,
    PropertyFile,
    RegisterModelStep,
    TrainingStep,
)

ROLE = "arn:aws:iam::123456789012:role/jobs"
SMALL = JobResources(instance_type="ml.m5.large")


def processing(name: str = "Evaluate", **changes: Any) -> ProcessingStep:
    return ProcessingStep(
        name=name,
        image_uri="image",
        role_arn=ROLE,
        command=["python3", "-m", "x"],
        resources=SMALL,
        outputs={"report": "s3://b/report"},
        property_files=[PropertyFile(name="Report", output="report", path="report.json")],
        **changes,
    )


def training(**changes: Any) -> TrainingStep:
    options: dict[str, Any] = {"channels": {"train": "s3://b/train"}, "output_path": "s3://b/model"} | changes
    return TrainingStep(name="Train", image_uri="image", role_arn=ROLE, resources=SMALL, **options)


def definition(*steps: Any, parameters: tuple[Parameter, ...] = ()) -> PipelineDefinition:
    return PipelineDefinition(parameters=parameters, steps=steps)


def test_parameters_without_a_default_have_to_be_given() -> None:
    rendered = definition(parameters=(Parameter(name="Day", type="String"),)).to_json()
    assert rendered["Parameters"] == [{"Name": "Day", "Type": "String"}]
    assert rendered["Version"] == "2020-12-01"


def test_an_input_lands_in_the_folder_of_its_name() -> None:
    step = definition(processing(inputs={"test": "s3://b/test"})).to_json()["Steps"][0]
    assert step["Arguments"]["ProcessingInputs"][0]["S3Input"]["LocalPath"] == "/opt/ml/processing/input/test"
    assert step["PropertyFiles"] == [{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "report.json"}]


def test_a_manifest_is_read_as_a_list_of_files_wherever_it_lies() -> None:
    data = Parameter(name="Data", type="String", default="s3://b/days/manifest.json")
    rendered = definition(processing(inputs={"days": Manifest(data.value)}), parameters=(data,))
    source = rendered.to_json()["Steps"][0]["Arguments"]["ProcessingInputs"][0]["S3Input"]
    assert (source["S3DataType"], source["S3Uri"]) == ("ManifestFile", {"Get": "Parameters.Data"})
    pipeline_schema.check(rendered)


def test_a_manifest_that_refers_to_nothing_is_refused() -> None:
    with pytest.raises(InvalidPipelineError, match="parameter 'Data' doesn't exist"):
        definition(processing(inputs={"days": Manifest(Get("Parameters.Data"))}))


def test_a_model_that_nothing_serves_names_no_machines_to_serve_it() -> None:
    step = RegisterModelStep(
        name="Register",
        group_name="late",
        image_uri="image",
        model_artifact="s3://b/model.tar.gz",
        content_types=["text/csv"],
        response_types=["text/csv"],
    )
    assert not [key for key in step.job()["InferenceSpecification"] if key.endswith("InstanceTypes")]
    pipeline_schema.check(definition(step))


def test_an_output_is_handed_on_as_a_folder_of_its_own_and_orders_the_steps() -> None:
    first = processing(name="First")
    second = processing(name="Second", inputs={"report": first.folder("report")})
    uri = definition(first, second).to_json()["Steps"][1]["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    output = "Steps.First.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"
    assert uri == {"Std:Join": {"On": "", "Values": [{"Get": output}, "/"]}}
    with pytest.raises(InvalidPipelineError, match="has no output 'reprot'"):
        first.folder("reprot")


def test_an_explicit_order_is_part_of_the_definition() -> None:
    steps = definition(processing(name="First"), processing(name="Second", depends_on=["First"])).to_json()["Steps"]
    assert [step.get("DependsOn") for step in steps] == [None, ["First"]]


def test_literals_that_look_like_expressions_stay_literals() -> None:
    literal = 'say "${x}" \\ {"Get": "Parameters.No"}'
    body = definition(processing(arguments=[literal])).to_body()
    assert json.loads(body)["Steps"][0]["Arguments"]["AppSpecification"]["ContainerArguments"] == [literal]


def test_hyperparameters_are_texts() -> None:
    job = training(hyperparameters={"rounds": 300, "rate": 0.05, "exact": True, "booster": "gbtree"}).job()
    assert job["HyperParameters"] == {"rounds": "300", "rate": "0.05", "exact": "true", "booster": "gbtree"}


def test_jobs_in_a_network_encrypt_the_traffic_between_their_instances() -> None:
    network = JobNetwork(subnet_ids=["subnet-1"], security_group_ids=["sg-1"])
    job = processing(network=network).job()
    assert job["NetworkConfig"]["EnableInterContainerTrafficEncryption"] is True
    assert training(network=network).job()["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}


def test_a_condition_reads_a_property_file_and_holds_its_branches() -> None:
    evaluate = processing()
    minimum = Parameter(name="Minimum", type="Float", default=0.7)
    reached = evaluate.read("Report", "auc.value")
    gate = ConditionStep(
        name="Gate",
        conditions=[Comparison(operator="GreaterThanOrEqualTo", left=reached, right=minimum.value)],
        otherwise=[FailStep(name="Rejected", message=Join("", ["got ", reached]))],
    )
    arguments = definition(evaluate, gate, parameters=(minimum,)).to_json()["Steps"][1]["Arguments"]
    file = {"Get": "Steps.Evaluate.PropertyFiles.Report"}
    value = {"Std:JsonGet": {"PropertyFile": file, "Path": "auc.value"}}
    assert arguments["Conditions"][0]["LeftValue"] == value
    assert arguments["ElseSteps"][0]["Arguments"]["ErrorMessage"] == {"Std:Join": {"On": "", "Values": ["got ", value]}}
    assert arguments["IfSteps"] == []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([processing(), processing()], "step name 'Evaluate' is used twice"),
        ([processing(name="a step")], "step name 'a step': use up to 64"),
        ([processing(inputs={"x": Get("Parameters.Day")})], "step 'Evaluate': parameter 'Day' doesn't exist"),
        ([processing(inputs={"x": Get("Steps.Prep.Output")})], "reference to step 'Prep' doesn't exist"),
        ([processing(depends_on=["Prep"])], "step 'Evaluate': depends_on 'Prep' doesn't exist"),
        ([processing(name="A", depends_on=["B"]), processing(name="B", depends_on=["A"])], "A -> B -> A"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused(steps: list[Any], message: str) -> None:
    with pytest.raises(InvalidPipelineError) as refused:
        definition(*steps)
    assert message in str(refused.value)


def test_a_reference_inside_a_join_is_checked_too() -> None:
    with pytest.raises(InvalidPipelineError, match="Nowhere"):
        definition(processing(inputs={"x": Join("/", ["s3://b", EXECUTION_ID, Get("Steps.Nowhere.X")])}))


def test_an_unknown_property_file_is_refused() -> None:
    evaluate = processing()
    fail = FailStep(name="Stop", message=evaluate.read("Repotr", "x"))
    with pytest.raises(InvalidPipelineError, match="property file of step 'Evaluate' 'Repotr'"):
        definition(evaluate, fail)


def test_a_property_file_in_an_output_that_a_step_lacks_is_refused() -> None:
    step = ProcessingStep(
        name="Evaluate",
        image_uri="image",
        role_arn=ROLE,
        command=["x"],
        resources=SMALL,
        outputs={"report": "s3://b/report"},
        property_files=[PropertyFile(name="Report", output="reprot", path="report.json")],
    )
    with pytest.raises(InvalidPipelineError, match="output of property file 'Report' 'reprot' doesn't exist"):
        definition(step)


@pytest.mark.parametrize(
    ("kind", "default"),
    [("Integer", "3"), ("Integer", 0.5), ("Integer", True), ("Float", "x"), ("String", 3), ("Boolean", 1)],
)
def test_a_default_of_another_type_is_refused(kind: Any, default: Any) -> None:
    with pytest.raises(InvalidPipelineError, match=f"parameter 'Days' is of type {kind}"):
        Parameter(name="Days", type=kind, default=default)


@pytest.mark.parametrize(
    ("kind", "default"), [("Integer", 3), ("Float", 3), ("Float", 0.5), ("String", ""), ("Boolean", False)]
)
def test_a_default_of_its_type_is_part_of_the_definition(kind: Any, default: Any) -> None:
    parameter = Parameter(name="Days", type=kind, default=default)
    assert definition(parameters=(parameter,)).to_json()["Parameters"][0]["DefaultValue"] == default


def test_an_output_that_a_step_lacks_is_refused() -> None:
    with pytest.raises(InvalidPipelineError, match="has no output 'reprot'; it has \\['report'\\]"):
        processing().output("reprot")


def test_a_step_that_depends_on_the_branch_it_opens_is_a_cycle() -> None:
    inner = processing(name="Inner")
    gate = ConditionStep(
        name="Gate",
        conditions=[Comparison(operator="Equals", left=inner.read("Report", "x"), right=1)],
        then=[inner],
    )
    with pytest.raises(InvalidPipelineError, match="Gate -> Inner -> Gate"):
        definition(gate)


def test_definitions_too_large_for_a_template_are_refused() -> None:
    with pytest.raises(InvalidPipelineError, match="SageMaker takes 102400"):
        definition(processing(arguments=["x" * 110_000])).to_body()


def test_the_schema_check_reports_every_step_that_the_api_would_refuse() -> None:
    empty = RegisterModelStep(
        name="Register",
        group_name="",
        image_uri="image",
        model_artifact="s3://b/model.tar.gz",
        content_types=["text/csv"],
        response_types=["text/csv"],
        instance_types=["ml.m5.large"],
    )
    with pytest.raises(InvalidPipelineError) as refused:
        pipeline_schema.check(definition(training(channels={}, environment={"N": 3}), empty))
    assert "step 'Train'" in str(refused.value)
    assert "step 'Register'" in str(refused.value)


def test_the_schema_check_takes_expressions_anywhere() -> None:
    count = Parameter(name="Count", type="Integer", default=1)
    evaluate = processing(inputs={"x": Join("/", ["s3://b", EXECUTION_ID])})
    pipeline_schema.check(definition(evaluate, training(hyperparameters={"n": count.value}), parameters=(count,)))


@pytest.mark.parametrize("wrong", [{"instance_type": "m5.large"}, {"instance_type": "ml.m5.large", "volume_gb": 0}])
def test_impossible_resources_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidPipelineError):
        JobResources(**wrong)


def test_definition_without_steps_is_refused() -> None:
    with pytest.raises(InvalidPipelineError, match="no steps"):
        pipeline_schema.check(PipelineDefinition(parameters=[], steps=[]))
