"""Synth: it needs nothing but the repository, and says the same thing every time."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.assemblies import ROOT, Template, Templates, synthesize
from tests.deployment.snapshots import readable

STACKS = (
    "block-time-batch", "block-time-monitoring", "block-time-training", "data", "flight-delay-batch",
    "flight-delay-monitoring", "flight-delay-serving", "flight-delay-training", "foundation", "studio",
)  # fmt: skip


def test_every_environment_synthesizes_with_all_its_stacks(templates: Templates) -> None:
    assert sorted(templates) == sorted(f"{name}/{stack}" for name in ("dev", "staging", "prod") for stack in STACKS)


def test_two_synths_are_the_same_byte_by_byte(assembly: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    no_network = ("unshare", "-rn")
    prefix = no_network if subprocess.run([*no_network, "true"], capture_output=True).returncode == 0 else ()
    synthesize(
        again,
        cwd=tmp_path,
        prefix=prefix,
        PYTHONHASHSEED="4711",
        TZ="Pacific/Kiritimati",
        LC_ALL="C",
        HTTPS_PROXY="http://127.0.0.1:9",
        AWS_EC2_METADATA_DISABLED="true",
    )

    def files(folder: Path) -> list[str]:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    assert files(again) == files(assembly)
    _, different, unreadable = filecmp.cmpfiles(assembly, again, files(again), shallow=False)
    assert (different, unreadable) == ([], [])


def test_nothing_of_this_machine_is_in_the_assembly(assembly: Path) -> None:
    for path in assembly.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert str(ROOT) not in text, path
        assert str(Path.home()) not in text, path


def test_no_stack_brings_a_function_or_a_custom_resource(templates: Templates, full: Templates) -> None:
    for name, template in {**templates, **full}.items():
        kinds = {resource["Type"] for resource in template["Resources"].values()}
        assert not [
            kind for kind in kinds if kind.startswith(("AWS::Lambda::", "Custom::", "AWS::CloudFormation::"))
        ], name


def definition_of(template: Template) -> dict[str, Any]:
    """The definition of the stack's pipeline."""
    resources = readable(template)["Resources"].values()
    (pipeline,) = [each["Properties"] for each in resources if each["Type"] == "AWS::SageMaker::Pipeline"]
    return dict(pipeline["PipelineDefinition"]["PipelineDefinitionBody"])


def jobs_of(template: Template) -> list[dict[str, Any]]:
    """What the pipeline's Processing and Training steps ask for."""
    steps = definition_of(template)["Steps"]
    return [step["Arguments"] for step in steps if step["Type"] in {"Processing", "Training"}]


def test_jobs_read_files_and_whole_folders_but_nothing_that_begins_like_one(templates: Templates) -> None:
    # SageMaker's S3Prefix `lake/late` is `lake/late_v2/...` too.
    for job in jobs_of(templates["dev/flight-delay-training"]):
        sources = [each["S3Input"] for each in job.get("ProcessingInputs", [])]
        sources += [each["DataSource"]["S3DataSource"] for each in job.get("InputDataConfig", [])]
        assert {source["S3DataType"] for source in sources} <= {"S3Prefix", "ManifestFile"}
        for uri in (source["S3Uri"] for source in sources if source["S3DataType"] == "S3Prefix"):
            if isinstance(uri, dict) and "Get" in uri:
                assert uri["Get"].endswith("S3ModelArtifacts")
            else:
                text = uri if isinstance(uri, str) else uri["Std:Join"]["Values"][-1]
                assert text.endswith(("/", ".zip>")), text  # code is a zip, whose place only deployment knows


@pytest.mark.parametrize("model", ["flight-delay", "block-time"])
def test_training_reads_the_days_of_the_manifest_s_version_and_an_execution_may_name_an_older_one(
    model: str, templates: Templates
) -> None:
    template = templates[f"dev/{model}-training"]
    prepare = jobs_of(template)[0]
    (listed,) = [each["S3Input"] for each in prepare["ProcessingInputs"] if each["InputName"] == "features"]
    version = {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Data"}, ".version"]}}
    assert listed["S3DataType"] == "ManifestFile"
    assert listed["S3Uri"] == {"Std:JsonGet": {"S3Uri": version, "Path": "manifest"}}
    (data,) = [each for each in definition_of(template)["Parameters"] if each["Name"] == "Data"]
    assert data["Type"] == "String"
    assert data["DefaultValue"].endswith("/flights/manifest.json")


@pytest.mark.parametrize(
    ("model", "problem"), [("flight-delay", "binary_classification"), ("block-time", "regression")]
)
def test_jobs_are_told_their_model_and_the_kind_of_its_problem(model: str, problem: str, templates: Templates) -> None:
    for job in jobs_of(templates[f"dev/{model}-training"]):
        told = {"MODEL_NAME": model.replace("-", "_"), "PROBLEM": problem}
        assert job["Environment"].items() >= told.items()


def test_what_learns_and_what_judges_is_tracked_and_nothing_else(templates: Templates) -> None:
    template = templates["dev/flight-delay-training"]
    tracked = {
        step["Name"]: "DATA_VERSION" in step["Arguments"]["Environment"]
        for step in definition_of(template)["Steps"]
        if "MLFLOW_TRACKING_URI" in step["Arguments"].get("Environment", {})
    }
    assert tracked == {"Train": True, "Evaluate": True}


def gate_of(template: Template) -> dict[str, Any]:
    (gate,) = [step["Arguments"] for step in definition_of(template)["Steps"] if step["Type"] == "Condition"]
    return dict(gate)


@pytest.mark.parametrize(
    ("model", "bound"),
    [
        ("flight-delay", ["--metric", "auc", "--minimum", "MinimumQuality"]),
        ("block-time", ["--metric", "mae", "--maximum", "MaximumError"]),
    ],
)
def test_bound_is_a_parameter_that_evaluation_is_told(model: str, bound: list[str], templates: Templates) -> None:
    *words, parameter = bound
    (evaluate,) = [
        step["Arguments"]
        for step in definition_of(templates[f"dev/{model}-training"])["Steps"]
        if step["Name"] == "Evaluate"
    ]
    told = evaluate["AppSpecification"]["ContainerArguments"]
    assert told[:3] == words
    assert {"Get": f"Parameters.{parameter}"} in told[3]["Std:Join"]["Values"]


@pytest.mark.parametrize("model", ["flight-delay", "block-time"])
def test_gate_does_what_the_evaluation_says_and_a_rejection_ends_with_its_reason(
    model: str, templates: Templates
) -> None:
    gate = gate_of(templates[f"dev/{model}-training"])
    (condition,) = gate["Conditions"]
    assert (condition["Type"], condition["RightValue"]) == ("Equals", True)
    assert condition["LeftValue"]["Std:JsonGet"]["Path"] == "gate.passed"
    (rejected,) = gate["ElseSteps"]
    assert rejected["Arguments"]["ErrorMessage"]["Std:JsonGet"]["Path"] == "gate.reason"


def test_a_model_without_serving_is_registered_but_has_no_stack_that_serves_it(templates: Templates) -> None:
    assert "dev/block-time-serving" not in templates
    (register,) = [step["Arguments"] for step in gate_of(templates["dev/block-time-training"])["IfSteps"]]
    assert "SupportedRealtimeInferenceInstanceTypes" not in register["InferenceSpecification"]


def test_jobs_and_endpoint_run_in_the_network_of_their_environment(full: Templates) -> None:
    place = {"Subnets": ["subnet-0000000a", "subnet-0000000b"], "SecurityGroupIds": ["sg-0000000c"]}
    jobs = jobs_of(full["full/flight-delay-training"])
    assert [job.get("VpcConfig") or job["NetworkConfig"]["VpcConfig"] for job in jobs] == [place] * 3
    resources = full["full/flight-delay-serving"]["Resources"].values()
    (model,) = [each for each in resources if each["Type"] == "AWS::SageMaker::Model"]
    assert model["Properties"]["VpcConfig"] == place


def test_without_a_network_jobs_run_in_sagemaker_s_own(templates: Templates) -> None:
    for job in jobs_of(templates["dev/flight-delay-training"]):
        assert not {"VpcConfig", "NetworkConfig"} & set(job)


def test_the_cdk_cli_ends_with_an_error_when_the_configuration_is_broken(tmp_path: Path) -> None:
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("stacks", "constructs", "ml_code"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "dev.yaml").write_text("removel: destroy\n")
    programs = Path(sys.executable).parent
    run = subprocess.run(
        [ROOT / "node_modules" / ".bin" / "cdk", "synth", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "CDK_DISABLE_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode != 0
    assert "config/dev.yaml:1: removel is not a known key; did you mean 'removal'?" in run.stderr
