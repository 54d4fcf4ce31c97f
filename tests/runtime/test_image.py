"""The image can't be built here; these tests keep its Dockerfile true to what runs in its place."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mlops_cli.local import images

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "ml_code" / "runtime"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, in order."""
    text = (RUNTIME / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, " ".join(arguments.split())) for name, _, arguments in (line.partition(" ") for line in lines)]


def only(name: str) -> str:
    (arguments,) = [arguments for each, arguments in instructions() if each == name]
    return arguments


def locked() -> dict[Requirement, list[str]]:
    """The requirements of the lock file with their hashes."""
    entries = (RUNTIME / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    parts = [entry.split(" --hash=") for entry in entries if entry.strip() and not entry.startswith("#")]
    return {Requirement(requirement): hashes for requirement, *hashes in parts}


def test_the_container_starts_with_the_command_that_stands_for_it_locally() -> None:
    (image,) = images().values()
    assert tuple(json.loads(only("ENTRYPOINT"))) == image.entrypoint


def test_the_base_is_one_slim_release_of_the_python_that_the_lock_was_resolved_for() -> None:
    resolved_for = re.search(r'"--python-version", "([\d.]+)"', (ROOT / "tools" / "lock.py").read_text())
    base = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-bookworm", only("FROM"))
    assert resolved_for is not None
    assert base is not None
    assert base[1] == resolved_for[1]


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    copied = [arguments.split()[:-1] for name, arguments in instructions() if name == "COPY"]
    sources = {source for each in copied for source in each}
    kept = {line[1:] for line in (RUNTIME / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == kept
    for source in sources:
        assert (RUNTIME / source).exists()
    assert (RUNTIME / "model_runtime" / "__main__.py").is_file()


def test_packages_are_installed_by_hash_from_wheels_alone() -> None:
    (install,) = [arguments for name, arguments in instructions() if name == "RUN" and " pip " in arguments]
    assert "--require-hashes" in install
    assert "--only-binary=:all:" in install
    assert not re.search(r"\s(?!/opt/runtime/)[\w.]+==", install)


def test_logs_are_not_held_back_and_the_runtime_is_importable_from_any_directory() -> None:
    environment = dict(part.split("=", 1) for part in only("ENV").split())
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"
    target = [arguments.split()[-1] for name, arguments in instructions() if name == "COPY"]
    assert f"{environment['PYTHONPATH']}/model_runtime" in target


@pytest.mark.parametrize("requirement", locked(), ids=lambda requirement: str(requirement.name))
def test_a_locked_package_is_pinned_and_hashed(requirement: Requirement) -> None:
    hashes = locked()[requirement]
    assert re.fullmatch(r"==[\w.]+", str(requirement.specifier))
    assert hashes
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes)


def test_local_jobs_run_with_the_versions_that_the_image_holds() -> None:
    apply_here = [each for each in locked() if each.marker is None or each.marker.evaluate()]
    assert {each.name: version(each.name) for each in apply_here} == {
        each.name: str(each.specifier).removeprefix("==") for each in apply_here
    }


def test_the_image_holds_neither_spark_nor_cdk_nor_the_sagemaker_sdk() -> None:
    names = {canonicalize_name(each.name) for each in locked()}
    assert {"xgboost-cpu", "polars", "uvicorn"} <= names
    assert not names & {"pyspark", "awsglue", "sagemaker", "aws-cdk-lib"}
