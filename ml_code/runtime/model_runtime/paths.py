"""Where SageMaker puts things in a container: everything lies below one base directory, `/opt/ml`.

A run outside a container sets SAGEMAKER_BASE_DIR, as SageMaker's own toolkits do; paths that a job's configuration
writes as `/opt/ml/...` are then found below that directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CONTAINER_BASE = PurePosixPath("/opt/ml")


@dataclass(frozen=True)
class ContainerPaths:
    """The documented directories and files, below `base`."""

    base: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ContainerPaths:
        """The base directory of this process: SAGEMAKER_BASE_DIR, or /opt/ml."""
        return cls(Path(environment.get("SAGEMAKER_BASE_DIR") or CONTAINER_BASE))

    def at(self, path: str) -> Path:
        """Where a path lies that was written for the container; a path outside /opt/ml stays as it is."""
        container_path = PurePosixPath(path)
        if container_path.is_relative_to(CONTAINER_BASE):
            return self.base / container_path.relative_to(CONTAINER_BASE)
        return Path(path)

    @property
    def hyperparameters(self) -> Path:
        """A training job's hyperparameters: JSON, all values strings."""
        return self.base / "input" / "config" / "hyperparameters.json"

    @property
    def resources(self) -> Path:
        """The hosts of a training job: `resourceconfig.json`."""
        return self.base / "input" / "config" / "resourceconfig.json"

    @property
    def checkpoints(self) -> Path:
        """What SageMaker keeps in S3 while a training job runs, and brings back before it starts again."""
        return self.base / "checkpoints"

    def channel(self, name: str) -> Path:
        """The directory of a training job's input channel."""
        return self.base / "input" / "data" / name

    @property
    def output_data(self) -> Path:
        """What becomes output.tar.gz after training, beside the model."""
        return self.base / "output" / "data"

    @property
    def model(self) -> Path:
        """What becomes model.tar.gz after training, and what it is unpacked to before serving."""
        return self.base / "model"

    def processing_input(self, name: str) -> Path:
        """Where a processing job finds an input."""
        return self.base / "processing" / "input" / name

    def processing_output(self, name: str) -> Path:
        """Where a processing job leaves an output."""
        return self.base / "processing" / "output" / name

    @property
    def processing_configuration(self) -> Path:
        """The processing job as it was asked for: `processingjobconfig.json`."""
        return self.base / "config" / "processingjobconfig.json"

    @property
    def failure(self) -> Path:
        """Becomes a training job's FailureReason (its first 1024 characters)."""
        return self.base / "output" / "failure"

    @property
    def message(self) -> Path:
        """Becomes a processing job's ExitMessage (its first 1024 bytes)."""
        return self.base / "output" / "message"
