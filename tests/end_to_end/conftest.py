"""The demo, run once as a user runs it, on a machine without Java and Node, on a port of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from botocore.config import Config

from local_aws import process
from mlops_cli import scoring
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.data.days import partitions
from mlops_cli.deployment import Deployment
from mlops_cli.local import state_dir
from mlops_cli.repository import ROOT, declaration

DEMO_SECONDS = 600
COMMAND_SECONDS = 300
GROUP = ENDPOINT = "dev-flight-delay"
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


def flights_of_july(platform: Platform) -> Iterator[bytes]:
    """Published rows as the endpoint takes them, again and again."""
    dataset, data = deployed_dataset(platform.deployment, "flights"), declaration("flight_delay")["data"]
    records = partitions(platform.client("glue"), dataset.database, dataset.name, date(2013, 7, 1), date(2013, 7, 31))
    some = [records[day].location for day in sorted(records)[::7]]
    rows = pl.concat(scoring.read_parquet(platform.client("s3"), f"{each}/").select(data["features"]) for each in some)
    bodies = rows.sample(fraction=1, shuffle=True, seed=1).write_csv(include_header=False).encode().splitlines()
    return cycle(bodies)


@contextmanager
def steady_client(platform: Platform) -> Iterator[None]:
    """Ask the endpoint about one flight after another; what it says in the end is that every answer was one.

    They are flights of July: an endpoint that is asked the same all the time predicts otherwise than when it was
    trained, and its release is taken back.
    """
    rows = flights_of_july(platform)
    once = Config(retries={"total_max_attempts": 1})
    runtime = platform.deployment.session.session.client(
        "sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{platform.port}", config=once
    )
    failures: list[Exception] = []
    answers, stop = [0], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="text/csv", Body=next(rows))["Body"].read()
                answers[0] += 1
            except Exception as error:
                failures.append(error)
            time.sleep(0.01)

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield
    finally:
        stop.set()
        client.join(timeout=30)
    assert not failures
    assert answers[0] > 50


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
