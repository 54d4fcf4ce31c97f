"""A step that has Model Monitor's analyzer describe rows, or predictions, and compare them with a baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .baseline_check import Baselines, CheckJob
from .pipeline_expressions import Get, Value
from .step_policies import Caching, policies_json

DatasetFormat = Literal["csv", "json_lines", "parquet"]
_FORMATS: Mapping[str, Any] = {
    "csv": {"csv": {"header": True, "output_columns_position": "START"}},
    "json_lines": {"json": {"lines": True}},
    "parquet": {"parquet": {}},
}
ProblemType = Literal["BinaryClassification", "MulticlassClassification", "Regression"]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Where a dataset of predictions has them: names of columns.

    `threshold` turns a `probability` into a label, where there is no `prediction`.
    """

    problem: ProblemType
    label: str
    prediction: str | None = None
    probability: str | None = None
    threshold: float | None = None

    def variables(self) -> dict[str, str]:
        """The variables of the analyzer."""
        given = {
            "ground_truth_attribute": self.label,
            "inference_attribute": self.prediction,
            "probability_attribute": self.probability,
            "probability_threshold_attribute": None if self.threshold is None else f"{self.threshold:g}",
        }
        known = {name: value for name, value in given.items() if value is not None}
        return {"analysis_type": "MODEL_QUALITY", "problem_type": self.problem, **known}


@dataclass(frozen=True, kw_only=True)
class QualityCheckStep:
    """Statistics and constraints of a dataset: of its columns, or with `predictions` of a model's quality.

    The output holds ``statistics.json`` and ``constraints.json``, and ``constraint_violations.json`` if it compares.
    See `baseline_check` for who can have it.

    Parameters
    ----------
    work
        The job, with the image `sagemaker-model-monitor-analyzer`.
    dataset
        S3 URI of the rows: a folder.
    output_path
        S3 URI that the reports go to.
    dataset_format
        csv with a header, JSON lines, or Parquet.
    predictions
        Where predictions and labels are, for a check of the model's quality; left out: a check of the data's.
    baselines
        With what it compares; nothing when left out.
    """

    type = "QualityCheck"
    name: str
    work: CheckJob
    dataset: Value
    output_path: Value
    dataset_format: DatasetFormat = "csv"
    predictions: Predictions | None = None
    baselines: Baselines = field(default_factory=Baselines)
    caching: Caching | None = None
    depends_on: Sequence[str] = ()

    @property
    def check_type(self) -> str:
        """SageMaker's kind of check."""
        return "MODEL_QUALITY" if self.predictions else "DATA_QUALITY"

    @property
    def constraints(self) -> Get:
        """The S3 URI of the constraints that it has calculated."""
        return Get(f"Steps.{self.name}.CalculatedBaselineConstraints")

    @property
    def statistics(self) -> Get:
        """The S3 URI of the statistics that it has calculated."""
        return Get(f"Steps.{self.name}.CalculatedBaselineStatistics")

    def job(self) -> dict[str, Any]:
        """The input of CreateProcessingJob, less the job's name."""
        environment = {
            "dataset_format": json.dumps(_FORMATS[self.dataset_format]),
            "dataset_source": "/opt/ml/processing/input/baseline_dataset_input",
            "output_path": "/opt/ml/processing/output",
            "publish_cloudwatch_metrics": "Disabled",
            **(self.predictions.variables() if self.predictions else {}),
        }
        return self.work.arguments(
            {"baseline_dataset_input": (self.dataset, "baseline_dataset_input")},
            ("quality_check_output", self.output_path),
            environment,
        )

    def extras(self) -> dict[str, Any]:
        """The check's kind, its baselines, and when it is cached: SageMaker tries such steps once."""
        return {"CheckType": self.check_type, **self.baselines.members(), **policies_json(self.caching, ())}
