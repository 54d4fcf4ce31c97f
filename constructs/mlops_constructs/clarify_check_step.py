"""A step that has SageMaker Clarify measure bias in data or in a model's answers, or explain the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .baseline_check import Baselines, CheckJob
from .pipeline_expressions import Get, Value
from .pipeline_step import InvalidPipelineError
from .step_policies import Caching, policies_json

DatasetType = Literal["text/csv", "application/jsonlines", "application/x-parquet"]


@dataclass(frozen=True, kw_only=True)
class BiasFacet:
    """A group of rows: those with one of `values`, or of a column of numbers those above `threshold`."""

    column: str
    values: Sequence[str | int | float] = ()
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse a facet that is no group, or two."""
        if bool(self.values) == (self.threshold is not None):
            raise InvalidPipelineError(f"the facet {self.column!r} needs either values or a threshold")

    def to_json(self) -> dict[str, Any]:
        """The facet in Clarify's configuration."""
        chosen = list(self.values) if self.threshold is None else [self.threshold]
        return {"name_or_index": self.column, "value_or_threshold": chosen}


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """The endpoint that Clarify makes of the step's model, asks, and deletes again.

    It is asked with CSV and answers with CSV: a score for each row. `probability_threshold` turns scores into labels.
    The endpoint's name begins with `endpoint_prefix`, so that a role can be held to it.
    """

    instance_type: str
    endpoint_prefix: str
    instance_count: int = 1
    probability_threshold: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The predictor in Clarify's configuration; the model's name is the step's."""
        return {
            "endpoint_name_prefix": self.endpoint_prefix,
            "instance_type": self.instance_type,
            "initial_instance_count": self.instance_count,
            "content_type": "text/csv",
            "accept_type": "text/csv",
        }


@dataclass(frozen=True, kw_only=True)
class ClarifyAnalysis:
    """What Clarify is to do: its ``analysis_config.json``. Give it as a file in S3 to a `ClarifyCheckStep`.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-configure-analysis.html

    Parameters
    ----------
    check_type
        DATA_BIAS measures the labels, MODEL_BIAS the model's answers, MODEL_EXPLAINABILITY attributes answers to
        features, by kernel SHAP.
    label
        The column of the labels.
    dataset_type
        The media type of the rows.
    positive
        The labels that count as the favourable outcome; needed for bias.
    facets
        The groups; needed for bias.
    predictor
        The endpoint; needed for checks of a model, and refused for others.
    excluded
        Columns that the model isn't asked with, beside the label.
    shap_samples
        Perturbations of each explained row; Clarify's own choice when left out.
    shap_baseline
        Rows of features to compare with; when left out Clarify makes them of the rows.
    shap_seed
        Makes attributions repeatable; they differ from run to run when left out.
    """

    check_type: Literal["DATA_BIAS", "MODEL_BIAS", "MODEL_EXPLAINABILITY"]
    label: str
    dataset_type: DatasetType = "text/csv"
    positive: Sequence[str | int | float] = (1,)
    facets: Sequence[BiasFacet] = ()
    predictor: Predictor | None = None
    excluded: Sequence[str] = ()
    shap_samples: int | None = None
    shap_baseline: Sequence[Sequence[float]] | None = None
    shap_seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse what Clarify couldn't do."""
        if (self.check_type == "DATA_BIAS") != (self.predictor is None):
            verb = "can't have" if self.predictor else "needs"
            raise InvalidPipelineError(f"{self.check_type} {verb} a predictor")
        if (self.check_type == "MODEL_EXPLAINABILITY") == bool(self.facets):
            verb = "can't have" if self.facets else "needs"
            raise InvalidPipelineError(f"{self.check_type} {verb} facets")
        if self.shap_samples is not None and self.shap_samples < 1:
            raise InvalidPipelineError(f"shap_samples must be at least 1, got {self.shap_samples}")

    def to_json(self) -> dict[str, Any]:
        """The content of analysis_config.json."""
        config: dict[str, Any] = {"dataset_type": self.dataset_type, "label": self.label}
        if self.excluded:
            config["excluded_columns"] = list(self.excluded)
        if self.facets:
            config["label_values_or_threshold"] = list(self.positive)
            config["facet"] = [facet.to_json() for facet in self.facets]
        if self.predictor:
            config["predictor"] = self.predictor.to_json()
            if self.predictor.probability_threshold is not None and self.facets:
                config["probability_threshold"] = self.predictor.probability_threshold
        return config | {"methods": {**self._method(), "report": {"name": "report", "title": "Analysis Report"}}}

    def _method(self) -> Mapping[str, Any]:
        if self.check_type == "DATA_BIAS":
            return {"pre_training_bias": {"methods": "all"}}
        if self.check_type == "MODEL_BIAS":
            return {"post_training_bias": {"methods": "all"}}
        chosen = {
            "baseline": self.shap_baseline and [list(row) for row in self.shap_baseline],
            "num_samples": self.shap_samples,
            "seed": self.shap_seed,
        }
        given = {key: value for key, value in chosen.items() if value is not None}
        return {"shap": {**given, "agg_method": "mean_abs", "use_logit": False, "save_local_shap_values": False}}


@dataclass(frozen=True, kw_only=True)
class ClarifyCheckStep:
    """Bias of data or of a model, or attributions: ``analysis.json`` and a report, compared with a baseline if wanted.

    See `baseline_check` for who can have it.

    Parameters
    ----------
    work
        The job, with the image `sagemaker-clarify-processing`.
    analysis
        What it does.
    analysis_uri
        S3 URI of a file called ``analysis_config.json``, which holds `analysis`.
    dataset
        S3 URI of the rows: a folder.
    output_path
        S3 URI that the reports go to.
    model_name
        The model to ask, for checks of a model.
    baselines
        With what it compares; nothing when left out.
    """

    type = "ClarifyCheck"
    name: str
    work: CheckJob
    analysis: ClarifyAnalysis
    analysis_uri: Value
    dataset: Value
    output_path: Value
    model_name: Value | None = None
    baselines: Baselines = field(default_factory=Baselines)
    caching: Caching | None = None
    depends_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse a check of a model without one, and one of data with statistics, which Clarify has none of."""
        if (self.model_name is None) != (self.analysis.predictor is None):
            raise InvalidPipelineError(
                f"step {self.name!r}: {self.analysis.check_type} "
                + ("can't have a model_name" if self.model_name is not None else "needs a model_name")
            )
        if self.baselines.statistics is not None:
            raise InvalidPipelineError(f"step {self.name!r}: Clarify's baselines are constraints, without statistics")

    @property
    def constraints(self) -> Get:
        """The S3 URI of the constraints that it has calculated."""
        return Get(f"Steps.{self.name}.CalculatedBaselineConstraints")

    def job(self) -> dict[str, Any]:
        """The input of CreateProcessingJob, less the job's name."""
        return self.work.arguments(
            {"analysis_config": (self.analysis_uri, "config"), "dataset": (self.dataset, "data")},
            ("analysis_result", self.output_path),
        )

    def extras(self) -> dict[str, Any]:
        """The check's kind, its model and baselines, and when it is cached: SageMaker tries such steps once."""
        model = {} if self.model_name is None else {"ModelName": self.model_name}
        return {
            "CheckType": self.analysis.check_type,
            **model,
            **self.baselines.members(),
            **policies_json(self.caching, ()),
        }
