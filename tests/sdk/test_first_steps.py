"""The first notebook, executed as a user of the local AWS does it: `make test-sdk`.

The platform is deployed with the CDK CLI, two months of flights land and are published, and the notebook runs with what
`mlops local env` says and nothing else.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="runs with make test-sdk")
nbclient = pytest.importorskip("nbclient", reason="runs with make test-sdk")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "ml_code/notebooks/first_steps.ipynb"
PYTHON = Path(os.environ.get("PLATFORM_PYTHON", ROOT / ".venv/bin/python"))
CDK = ROOT / "node_modules/.bin/cdk"
DAYS = ("2013-01-01", "2013-02-28")
CALLS = Path(__file__).with_name("first_steps_calls.json")
RECORDER = """
import os
import botocore.client

called = botocore.client.BaseClient._make_api_call


def recorded(client, operation, arguments):
    with open(os.environ["RECORDED_CALLS"], "a") as calls:
        calls.write(f"{client.meta.service_model.signing_name}:{operation}\\n")
    return called(client, operation, arguments)


botocore.client.BaseClient._make_api_call = recorded
"""
PUBLISHED_SECONDS = 400
EXECUTED_SECONDS = 400


@pytest.fixture(scope="module")
def platform() -> Iterator[dict[str, str]]:
    """The variables that point at a local AWS with the platform in it and data published."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "SAGEMAKER_"))}
    own["PATH"] = f"{PYTHON.parent}{os.pathsep}{own['PATH']}"
    run("-m", "mlops_cli", "local", "start", "--port", port, variables=own)
    try:
        there = own | exported(run("-m", "mlops_cli", "local", "env", "--port", port, variables=own))
        account = f"aws://{there['CDK_DEFAULT_ACCOUNT']}/{there['CDK_DEFAULT_REGION']}"
        call(str(CDK), "bootstrap", account, variables=there)
        call(str(CDK), "deploy", "dev/*", "--require-approval", "never", variables=there)
        run("-m", "mlops_cli", "data", "land", *DAYS, variables=there)
        wait_until_published(there)
        # once more: now there is an MLflow app
        yield own | exported(run("-m", "mlops_cli", "local", "env", "--port", port, variables=own))
    finally:
        run("-m", "mlops_cli", "local", "stop", "--port", port, variables=own)
        shutil.rmtree(ROOT / ".local_aws" / port, ignore_errors=True)


def run(*arguments: str, variables: Mapping[str, str]) -> str:
    """What a program of the project's environment prints."""
    return call(str(PYTHON), *arguments, variables=variables)


def call(*command: str, variables: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=dict(variables), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def exported(told: str) -> dict[str, str]:
    """The variables that a shell would have after `eval`."""
    words = [shlex.split(line.removeprefix("export "))[0] for line in told.splitlines() if line.startswith("export ")]
    return dict(word.partition("=")[::2] for word in words)


def wait_until_published(variables: Mapping[str, str]) -> None:
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while True:
        told = json.loads(run("-m", "mlops_cli", "data", "status", "--json", variables=variables))
        states = {day["state"] for day in told["days"]}
        if len(told["days"]) == 59 and states == {"published"}:
            return
        assert time.monotonic() < deadline, f"after {PUBLISHED_SECONDS} s the days are {states}"
        time.sleep(2)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for the calls to AWS that the notebook makes, one a line."""
    return tmp_path_factory.mktemp("notebook") / "calls"


@pytest.fixture(scope="module")
def executed(platform: dict[str, str], calls: Path) -> Any:
    """The notebook with what its cells have printed and drawn."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(RECORDER))
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(
        platform | {"RECORDED_CALLS": str(calls), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    )
    try:
        return nbclient.NotebookClient(notebook, timeout=EXECUTED_SECONDS, kernel_name="python3").execute()
    finally:
        os.environ.clear()
        os.environ.update(before)


def printed(notebook: Any) -> str:
    """What all cells have printed."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")


def test_notebook_explores_what_is_published(executed: Any) -> None:
    assert "12,729 rows of 14 days, 2013-02-15 to 2013-02-28; 59 days are published" in printed(executed)


def test_notebook_starts_a_training_and_reads_what_the_gate_said(executed: Any) -> None:
    told = printed(executed)
    assert ": Succeeded" in told or ": Failed" in told
    assert any(f"{verdict} - auc 0." in told for verdict in ("passed", "rejected")), told


def test_notebook_shows_the_run_of_mlflow_with_its_parameters(executed: Any) -> None:
    told = printed(executed)
    assert "/Train, FINISHED" in told
    assert "early_stopping_rounds" in told


def test_notebook_draws_features_judgement_and_learning(executed: Any) -> None:
    drawn = [
        output
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == 3


def test_notebook_calls_what_a_team_is_known_to_need(executed: Any, calls: Path) -> None:
    # The tests of the deployment hold this list against the permissions of a team.
    assert sorted(set(calls.read_text().split())) == json.loads(CALLS.read_text())
