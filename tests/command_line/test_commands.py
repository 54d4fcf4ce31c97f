"""The command line's manners: clear errors, exit codes, nothing done by accident."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_aws import process
from local_aws.server import LocalAwsServer, running
from mlops_cli.local import tracking_variables
from mlops_cli.repository import ROOT


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


def test_unknown_environment_is_named_with_those_that_there_are(server: LocalAwsServer) -> None:
    told = mlops("predict", "flight_delay", "--sample", "1", "-e", "devv", port=server.port)
    assert "no environment 'devv': config/platform.yaml has dev, staging, prod" in told.stderr


def test_file_and_sample_exclude_each_other(server: LocalAwsServer) -> None:
    told = mlops("predict", "flight_delay", "README.md", "--sample", "1", port=server.port)
    assert "either a CSV file, or a number of published rows" in told.stderr


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


def test_mlflow_is_pointed_at_the_app_of_the_environment_and_at_no_other() -> None:
    apps = {name: {"arn": f"arn-of-{name}", "url": f"http://127.0.0.1/{name}"} for name in ("mlops-dev", "mlops-prod")}
    assert tracking_variables(apps, "prod") == {
        "MLFLOW_TRACKING_URI": "arn-of-mlops-prod",
        "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": "http://127.0.0.1/mlops-prod",
    }
    assert tracking_variables(apps, "staging") == {}
    assert "MLFLOW" not in mlops("local", "env", "--port", "1999").stdout
    os.environ["MLFLOW_TRACKING_URI"] = "arn-of-an-app-that-has-gone"
    assert "unset MLFLOW_TRACKING_URI" in mlops("local", "env", "--port", "1999").stdout


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


@dataclass
class Deployed:
    """A stack of two buckets with two versions of an object in each: one that goes with its stack, one that stays."""

    going: str
    kept: str


@pytest.fixture
def deployed(server: LocalAwsServer, request: pytest.FixtureRequest) -> Iterator[Callable[..., Deployed]]:
    cloudformation, s3 = server.context.client("cloudformation"), server.context.client("s3")
    stacks = []

    def deploy(name: str, **tags: str) -> Deployed:
        bucket = {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}}
        body = json.dumps({"Resources": {"Going": bucket, "Kept": bucket | {"DeletionPolicy": "Retain"}}})
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        cloudformation.create_stack(StackName=name, TemplateBody=body, Tags=listed)
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        stacks.append(name)
        found = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}
        for bucket_name in names.values():
            for content in (b"one", b"two"):
                s3.put_object(Bucket=bucket_name, Key="a", Body=content)
        return Deployed(names["Going"], names["Kept"])

    yield deploy
    for name in stacks:
        cloudformation.delete_stack(StackName=name)


def versions(server: LocalAwsServer, bucket: str) -> int:
    return len(server.context.client("s3").list_object_versions(Bucket=bucket).get("Versions", []))


def test_emptying_spares_what_the_stacks_retain(server: LocalAwsServer, deployed: Callable[..., Deployed]) -> None:
    ours = deployed("dev-data", platform="mlops", environment="dev")
    told = mlops("empty", "dev", "--yes", port=server.port)
    assert told.returncode == 0, told.stderr
    assert f"{ours.going}: 2 deleted" in told.stdout
    assert ours.kept not in told.stdout
    assert (versions(server, ours.going), versions(server, ours.kept)) == (0, 2)


def test_emptying_leaves_stacks_of_others_alone(server: LocalAwsServer, deployed: Callable[..., Deployed]) -> None:
    deployed("dev-data", platform="mlops", environment="dev")
    others = [
        deployed("dev-webshop"),
        deployed("dev-other-platform", platform="other", environment="dev"),
        deployed("dev-2-data", platform="mlops", environment="dev2"),
    ]
    assert mlops("empty", "dev", "--yes", port=server.port).returncode == 0
    assert [versions(server, other.going) for other in others] == [2, 2, 2]


def test_emptying_shows_what_will_go_and_asks(server: LocalAwsServer, deployed: Callable[..., Deployed]) -> None:
    ours = deployed("dev-data", platform="mlops", environment="dev")
    told = mlops("empty", "dev", port=server.port)  # no standard input: nobody says yes
    assert told.returncode != 0
    assert f"dev-data: {ours.going}" in told.stdout
    assert "Delete everything that these hold" in told.stdout
    assert versions(server, ours.going) == 2


def test_emptying_an_environment_that_is_not_there_is_refused(server: LocalAwsServer) -> None:
    told = mlops("empty", "nowhere", "--yes", port=server.port)
    assert told.returncode == 1
    assert "mlops has no stacks for the environment 'nowhere'" in told.stderr


def test_proxy_of_the_machine_is_not_asked_for_the_local_aws(server: LocalAwsServer, tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"pid": os.getpid(), "port": server.port}))
    code = f"from local_aws import process; from pathlib import Path; print(process.status(Path({str(tmp_path)!r})))"
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | proxy, capture_output=True, text=True, timeout=60
    )
    assert "endpoint_url" in told.stdout, told.stderr
