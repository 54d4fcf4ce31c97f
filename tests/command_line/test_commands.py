"""The command line's manners: clear errors, exit codes, nothing done by accident."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws import process
from local_aws.server import LocalAwsServer, running
from mlops_cli import teardown
from mlops_cli.deployment import Deployment, DeploymentError
from mlops_cli.local import ROOT


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsServer]:
    with running(tmp_path_factory.mktemp("local-aws")) as found:
        yield found


class Session:
    """Clients of the local AWS of a test."""

    def __init__(self, server: LocalAwsServer) -> None:
        self._context = server.context

    def client(self, service: str) -> Any:
        return self._context.client(service)


def mlops(*words: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    local = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return subprocess.run(
        [sys.executable, "-m", "mlops_cli", *words],
        cwd=ROOT,
        env=kept | local,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_missing_deployment_is_one_clear_message(server: LocalAwsServer) -> None:
    told = mlops("predict", "flight_delay", "--sample", "1", port=server.port)
    assert told.returncode == 1
    assert "the stack dev-flight-delay-serving isn't deployed" in told.stderr
    assert "cdk deploy 'dev/*'" in told.stderr
    assert "Traceback" not in told.stderr


def test_unknown_model_is_named(server: LocalAwsServer) -> None:
    told = mlops("predict", "flight_dely", "--sample", "1", port=server.port)
    assert told.returncode == 1
    assert "flight_dely" in told.stderr
    assert "flight_delay" in told.stderr
    assert "Traceback" not in told.stderr


def test_no_local_aws_is_exit_code_1_with_the_way_to_one(tmp_path: Path) -> None:
    del tmp_path
    told = mlops("local", "status", "--port", "1999")
    assert told.returncode == 1
    assert "mlops local start --port 1999" in told.stdout


def test_environment_variables_point_every_tool_at_the_port() -> None:
    told = mlops("local", "env", "--port", "1999").stdout
    assert "export AWS_ENDPOINT_URL=http://localhost:1999" in told
    assert "export AWS_ENDPOINT_URL_S3=http://127.0.0.1:1999" in told
    os.environ["HTTPS_PROXY"] = "http://proxy:3128"
    assert "export NO_PROXY=localhost,127.0.0.1" in mlops("local", "env", "--port", "1999").stdout


def test_settings_that_lead_to_an_account_are_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "https://api.sagemaker.us-east-1.amazonaws.com")
    monkeypatch.setenv("NO_PROXY", "intranet")
    process.point_at(1999)
    left = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    ours = {name: value for name, value in process.environment(1999).items() if name.startswith("AWS_")}
    assert left == ours | process.NO_SETTINGS_FILES
    assert os.environ["no_proxy"] == "intranet,localhost,127.0.0.1"


def test_emptying_asks_first_and_takes_no_for_an_answer(server: LocalAwsServer) -> None:
    told = mlops("empty", "dev", port=server.port)  # no standard input: nobody says yes
    assert told.returncode != 0
    assert "Delete all data" in told.stdout


def test_emptying_spares_what_the_stacks_retain(server: LocalAwsServer) -> None:
    cloudformation, s3 = server.context.client("cloudformation"), server.context.client("s3")
    bucket = '{"Type":"AWS::S3::Bucket","Properties":{"VersioningConfiguration":{"Status":"Enabled"}}'
    body = '{"Resources":{"Going":' + bucket + '},"Kept":' + bucket + ',"DeletionPolicy":"Retain"}}}'
    cloudformation.create_stack(StackName="test-data", TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="test-data", WaiterConfig={"Delay": 1})
    names = {}
    for key in ("Going", "Kept"):
        found = cloudformation.describe_stack_resource(StackName="test-data", LogicalResourceId=key)
        names[key] = found["StackResourceDetail"]["PhysicalResourceId"]
        for content in (b"one", b"two"):
            s3.put_object(Bucket=names[key], Key="a", Body=content)
    deployment = Deployment("test", Session(server))
    told: list[str] = []
    assert teardown.empty(deployment, told.append) == 2
    assert told == [f"{names['Going']}: 2 deleted"]
    assert not s3.list_object_versions(Bucket=names["Going"]).get("Versions")
    assert len(s3.list_object_versions(Bucket=names["Kept"])["Versions"]) == 2


def test_emptying_an_environment_that_is_not_there_is_refused(server: LocalAwsServer) -> None:
    with pytest.raises(DeploymentError, match="'nowhere' has no stacks"):
        teardown.empty(Deployment("nowhere", Session(server)), lambda _: None)
