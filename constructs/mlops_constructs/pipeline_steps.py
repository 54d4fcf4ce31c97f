"""The steps of a SageMaker pipeline in one place: jobs, the registration of a model, conditions and failures."""

from __future__ import annotations

from .automl_step import AutoMLStep
from .baseline_check import Baselines, CheckJob
from .batch_steps import ModelStep, RecordFilters, TransformStep
from .clarify_check_step import BiasFacet, ClarifyAnalysis, ClarifyCheckStep, Predictor
from .condition_steps import Comparison, ConditionStep, FailStep, walk
from .job_resources import JobNetwork, JobResources, has_local_disk
from .job_steps import Manifest, ProcessingStep, PropertyFile, TrainingStep
from .native_debugger import DebuggerRule, NativeDebugger
from .pipeline_step import InvalidPipelineError, Step, as_text, step_json
from .quality_check_step import Predictions, QualityCheckStep
from .registration_step import ModelReports, RegisterModelStep
from .step_policies import JOB_RETRIES, REQUEST_RETRIES, Caching, RetryPolicy
from .training_engine import TrainingEngine
from .tuning_step import CategoricalRange, ContinuousRange, IntegerRange, TuningObjective, TuningStep

__all__ = [
    "JOB_RETRIES",
    "REQUEST_RETRIES",
    "AutoMLStep",
    "Baselines",
    "BiasFacet",
    "Caching",
    "CategoricalRange",
    "CheckJob",
    "ClarifyAnalysis",
    "ClarifyCheckStep",
    "Comparison",
    "ConditionStep",
    "ContinuousRange",
    "DebuggerRule",
    "FailStep",
    "IntegerRange",
    "InvalidPipelineError",
    "JobNetwork",
    "JobResources",
    "Manifest",
    "ModelReports",
    "ModelStep",
    "NativeDebugger",
    "Predictions",
    "Predictor",
    "ProcessingStep",
    "PropertyFile",
    "QualityCheckStep",
    "RecordFilters",
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
