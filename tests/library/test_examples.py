"""The examples synthesize where nothing of this repository but the library can be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_constructs.pipeline_definition import SCHEMA_VERSION

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/tuned_training"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template of the example, synthesized in a folder of its own."""
    copy = tmp_path_factory.mktemp("example") / "app"
    shutil.copytree(EXAMPLE, copy)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    alone = "import importlib.util as u; assert not any(u.find_spec(n) for n in ('stacks', 'local_aws', 'mlops_cli'))"
    run = subprocess.run(
        [sys.executable, "-c", f"{alone}; import runpy; runpy.run_path('app.py')"],
        cwd=copy,
        env={**environment, "CDK_OUTDIR": "out", "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr
    return dict(json.loads((copy / "out/churn.template.json").read_text()))


def test_the_example_has_under_forty_lines() -> None:
    assert len((EXAMPLE / "app.py").read_text().splitlines()) < 40


def test_the_pipeline_of_the_example_tunes_and_registers_the_best_model(template: dict[str, Any]) -> None:
    resources = template["Resources"].values()
    (pipeline,) = (each["Properties"] for each in resources if each["Type"] == "AWS::SageMaker::Pipeline")
    body = pipeline["PipelineDefinition"]["PipelineDefinitionBody"]["Fn::Join"][1]
    definition = json.loads("".join(part if isinstance(part, str) else "token" for part in body))
    assert definition["Version"] == SCHEMA_VERSION
    tune, register = definition["Steps"]
    assert (tune["Type"], register["Type"]) == ("Tuning", "RegisterModel")
    ranges = tune["Arguments"]["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert set(ranges) == {"IntegerParameterRanges", "ContinuousParameterRanges"}
    model = json.dumps(register["Arguments"]["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])
    assert "Steps.Tune.BestTrainingJob.TrainingJobName" in model


def test_the_pipeline_of_the_example_may_tune(template: dict[str, Any]) -> None:
    policies = [each for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Policy"]
    statements = [each for policy in policies for each in policy["Properties"]["PolicyDocument"]["Statement"]]
    (tuning,) = (each for each in statements if "sagemaker:CreateHyperParameterTuningJob" in each["Action"])
    assert set(tuning["Action"]) == {
        "sagemaker:AddTags", "sagemaker:CreateHyperParameterTuningJob", "sagemaker:DescribeHyperParameterTuningJob",
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob", "sagemaker:StopHyperParameterTuningJob",
    }  # fmt: skip
    assert ":hyper-parameter-tuning-job/*" in json.dumps(tuning["Resource"])
