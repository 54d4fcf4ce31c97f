"""The steps of a SageMaker pipeline in one place: jobs, the registration of a model, conditions and failures."""

from __future__ import annotations

from .condition_steps import Comparison, ConditionStep, FailStep, walk
from .job_resources import JobNetwork, JobResources, has_local_disk
from .job_steps import Manifest, ProcessingStep, PropertyFile, TrainingStep
from .pipeline_step import InvalidPipelineError, Step, as_text, step_json
from .registration_step import RegisterModelStep

__all__ = [
    "Comparison",
    "ConditionStep",
    "FailStep",
    "InvalidPipelineError",
    "JobNetwork",
    "JobResources",
    "Manifest",
    "ProcessingStep",
    "PropertyFile",
    "RegisterModelStep",
    "Step",
    "TrainingStep",
    "as_text",
    "has_local_disk",
    "step_json",
    "walk",
]
