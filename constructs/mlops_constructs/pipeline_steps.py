"""The steps of a SageMaker pipeline in one place: jobs, the registration of a model, conditions and failures."""

from __future__ import annotations

from .condition_steps import Comparison, ConditionStep, FailStep, walk
from .job_resources import JobNetwork, JobResources, has_local_disk
from .job_steps import Manifest, ProcessingStep, PropertyFile, TrainingStep
from .pipeline_step import InvalidPipelineError, Step, as_text, step_json
from .registration_step import RegisterModelStep
from .tuning_step import CategoricalRange, ContinuousRange, IntegerRange, TuningObjective, TuningStep

__all__ = [
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
    "ProcessingStep",
    "PropertyFile",
    "RegisterModelStep",
    "Step",
    "TrainingStep",
    "TuningObjective",
    "TuningStep",
    "as_text",
    "has_local_disk",
    "step_json",
    "walk",
]
