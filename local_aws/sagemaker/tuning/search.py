"""The values that the training jobs of a tuning job get: suggested by Optuna, or every combination in turn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from local_aws.json_api import ApiError

# so many training jobs are drawn at random before the others are learnt from
RANDOM_SHARE, FEWEST_RANDOM, MOST_RANDOM = 1 / 3, 3, 10
# a range with the scale Auto that spans this factor or more is searched by its logarithm
WIDE = 100.0

Values = dict[str, str]


class Search:
    """Suggests hyperparameters as strings, and learns what came of them. `None` means that nothing is left to try."""

    def suggest(self) -> Values | None:
        """Return what the next training job tries."""
        raise NotImplementedError

    def learn(self, values: Mapping[str, str], objective: float | None) -> None:
        """Take in the objective that values led to; None for a training job without one."""


class Grid(Search):
    """Every combination of categorical values, the last named one changing fastest."""

    def __init__(self, ranges: Mapping[str, Any]) -> None:
        axes = [(each["Name"], each["Values"]) for each in ranges.get("CategoricalParameterRanges", [])]
        names = [name for name, _ in axes]
        combinations = itertools.product(*(values for _, values in axes))
        self._left: Iterator[Values] = (dict(zip(names, each, strict=True)) for each in combinations)
        self.size = math.prod(len(values) for _, values in axes)

    def suggest(self) -> Values | None:
        return next(self._left, None)


class OptunaSearch(Search):
    """Optuna's tree-structured Parzen estimator for Bayesian, its random sampler for Random."""

    def __init__(
        self, strategy: str, ranges: Mapping[str, Any], *, maximize: bool, trials: int, seed: int | None
    ) -> None:
        import optuna  # takes half a second, which only tuning jobs spend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if strategy == "Random":
            sampler: Any = optuna.samplers.RandomSampler(seed=seed)
        else:
            first = max(FEWEST_RANDOM, min(MOST_RANDOM, round(trials * RANDOM_SHARE)))
            # jobs that still run count as poor ones, so that parallel jobs don't try the same
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first, constant_liar=True)
        self._study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
        self._optuna = optuna
        self._axes = [_Axis(kind, each) for kind, found in ranges.items() for each in found]
        self._distributions = {axis.name: axis.distribution(optuna) for axis in self._axes}
        self._asked: list[tuple[Values, Any]] = []

    def suggest(self) -> Values | None:
        trial = self._study.ask(self._distributions)
        values = {axis.name: axis.text(trial.params[axis.name]) for axis in self._axes}
        self._asked.append((values, trial))
        return values

    def learn(self, values: Mapping[str, str], objective: float | None) -> None:
        state = self._optuna.trial.TrialState
        for index, (asked, trial) in enumerate(self._asked):
            if asked == values:
                del self._asked[index]
                outcome = state.FAIL if objective is None else state.COMPLETE
                self._study.tell(trial, objective, state=outcome)
                return
        if objective is not None and self._distributions.keys() <= values.keys():
            self._add(values, objective)

    def _add(self, values: Mapping[str, str], objective: float) -> None:
        """Take in a training job of another tuning job, if its values lie within the ranges of this one."""
        try:
            params = {axis.name: axis.number(values[axis.name]) for axis in self._axes}
            found = self._optuna.trial.create_trial(params=params, distributions=self._distributions, value=objective)
        except ValueError:
            return
        self._study.add_trial(found)


class _Axis:
    """One hyperparameter, as SageMaker describes its range."""

    def __init__(self, kind: str, described: Mapping[str, Any]) -> None:
        self.name: str = described["Name"]
        self._kind = kind
        self._choices = described.get("Values", [])
        if kind == "CategoricalParameterRanges":
            return
        convert = int if kind == "IntegerParameterRanges" else float
        try:
            self._low, self._high = convert(described["MinValue"]), convert(described["MaxValue"])
        except ValueError as error:
            raise refused(f"the range of {self.name!r}: {error}") from error
        if not self._low <= self._high:
            raise refused(f"the range of {self.name!r}: MinValue {self._low} is above MaxValue {self._high}")
        scaling = described.get("ScalingType", "Auto")
        self._reverse = scaling == "ReverseLogarithmic"
        wide = self._low > 0 and self._high / self._low >= WIDE
        self._log = scaling == "Logarithmic" or (scaling == "Auto" and wide)
        if self._log and self._low <= 0:
            raise refused(f"the range of {self.name!r}: Logarithmic needs values above 0, MinValue is {self._low}")
        if self._reverse and not (self._low >= 0 and self._high < 1):
            raise refused(f"the range of {self.name!r}: ReverseLogarithmic needs values from 0 to below 1")

    def distribution(self, optuna: Any) -> Any:
        if self._kind == "CategoricalParameterRanges":
            return optuna.distributions.CategoricalDistribution(self._choices)
        if self._kind == "IntegerParameterRanges":
            return optuna.distributions.IntDistribution(self._low, self._high, log=self._log)
        if self._reverse:
            return optuna.distributions.FloatDistribution(1 - self._high, 1 - self._low, log=True)
        return optuna.distributions.FloatDistribution(self._low, self._high, log=self._log)

    def text(self, value: Any) -> str:
        """Return Optuna's value as a hyperparameter."""
        if self._kind == "CategoricalParameterRanges":
            return str(value)
        return repr(min(max(1 - value, self._low), self._high) if self._reverse else value)

    def number(self, text: str) -> Any:
        """Return a hyperparameter as Optuna's value."""
        if self._kind == "CategoricalParameterRanges":
            return text
        value = int(text) if self._kind == "IntegerParameterRanges" else float(text)
        return 1 - value if self._reverse else value


def refused(problem: str) -> ApiError:
    """Return the error of a tuning job that can't be run."""
    return ApiError("ValidationException", problem)


def search_of(config: Mapping[str, Any]) -> tuple[Search, int]:
    """Return the search that a HyperParameterTuningJobConfig asks for, and how many training jobs it takes.

    Raises ApiError for what SageMaker would refuse, and for what isn't searched locally.
    """
    strategy, ranges = config["Strategy"], config.get("ParameterRanges", {})
    if strategy == "Hyperband":
        raise refused("the local AWS doesn't have the strategy Hyperband: use Bayesian with early stopping")
    if ranges.get("AutoParameters"):
        raise refused("the local AWS doesn't have AutoParameters: give each hyperparameter a range")
    kinds = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
    found = {kind: ranges[kind] for kind in kinds if ranges.get(kind)}
    if not found:
        raise refused("ParameterRanges has no range: there is nothing to tune")
    asked = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if strategy == "Grid":
        if found.keys() != {"CategoricalParameterRanges"}:
            raise refused("the strategy Grid takes categorical ranges only")
        grid = Grid(found)
        if asked not in (None, grid.size):
            raise refused(f"MaxNumberOfTrainingJobs must be {grid.size}, the combinations of the grid, or left out")
        return grid, grid.size
    if asked is None:
        raise refused(f"MaxNumberOfTrainingJobs is needed for the strategy {strategy}")
    maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    return OptunaSearch(strategy, found, maximize=maximize, trials=asked, seed=config.get("RandomSeed")), asked
