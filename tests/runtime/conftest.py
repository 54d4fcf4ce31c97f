"""Containers of the runtime, and a model that was trained in one."""

from __future__ import annotations

import shutil
from pathlib import Path

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
