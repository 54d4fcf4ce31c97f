"""Batch inference as it is deployed: its settings, its steps, and who may reach which data."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stacks.configuration import load
from stacks.settings import Repository
from tests.deployment.assemblies import Template, Templates
from tests.deployment.declarations import Change, problems
from tests.deployment.permissions import Permissions, permissions_of
from tests.deployment.snapshots import readable

DECLARED = "ml_code/models/block_time/model.yaml"
NAMES = {"LakeCurated": "curated", "LakeArtifacts": "artifacts"}


def definitions(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the pipeline is with a released version, and without one."""
    (found,) = [
        each["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]
        for each in readable(template)["Resources"].values()
        if each["Type"] == "AWS::SageMaker::Pipeline"
    ]
    (released,) = [body for key, body in found.items() if key.startswith("if ")]
    return released, found["otherwise"]


def steps_of(template: Template) -> dict[str, Any]:
    """The arguments of every step, those behind the condition included."""
    released, _ = definitions(template)
    found = {step["Name"]: step["Arguments"] for step in released["Steps"]}
    return found | {step["Name"]: step["Arguments"] for step in found["AnyRows"]["IfSteps"]}


def test_rows_are_selected_transformed_and_published_where_there_are_some(templates: Templates) -> None:
    released, waiting = definitions(templates["dev/block-time-batch"])
    assert [step["Name"] for step in released["Steps"]] == ["Select", "AnyRows"]
    gate = released["Steps"][1]["Arguments"]
    assert [step["Name"] for step in gate["IfSteps"]] == ["Transform", "Publish"]
    assert gate["ElseSteps"] == []
    (condition,) = gate["Conditions"]
    assert (condition["LeftValue"]["Std:JsonGet"]["Path"], condition["RightValue"]) == ("rows", 0)
    assert [step["Type"] for step in waiting["Steps"]] == ["Fail"]
    assert "no version of dev-block-time is released yet" in json.dumps(waiting)


def test_jobs_are_told_the_released_version_the_table_and_the_key(templates: Templates) -> None:
    steps = steps_of(templates["dev/block-time-batch"])
    words = steps["Select"]["AppSpecification"]["ContainerArguments"]
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert given["--package"] == "<ModelPackageArn>"
    assert given["--key"] == "flight_number,route"
    assert given["--manifest"].endswith("/flights/manifest.json")
    assert given["--predictions"].endswith("/predictions/block_time")
    assert (given["--first-day"], given["--last-day"]) == (
        {"Get": "Parameters.FirstDay"},
        {"Get": "Parameters.LastDay"},
    )
    told = steps["Publish"]["AppSpecification"]["ContainerArguments"]
    assert told == ["--predictions", given["--predictions"]]
    assert steps["Transform"]["ModelName"].startswith("<InferenceModel")
    assert steps["Transform"]["DataProcessing"] == {
        "InputFilter": "$[1:]",
        "JoinSource": "Input",
        "OutputFilter": "$",
    }


@pytest.mark.parametrize("model", ["block_time", "flight_delay"])
def test_each_job_reaches_what_it_works_on_and_no_more(model: str, templates: Templates) -> None:
    template = templates[f"dev/{model.replace('_', '-')}-batch"]
    select, ask, publish = (
        permissions_of(template, f"Inference{name}Role", NAMES) for name in ("Selection", "Model", "Publication")
    )
    predictions = f"curated/predictions/{model}/day=2013-08-01/predictions.parquet"
    rows, batch = "curated/flights/load=1/day=2013-08-01/part.parquet", f"artifacts/{model}/batch/x/rows/a.csv"
    artifact, other = f"artifacts/{model}/x/model.tar.gz", predictions.replace(model, "other")

    def may(role: Permissions) -> set[str]:
        return {
            f"{action} {resource}"
            for resource in (predictions, other, rows, batch, artifact)
            for action in ("Get", "Put", "Delete")
            if role.allows(f"s3:{action}Object", resource)
        }

    assert may(select) == {
        f"Get {rows}", f"Get {predictions}", f"Get {artifact}", f"Get {batch}", f"Put {batch}", f"Delete {batch}",
    }  # fmt: skip
    assert may(ask) == {f"Get {artifact}", f"Get {batch}", f"Put {batch}", f"Delete {batch}"}
    assert may(publish) == {f"Get {batch}", f"Get {predictions}", f"Put {predictions}", f"Delete {predictions}"}
    for role in (select, ask, publish):
        assert not [action for action in role.actions() if action.startswith("sagemaker:Create")]


def test_triggers_wait_for_a_version_and_its_failures_reach_the_alarm_topic(templates: Templates) -> None:
    resources = templates["dev/block-time-batch"]["Resources"].values()
    schedules = [each for each in resources if each["Type"] == "AWS::Scheduler::Schedule"]
    rules = [each for each in resources if each["Type"] == "AWS::Events::Rule"]
    assert [each["Condition"][:17] for each in schedules] == ["InferenceReleased"]
    starting = [rule for rule in rules if "Condition" in rule]
    assert [rule["Properties"]["EventPattern"]["detail-type"] for rule in starting] == [["Dataset Published"]]
    telling = [rule["Properties"] for rule in rules if rule["Properties"]["Description"].endswith("failed")]
    assert [each["Description"] for each in telling] == [
        "An execution of dev-block-time-batch failed",
        "A release of dev-block-time-batch failed",
        "A trigger of dev-block-time-batch failed",
    ]
    assert all("Alarms" in json.dumps(each["Targets"][0]["Arn"]) for each in telling)


def test_approvals_release_by_the_stack_s_own_state_machine(templates: Templates) -> None:
    template = templates["dev/block-time-batch"]
    (rule,) = [
        each["Properties"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Events::Rule"
        and "Model Package" in each["Properties"]["EventPattern"]["detail-type"][0]
    ]
    assert rule["EventPattern"]["detail"]["ModelPackageGroupName"] == ["dev-block-time"]
    assert rule["Targets"][0]["Arn"] == template["Outputs"]["ReleaseArn"]["Value"]


def test_model_without_batch_has_a_table_and_nothing_that_writes_it(repository: Repository, change: Change) -> None:
    for section in ("batch", "monitoring"):
        change(DECLARED, rf"\n{section}:\n(.+\n)+", "\n")
    (model,) = [each for each in load(repository).environments[0].models if each.name == "block_time"]
    assert model.batch is None


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ("schedule: every day", r"batch\.schedule .*cron\(0 6 \* \* \? \*\), six fields, or rate\(1 day\), got"),
        ("schedule: cron(0 7 * * * *)", r"batch\.schedule:? must have a \?"),
        ("new_dat: true", r"batch\.new_dat .*did you mean 'new_data'"),
        ("catch_up_days: 0", r"batch\.catch_up_days must be at least 1, got 0"),
        ("instance_type: m5.large", r"batch\.instance_type .*ml\.m5\.xlarge.*got 'm5\.large'"),
        ("instance_count: 0", r"batch\.instance_count must be at least 1, got 0"),
        ("max_payload_mb: 101", r"batch\.max_payload_mb must be at most 100, got 101"),
        (
            "max_concurrent_transforms: 20",
            r"batch\.max_concurrent_transforms:? times max_payload_mb may be 100 at most.*got 120; lower one",
        ),
    ],
)
def test_setting_that_can_not_be_is_named_with_its_fix(
    repository: Repository, change: Change, settings: str, finding: str
) -> None:
    change(DECLARED, r"^batch:\n(.+\n)+", f"batch:\n  {settings}\n")
    told = problems(repository)
    assert any(re.search(finding, each) for each in told), told
    assert all(f"{DECLARED}:" in each for each in told)
