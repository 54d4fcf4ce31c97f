"""The demo, run once as a user runs it, on a machine without Java and Node, on a port of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from local_aws import process
from mlops_cli.deployment import Deployment
from mlops_cli.local import state_dir
from mlops_cli.repository import ROOT

DEMO_SECONDS = 600
COMMAND_SECONDS = 300
GROUP = "dev-flight-delay"
# what `make demo` has to bring along itself
MISSING_PROGRAMS = ("java", "javac", "node", "npm", "npx", "cdk", "aws")


@dataclass(frozen=True)
class Platform:
    """The platform as the demo left it, and the ways in."""

    port: int
    told: str
    variables: Mapping[str, str]
    deployment: Deployment

    def client(self, service: str) -> Any:
        return self.deployment.client(service)

    def output(self, stack: str, key: str) -> str:
        return self.deployment.outputs(stack)[key]

    def run(
        self, command: Sequence[str], directory: Path = ROOT, *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment against this local AWS."""
        done = subprocess.run(
            command,
            cwd=directory,
            env=dict(self.variables),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    port = free_port()
    variables = {
        "PATH": bare_path(tmp_path_factory.mktemp("bin")),
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LANG": "C.UTF-8",
    }
    assert shutil.which("java", path=variables["PATH"]) is None
    try:
        demo = subprocess.run(
            [sys.executable, "-m", "mlops_cli", "demo", "--port", str(port)],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
            timeout=DEMO_SECONDS,
            check=False,
        )
        assert demo.returncode == 0, demo.stdout + demo.stderr
        local = process.environment(port)
        session = boto3.session.Session(
            aws_access_key_id=local["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=local["AWS_SECRET_ACCESS_KEY"],
            region_name=local["AWS_REGION"],
        )
        made = Platform(port, demo.stdout, variables | local, Deployment("dev", Local(session, port)))
        # or all days that a chapter lands were predicted as well
        switch_batch(made, on=False)
        yield made
    finally:
        process.stop(state_dir(port))
        shutil.rmtree(state_dir(port), ignore_errors=True)


def switch_batch(platform: Platform, *, on: bool) -> None:
    """Have published days predicted, or not."""
    events = platform.client("events")
    switch = events.enable_rule if on else events.disable_rule
    for rule in events.list_rules()["Rules"]:
        if "-batch-" in rule["Name"] and "NewData" in rule["Name"]:
            switch(Name=rule["Name"])


def register_like_the_first(platform: Platform, **changes: Any) -> str:
    """Register a version with the artifact of the first one, or with another."""
    sagemaker = platform.client("sagemaker")
    oldest = sagemaker.list_model_packages(ModelPackageGroupName=GROUP, SortBy="CreationTime", SortOrder="Ascending")
    first = sagemaker.describe_model_package(ModelPackageName=oldest["ModelPackageSummaryList"][0]["ModelPackageArn"])
    specification = first["InferenceSpecification"]
    container = {name: specification["Containers"][0][name] for name in ("Image", "ModelDataUrl")} | changes
    made = sagemaker.create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": specification["SupportedContentTypes"],
            "SupportedResponseMIMETypes": specification["SupportedResponseMIMETypes"],
        },
    )
    return str(made["ModelPackageArn"])


@dataclass(frozen=True)
class Local:
    """A session whose clients talk to one local AWS, whatever the environment variables say."""

    session: Any
    port: int

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=f"http://127.0.0.1:{self.port}")


def bare_path(directory: Path) -> str:
    """Return a PATH with this environment's programs first, then the machine's without those that may be missing."""
    own = Path(sys.executable).parent
    for folder in os.environ["PATH"].split(os.pathsep):
        if Path(folder).is_dir() and Path(folder).resolve() != own.resolve():
            for program in Path(folder).iterdir():
                link = directory / program.name
                if program.name not in MISSING_PROGRAMS and not link.is_symlink():
                    link.symlink_to(program)
    return f"{own}{os.pathsep}{directory}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
