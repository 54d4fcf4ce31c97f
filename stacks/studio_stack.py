"""Where experiments are tracked: the MLflow app."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from mlops_constructs.data_lake import DataLake
from mlops_constructs.experiments import Experiments

from .blueprint import Blueprint
from .foundation_stack import FoundationStack

MLFLOW_FOLDER = "mlflow/"


class StudioStack(Stack):
    """An app for experiments, whose files lie in the lake."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        foundation: FoundationStack,
        lake: DataLake,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        self.experiments = Experiments(
            self,
            "Experiments",
            app_name=blueprint.place,
            artifacts=lake.artifacts,
            prefix=MLFLOW_FOLDER,
            key=foundation.key,
            removal=blueprint.removal,
        )
        # Said here, so that it stays when a model stops to be trained.
        self.export_value(self.experiments.tracking_uri)
        CfnOutput(self, "MlflowTrackingUri", value=self.experiments.tracking_uri)
