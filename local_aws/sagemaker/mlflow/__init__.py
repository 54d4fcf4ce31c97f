"""MLflow apps: each is a real MLflow server on this machine."""

from __future__ import annotations

from local_aws.sagemaker.mlflow.apps import MlflowApps

__all__ = ["MlflowApps"]
