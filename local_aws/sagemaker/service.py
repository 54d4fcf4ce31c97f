"""The SageMaker API of the local AWS."""

from __future__ import annotations

import logging
import threading
from typing import Any
from urllib.parse import unquote

from werkzeug import Response

from local_aws.json_api import ApiError, JsonApi
from local_aws.sagemaker import async_inference
from local_aws.sagemaker.async_inference import AsyncInference
from local_aws.sagemaker.automl.operations import AutoMLOperations
from local_aws.sagemaker.endpoints import Endpoints
from local_aws.sagemaker.inference_components import HEADER, InferenceComponents
from local_aws.sagemaker.invocations import PATH, Invocations
from local_aws.sagemaker.job_operations import processing_jobs, training_jobs
from local_aws.sagemaker.mlflow import MlflowApps
from local_aws.sagemaker.model_registry import ModelRegistry
from local_aws.sagemaker.models import EndpointConfigs, Models
from local_aws.sagemaker.monitoring import JobDefinitions, MonitoringSchedules
from local_aws.sagemaker.monitoring.execution import Surroundings
from local_aws.sagemaker.pipeline_steps import StepRunners
from local_aws.sagemaker.pipelines import Pipelines
from local_aws.sagemaker.transform_job import TransformOperations
from local_aws.sagemaker.tuning.operations import TuningOperations
from local_aws.sagemaker.workspace import Operation, Workspace
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)


class Region:
    """Every part of SageMaker in one account and region, and the operations that they answer."""

    def __init__(self, context: LocalContext, account: str, region: str) -> None:
        self.workspace = Workspace(context, account, region)
        self.training = training_jobs(self.workspace)
        self.processing = processing_jobs(self.workspace)
        self.tuning = TuningOperations(self.workspace, self.training)
        self.automl = AutoMLOperations(self.workspace)
        self.registry = ModelRegistry(self.workspace)
        self.models = Models(self.workspace, self.registry)
        self.transform = TransformOperations(self.workspace, self.models)
        self.configs = EndpointConfigs(self.workspace, self.models)
        self.endpoints = Endpoints(self.workspace, self.configs, self.models)
        self.invocations = Invocations(self.workspace, self.endpoints)
        self.async_inference = AsyncInference(self.workspace, self.endpoints, self.models)
        self.components = InferenceComponents(self.workspace, self.endpoints, self.models, self.invocations)
        self.mlflow = MlflowApps(self.workspace)
        self.workspace.variables = self.mlflow.container_variables
        runners = StepRunners(
            self.training, self.processing, self.tuning, self.automl, self.transform, self.registry, self.models
        )
        self.pipelines = Pipelines(self.workspace, runners)
        self.job_definitions = JobDefinitions(self.workspace)
        self.monitoring = MonitoringSchedules(
            Surroundings(self.workspace, self.processing, self.endpoints, self.configs), self.job_definitions
        )
        parts = (
            self.workspace, self.training, self.processing, self.tuning, self.automl, self.registry, self.models,
            self.transform, self.configs, self.endpoints, self.components, self.mlflow, self.pipelines,
            self.job_definitions, self.monitoring,
        )  # fmt: skip
        self.operations: dict[str, Operation] = {}
        for part in parts:
            self.operations.update(part.operations())

    def close(self) -> None:
        """Stop whatever runs."""
        self.monitoring.close()
        self.pipelines.close()
        self.tuning.close()
        self.automl.close()
        self.transform.close()
        self.training.close()
        self.processing.close()
        self.async_inference.close()
        self.components.close()
        self.endpoints.close()
        self.mlflow.close()


class SageMakerService:
    """Answers SageMaker and its runtime for every account and region."""

    scopes = frozenset({"sagemaker"})

    def __init__(self, context: LocalContext) -> None:
        self._context = context
        self._api = JsonApi("sagemaker")
        self._lock = threading.Lock()
        self._regions: dict[tuple[str, str], Region] = {}

    def handle(self, call: Call) -> Response | None:
        """Answer every call; SageMaker is never moto's."""
        region = self._region(call.account, call.region)
        invocation = PATH.fullmatch(call.request.path)
        queued = async_inference.PATH.fullmatch(call.request.path)
        try:
            if invocation:
                name = unquote(invocation["endpoint"])
                if HEADER in call.request.headers:
                    return region.components.invoke(name, call.request.headers[HEADER], call.request)
                return region.async_inference.refusal(name) or region.invocations.invoke(name, call.request)
            if queued:
                return region.async_inference.invoke(unquote(queued["endpoint"]), call.request)
            return self._control(call, region)
        except ApiError as error:
            return error.response()
        except Exception as error:
            _log.exception("SageMaker call failed")
            return ApiError("InternalFailure", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Stop every job, pipeline execution and endpoint."""
        with self._lock:
            regions = list(self._regions.values())
        for region in regions:
            region.close()

    def endpoints(self) -> dict[str, Any]:
        """Return where each endpoint in service, of any account and region, answers directly."""
        with self._lock:
            regions = list(self._regions.values())
        return {name: where for region in regions for name, where in region.endpoints.live().items()}

    def mlflow_apps(self) -> dict[str, Any]:
        """Return where the server of each MLflow app, of any account and region, answers."""
        with self._lock:
            regions = list(self._regions.values())
        return {name: where for region in regions for name, where in region.mlflow.live().items()}

    def _region(self, account: str, name: str) -> Region:
        with self._lock:
            if (account, name) not in self._regions:
                self._regions[account, name] = Region(self._context, account, name)
            return self._regions[account, name]

    def _control(self, call: Call, region: Region) -> Response:
        operation = self._api.operation(call.request.headers.get("X-Amz-Target", ""))
        request = self._api.parse(operation, call.request.get_data())
        if operation not in region.operations:
            raise ApiError("UnknownOperationException", f"the local AWS doesn't have SageMaker's {operation}")
        return self._api.answer(operation, region.operations[operation](request))
