"""A model as its model.yaml declares it: its data, training, gate and serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .automl_settings import AutoML, check_automl
from .batch_settings import Batch
from .diagnostic_settings import Diagnostics
from .engine_settings import Engine
from .fairness_settings import Fairness, check_facets
from .monitoring_settings import Monitoring, check_monitoring
from .native_settings import Debugger, NativeCheck, check_native
from .nearest import nearest
from .serving_settings import Serving
from .setting_types import (
    ColumnName,
    DatasetName,
    Description,
    InstanceType,
    ModelName,
    Positive,
    Scalar,
    Section,
    unique,
)
from .trigger_settings import Triggers
from .tuning_settings import Tuning

METRICS: Mapping[str, Mapping[str, Literal["minimum", "maximum"]]] = {
    "binary_classification": dict.fromkeys(("auc", "accuracy", "precision", "recall", "f0_5", "f1", "f2"), "minimum"),
    "regression": {"mae": "maximum", "mse": "maximum", "rmse": "maximum", "r2": "minimum"},
}
"""The metrics of the evaluation reports by kind of problem, each with the bound that a gate can set."""


class ModelData(Section):
    """What the model is made from."""

    dataset: DatasetName
    """The dataset that it reads: a folder of ml_code/datasets."""
    label: ColumnName
    """The column to predict."""
    features: Annotated[list[ColumnName], Field(min_length=1), AfterValidator(unique)]
    """The columns that clients send, in this order: those of the model's features.py."""
    rules: Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(unique)] = Field(default_factory=list)
    """Data quality rules (DQDL) that the dataset has to keep for this model, beside its own."""

    allow_leakage: Annotated[list[ColumnName], AfterValidator(unique)] = Field(default_factory=list)
    """Features that look like ones that aren't known at prediction time, and are."""

    @model_validator(mode="after")
    def _allowed_are_features(self) -> ModelData:
        for index, name in enumerate(self.allow_leakage):
            if name not in self.features:
                raise PydanticCustomError(
                    "allowed_feature",
                    "must be one of the features, got {name}{hint}",
                    {"name": repr(name), "hint": nearest(name, self.features), "at": ("allow_leakage", index)},
                )
        return self

    @model_validator(mode="after")
    def _label_is_no_feature(self) -> ModelData:
        if self.label in self.features:
            raise PydanticCustomError(
                "label_is_feature",
                "{label} is the label, which a model can't be told; remove it from the features",
                {"label": repr(self.label), "at": ("features", self.features.index(self.label))},
            )
        return self


class Training(Engine):
    """The training pipeline's machines, how days are split, and what the algorithm is told."""

    instance_type: InstanceType = "ml.m5.xlarge"
    """Machine of each of the pipeline's jobs, as ml.m5.xlarge."""
    volume_gb: Positive = 30
    """Disk of each job in GiB."""
    test_days: Positive = 30
    """Newest days, held out to judge the model; an execution can say otherwise."""
    validation_days: Positive = 14
    """Days before the test days, which tune the training; an execution can say otherwise."""
    hyperparameters: dict[str, Scalar] = Field(default_factory=dict)
    """Passed to the model's train.py."""
    triggers: Triggers = Triggers()
    """What starts it by itself."""
    diagnostics: Diagnostics = Diagnostics()
    """Rules that watch it, and what they do."""
    debugger: Debugger = "off"
    """native: SageMaker Debugger's rules watch it beside those, with their thresholds. For accounts that have Debugger,
    which is closed to new customers, and images with its library smdebug."""
    algorithm: Literal["xgboost", "automl"] = "xgboost"
    """xgboost: the model's train.py. automl: whatever SageMaker Autopilot finds; train.py isn't used."""
    automl: AutoML | None = None
    """The limits of the search with algorithm: automl."""
    tuning: Tuning | None = None
    """Training jobs with different hyperparameters instead of one; left out: one."""


class Champion(Section):
    """How a model has to stand against the newest approved version, both judged on the same rows."""

    margin: Annotated[float, Field(ge=0)] = 0.0
    """By how much it may be worse, in the unit of the gate's metric."""


class Gate(Section):
    """The quality below which a model is not registered: a metric, the bound that fits it, and the champion."""

    metric: str
    """The metric of the evaluation report that decides: auc, accuracy, precision, recall, f0_5, f1 or f2 of a binary
    classification; mae, mse, rmse or r2 of a regression."""
    minimum: float | None = None
    """The least value that passes, for metrics of which more is better; an execution can say otherwise."""
    maximum: Annotated[float, Field(ge=0)] | None = None
    """The most that passes, for errors: mae, mse and rmse; an execution can say otherwise."""
    champion: Champion | None = Champion()
    """The comparison with the newest approved version, on the gate's metric; null: none."""


class Model(Section):
    """ml_code/models/<name>/model.yaml."""

    name: ModelName
    """The folder's name."""
    description: Description
    """What the model answers, in a sentence."""
    problem: Literal["binary_classification", "regression"]
    """The kind of question, which decides how the model is judged."""
    data: ModelData
    """What the model is made from."""
    training: Training = Training()
    """The training pipeline."""
    gate: Gate
    """The quality below which a model is not registered."""
    fairness: Fairness = Fairness()
    """Groups of rows that the model must not treat too differently."""
    native_checks: list[NativeCheck] = Field(default_factory=list)
    """Steps of SageMaker's own beside our judgement, for accounts that have Clarify and Model Monitor, which are closed
    to new customers: data_quality, data_bias, model_bias and explainability."""
    serving: Serving | None = None
    """The endpoint; left out: none."""
    batch: Batch | None = None
    """Predictions for whole days; left out: none."""
    monitoring: Monitoring | None = None
    """What it is asked, compared with what it was trained on; left out: nobody looks."""

    @model_validator(mode="after")
    def _facets_fit_the_model(self) -> Model:
        check_facets(self.fairness, self.problem, self.data.features)
        check_native(self)
        check_monitoring(self)
        return self

    @model_validator(mode="after")
    def _gate_fits_the_problem(self) -> Model:
        metrics, gate = METRICS[self.problem], self.gate
        if self.training.tuning is not None:
            self.training.tuning.check_use(metrics, self.training.instance_count)
        check_automl(self.problem, self.training)
        if gate.metric not in metrics:
            raise PydanticCustomError(
                "gate_metric",
                "must be one of {known}, got {metric}{hint}",
                {
                    "known": ", ".join(metrics),
                    "metric": repr(gate.metric),
                    "hint": nearest(gate.metric, metrics),
                    "at": ("gate", "metric"),
                },
            )
        wanted = metrics[gate.metric]
        other = "maximum" if wanted == "minimum" else "minimum"
        better = "more" if wanted == "minimum" else "less"
        if getattr(gate, other) is not None:
            raise PydanticCustomError(
                "gate_bound",
                "bounds {metric} on the wrong side, of which {better} is better; set {wanted} instead",
                {"metric": gate.metric, "better": better, "wanted": wanted, "at": ("gate", other)},
            )
        bound = getattr(gate, wanted)
        if bound is None:
            raise PydanticCustomError(
                "gate_bound",
                "needs {wanted}, the {metric} that still passes; add it",
                {"metric": gate.metric, "wanted": wanted, "at": ("gate",)},
            )
        if self.problem == "binary_classification" and not 0 <= bound <= 1:
            raise PydanticCustomError(
                "gate_bound", "must be from 0 to 1, as {metric} is", {"metric": gate.metric, "at": ("gate", wanted)}
            )
        return self

    @property
    def slug(self) -> str:
        """The name as AWS takes it, with dashes."""
        return self.name.replace("_", "-")

    @property
    def title(self) -> str:
        """The name as construct ids and outputs carry it."""
        return "".join(word.capitalize() for word in self.name.split("_"))
