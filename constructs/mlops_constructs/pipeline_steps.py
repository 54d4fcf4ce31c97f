"""The steps of a SageMaker pipeline in one place: jobs, the registration of a model, conditions and failures."""

from __future__ import annotations

from .automl_step import AutoMLStep
from .batch_steps import ModelStep, TransformStep
from .condition_steps import Comparison, ConditionStep, FailStep, walk
from .job_resources import JobNetwork, JobResources, has_local_disk
from .job_steps import Manifest, ProcessingStep, PropertyFile, TrainingStep
from .pipeline_step import InvalidPipelineError, Step, as_text, step_json
from .registration_step import ModelReports, RegisterModelStep
from .step_policies import JOB_RETRIES, REQUEST_RETRIES, Caching, RetryPolicy
from .training_engine import TrainingEngine
from .tuning_step import CategoricalRange, ContinuousRange, IntegerRange, TuningObjective, TuningStep

__all__ = [
    "JOB_RETRIES",
    "REQUEST_RETRIES",
    "AutoMLStep",
    "Caching",
    "CategoricalRange",
    "Comparison",
    "ConditionStep",
    "ContinuousRange",
    "FailStep",
    "IntegerRange",
    "InvalidPipelineError",
    "JobNetwork",
    "JobResources",
    "Manifest",
    "ModelReports",
    "ModelStep",
    "ProcessingStep",
    "PropertyFile",
    "RegisterModelStep",
    "RetryPolicy",
    "Step",
    "TrainingEngine",
    "TrainingStep",
    "TransformStep",
    "TuningObjective",
    "TuningStep",
    "as_text",
    "has_local_disk",
    "step_json",
    "walk",
]
