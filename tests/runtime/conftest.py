"""Containers of the runtime, and a model that was trained in one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.container import Container


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A container with nothing in it."""
    return Container(tmp_path / "ml")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory that a training job left; not to be changed."""
    job = Container(tmp_path_factory.mktemp("training") / "ml")
    job.training_job({"rounds": "20"})
    done = job.run("train")
    assert done.returncode == 0, done.stderr
    return job.base / "model"


@pytest.fixture
def model_directory(container: Container, trained: Path) -> Path:
    """A copy of the trained model, where the container's server looks for it."""
    shutil.copytree(trained, container.base / "model")
    return container.base / "model"


@pytest.fixture(scope="module")
def monitored_endpoint(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A mocked AWS with an endpoint that serves a version of the toy."""
    from moto import mock_aws

    from tests.runtime.monitored import Monitored

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield Monitored(trained, tmp_path_factory.mktemp("monitored"))


@pytest.fixture
def monitored(monitored_endpoint: Any, container: Container, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The endpoint `dev-toy`, which serves a version since a month; nothing is captured, and no report written."""
    for name, value in {"MODEL_NAME": "toy", "METRICS_NAMESPACE": "mlops", "METRICS_ENVIRONMENT": "dev"}.items():
        monkeypatch.setenv(name, value)
    monitored_endpoint.begin(container, monkeypatch)
    return monitored_endpoint
