"""`mlops train`: through the state machine of the triggers, followed to the end, with the reason when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_aws.server import LocalAwsServer, running
from local_aws.service import Image
from mlops_cli.repository import ROOT
from mlops_cli.training import parameters_of
from mlops_constructs.trigger_definition import NeededFile, trigger_definition

NAME = "dev-flight-delay"
ROLE = "arn:aws:iam::123456789012:role/training"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sleepy:1"
# says nothing for as long as it is told to
SLEEPY = "import sys, time; time.sleep(float(sys.argv[1]))"
PARAMETERS = [
    {"Name": "Outcome", "Type": "String", "DefaultValue": "good"},
    {"Name": "Seconds", "Type": "String", "DefaultValue": "0"},
]
STEPS = [
    {
        "Name": "Train",
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": IMAGE, "ContainerArguments": [{"Get": "Parameters.Seconds"}]},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
            },
        },
    },
    {
        "Name": "Gate",
        "Type": "Condition",
        "DependsOn": ["Train"],
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": {"Get": "Parameters.Outcome"}, "RightValue": "good"}],
            "IfSteps": [],
            "ElseSteps": [
                {"Name": "Rejected", "Type": "Fail", "Arguments": {"ErrorMessage": {"Get": "Parameters.Outcome"}}}
            ],
        },
    },
]


@dataclass
class Platform:
    """A local AWS with what the training stack of flight_delay leaves there."""

    server: LocalAwsServer
    machine: str = ""

    def client(self, service: str) -> Any:
        return self.server.context.client(service)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.port}",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mlops_cli", "train", "flight_delay", *words],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(self, *words: str) -> subprocess.CompletedProcess[str]:
        run = self.start(*words)
        output, errors = run.communicate(timeout=120)
        return subprocess.CompletedProcess(words, run.returncode, output, errors)

    def executions(self) -> list[dict[str, Any]]:
        return list(self.client("sagemaker").list_pipeline_executions(PipelineName=NAME)["PipelineExecutionSummaries"])


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("local-aws")
    images = {"sleepy": Image(sys.executable, (sys.executable, "-c", SLEEPY))}
    with running(folder, images) as server:
        made = Platform(server)
        definition = {"Version": "2020-12-01", "Parameters": PARAMETERS, "Steps": STEPS}
        made.client("sagemaker").create_pipeline(
            PipelineName=NAME, RoleArn=ROLE, PipelineDefinition=json.dumps(definition), ClientRequestToken="1" * 32
        )
        machine = made.client("stepfunctions").create_state_machine(
            name="trigger", definition=json.dumps(trigger_definition(NAME)), roleArn=ROLE
        )
        made.machine = machine["stateMachineArn"]
        outputs = {"PipelineName": NAME, "TrainingTriggerArn": machine["stateMachineArn"]}
        template = {
            "Resources": {"Nothing": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        cloudformation = made.client("cloudformation")
        cloudformation.create_stack(StackName=f"{NAME}-training", TemplateBody=json.dumps(template))
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=f"{NAME}-training", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        yield made


@pytest.fixture(autouse=True)
def _nothing_runs(platform: Platform) -> Iterator[None]:
    yield
    deadline = time.monotonic() + 60
    while any(each["PipelineExecutionStatus"] == "Executing" for each in platform.executions()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_training_that_is_followed_tells_each_step_and_how_it_ended(platform: Platform) -> None:
    told = platform.train("--follow")
    assert told.returncode == 0, told.stderr
    execution = platform.executions()[0]["PipelineExecutionArn"]
    lines = told.stdout.splitlines()
    assert f"execution {execution}" in lines
    assert [line.split(",")[0] for line in lines if "succeeded" in line] == [
        "Train succeeded", "Gate succeeded", f"{execution} succeeded",
    ]  # fmt: skip


def test_training_that_fails_says_why_and_so_does_the_exit_code(platform: Platform) -> None:
    told = platform.train("--follow", "--parameter", "Outcome=worse than the champion")
    assert told.returncode == 1
    assert "failed: Rejected: worse than the champion" in told.stderr
    assert "Traceback" not in told.stderr


def test_failed_job_s_reason_is_told(platform: Platform) -> None:
    told = platform.train("-f", "-p", "Seconds=soon")
    assert told.returncode == 1
    assert "Train: AlgorithmError: " in told.stderr
    assert "could not convert string to float: 'soon'" in told.stderr


def test_training_without_data_says_what_it_waits_for(platform: Platform) -> None:
    states, machine = platform.client("stepfunctions"), platform.machine
    before = len(platform.executions())
    platform.client("s3").create_bucket(Bucket="nothing-published")
    needed = trigger_definition(NAME, NeededFile("nothing-published", "flights/manifest.json"))
    states.update_state_machine(stateMachineArn=machine, definition=json.dumps(needed))
    try:
        told = platform.train("--follow")
    finally:
        states.update_state_machine(stateMachineArn=machine, definition=json.dumps(trigger_definition(NAME)))
    assert told.returncode == 1
    assert "has no data yet, s3://nothing-published/flights/manifest.json" in told.stderr
    assert len(platform.executions()) == before


def test_training_that_is_not_followed_goes_on_by_itself(platform: Platform) -> None:
    before = len(platform.executions())
    told = platform.train("-p", "Outcome=bad")
    assert told.returncode == 0
    assert told.stdout.startswith("asked for: arn:aws:states:")
    deadline = time.monotonic() + 30
    while len(platform.executions()) == before or platform.executions()[0]["PipelineExecutionStatus"] != "Failed":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_interrupt_ends_the_following_and_not_the_training(platform: Platform) -> None:
    run = platform.start("--follow", "--parameter", "Seconds=3")
    assert run.stdout is not None
    while "Train executing" not in run.stdout.readline():
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "it goes on by itself: arn:aws:states:" in errors
    newest = platform.executions()[0]
    assert newest["PipelineExecutionStatus"] == "Executing"
    deadline = time.monotonic() + 30
    while platform.executions()[0]["PipelineExecutionStatus"] == "Executing":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert platform.executions()[0]["PipelineExecutionStatus"] == "Succeeded"


def test_parameter_that_the_pipeline_does_not_have_is_refused_before_anything_starts(platform: Platform) -> None:
    before = len(platform.executions())
    told = platform.train("--parameter", "Outcom=good")
    assert told.returncode == 1
    assert "has no parameter 'Outcom', it has Outcome, Seconds; did you mean Outcome?" in told.stderr
    assert len(platform.executions()) == before


def test_model_that_is_not_deployed_is_told(platform: Platform) -> None:
    told = platform.train("--environment", "staging")
    assert told.returncode == 1
    assert "cdk deploy 'staging/*'" in told.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["LastDay"], "Name=Value, as LastDay=2013-06-30, got 'LastDay'"),
        (["=1"], "got '=1'"),
        (["A=1", "A=2"], "A is given twice"),
    ],
)
def test_parameter_that_is_none_is_refused(words: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parameters_of(words)


def test_value_of_a_parameter_may_hold_anything() -> None:
    assert parameters_of(["Data=s3://lake/a=b/manifest.json", "Empty="]) == {
        "Data": "s3://lake/a=b/manifest.json", "Empty": "",
    }  # fmt: skip
