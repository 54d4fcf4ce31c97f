"""How a model's hyperparameters are tuned: what each may be, and how many training jobs try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlops_constructs.tuning_step import (
    CategoricalRange,
    ContinuousRange,
    IntegerRange,
    Range,
    Scaling,
    TuningObjective,
    TuningStep,
)

from .nearest import nearest
from .setting_types import Positive, Scalar, Section

STRATEGIES: Mapping[str, Literal["Bayesian", "Random", "Grid"]] = {
    "bayesian": "Bayesian",
    "random": "Random",
    "grid": "Grid",
}
_SCALES: Mapping[str, Scaling] = {
    "auto": "Auto",
    "linear": "Linear",
    "log": "Logarithmic",
    "reverse_log": "ReverseLogarithmic",
}
_KINDS = ("integer", "continuous", "categorical")


def _different(values: list[Any]) -> list[Any]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError(
                "listed_twice", "{value} is listed twice; remove one", {"value": repr(value), "at": (index,)}
            )
    return values


class TunedRange(Section):
    """What a hyperparameter may be: one of integer, continuous and categorical."""

    integer: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Whole numbers, from the first to the second, as [3, 10]."""
    continuous: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Numbers, from the first to the second, as [0.01, 0.3]."""
    categorical: Annotated[list[Scalar], Field(min_length=2), AfterValidator(_different)] | None = None
    """Some values, as [gbtree, dart]."""
    scale: Literal["auto", "linear", "log", "reverse_log"] = "auto"
    """How the range is searched: log for what matters by its order of magnitude, reverse_log for what is near 1."""

    @model_validator(mode="after")
    def _is_one_range(self) -> TunedRange:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "tuned_range",
                "must have one of integer, continuous and categorical, got {given}",
                {"given": " and ".join(given) or "none of them"},
            )
        if self.bounds is None:
            if self.scale != "auto":
                raise PydanticCustomError(
                    "tuned_range", "can't be {scale}: values to choose from have no scale; remove it", self._scale()
                )
            return self
        (minimum, maximum), at = self.bounds, (given[0],)
        if not minimum < maximum:
            raise PydanticCustomError(
                "tuned_range",
                "must go up, got {minimum} to {maximum}",
                {"minimum": minimum, "maximum": maximum, "at": at},
            )
        if self.scale == "log" and minimum <= 0:
            raise PydanticCustomError(
                "tuned_range",
                "must start above 0 on a log scale, got {minimum}; set scale: linear, or another minimum",
                {"minimum": minimum, "at": (*at, 0)},
            )
        if self.scale == "reverse_log" and (self.integer is not None or minimum < 0 or maximum >= 1):
            raise PydanticCustomError(
                "tuned_range",
                "can't be reverse_log: that is for continuous ranges from 0 to below 1; set scale: linear",
                self._scale(),
            )
        return self

    def _scale(self) -> dict[str, Any]:
        return {"scale": self.scale, "at": ("scale",)}

    @property
    def bounds(self) -> list[int] | list[float] | None:
        """The least and the most, of a range that has them."""
        return self.integer if self.integer is not None else self.continuous

    def to_range(self) -> Range:
        """The range as the step takes it."""
        scaling = _SCALES[self.scale]
        if self.integer is not None:
            return IntegerRange(minimum=self.integer[0], maximum=self.integer[1], scaling=scaling)
        if self.continuous is not None:
            return ContinuousRange(minimum=self.continuous[0], maximum=self.continuous[1], scaling=scaling)
        return CategoricalRange(self.categorical or [])


class Tuning(Section):
    """Training jobs with different hyperparameters, of which the best one's model goes on to the evaluation."""

    ranges: Annotated[dict[str, TunedRange], Field(min_length=1, max_length=30)]
    """What each tuned hyperparameter of train.py may be; it takes the place of a value in training.hyperparameters."""
    trials: Annotated[int, Field(ge=1, le=750)] | None = None
    """Training jobs in all; left out with the strategy grid, which tries every combination."""
    parallel: Annotated[int, Field(ge=1, le=100)] = 2
    """Training jobs at a time: more end sooner, fewer learn more from those before."""
    strategy: Literal["bayesian", "random", "grid"] = "bayesian"
    """How the next values are found: learnt from the jobs before, at random, or every combination."""
    early_stopping: bool = True
    """Stop jobs that do worse than the median of those before them."""
    objective: str | None = None
    """The metric on the validation days that is tuned for; left out: the gate's."""
    seed: Positive = 7
    """Makes the same strategy suggest the same values."""

    @model_validator(mode="after")
    def _trials_fit_the_strategy(self) -> Tuning:
        if self.strategy == "grid":
            for name, each in self.ranges.items():
                if each.categorical is None:
                    raise PydanticCustomError(
                        "grid",
                        "must be categorical for the strategy grid; list the values to try",
                        {"at": ("ranges", name)},
                    )
            if self.trials is not None:
                raise PydanticCustomError(
                    "grid",
                    "has no place with the strategy grid, which tries every combination",
                    _at_trials(),
                )
        elif self.trials is None:
            raise PydanticCustomError("trials", "is missing; add the number of training jobs, as 20", _at_trials())
        elif self.parallel > self.trials:
            raise PydanticCustomError(
                "trials",
                "must be at most trials ({trials}), got {parallel}",
                {"trials": self.trials, "parallel": self.parallel, "at": ("parallel",)},
            )
        return self

    def check_use(self, metrics: Mapping[str, str], instance_count: int) -> None:
        """Refuse an objective that is no metric of the model's problem, and jobs of several hosts."""
        if instance_count > 1:
            raise PydanticCustomError(
                "tuning_hosts",
                "must be 1 with tuning, got {count}: each host would judge its own rows; raise tuning.parallel instead",
                {"count": instance_count, "at": ("training", "instance_count")},
            )
        if self.objective is not None and self.objective not in metrics:
            raise PydanticCustomError(
                "tuning_objective",
                "must be one of {known}, got {objective}{hint}",
                {
                    "known": ", ".join(metrics),
                    "objective": repr(self.objective),
                    "hint": nearest(self.objective, metrics),
                    "at": ("training", "tuning", "objective"),
                },
            )


def _at_trials() -> dict[str, Any]:
    return {"at": ("trials",)}


def objective_of(metric: str, *, more_is_better: bool) -> TuningObjective:
    """The objective that the runtime prints: the metric on the validation days."""
    return TuningObjective(
        metric=f"validation:{metric}",
        regex=rf"validation:{metric}=([-+0-9.eE]+)",
        goal="Maximize" if more_is_better else "Minimize",
    )


def tuning_step_of(tuning: Tuning, **arguments: Any) -> TuningStep:
    """The step of a section; `arguments` are its name, its training job and its objective."""
    return TuningStep(
        ranges={name: each.to_range() for name, each in tuning.ranges.items()},
        trials=tuning.trials,
        parallel=tuning.parallel,
        strategy=STRATEGIES[tuning.strategy],
        early_stopping=tuning.early_stopping,
        seed=tuning.seed,
        **arguments,
    )
