"""Rules that watch a training, as SageMaker Debugger's built-in rules did: before it, in each round, and after it.

| rule | broken when | threshold (default) |
|---|---|---|
| `little_data` | the training rows are fewer than this for each feature | `rows_per_feature` (50) |
| `class_imbalance` | the rarer class has less than this share of the training rows | `minimum_share` (0.01) |
| `dead_features` | more features than this are constant or always missing | `maximum` (0) |
| `loss_not_decreasing` | in the first `rounds` (20) the watched metric improves by less than this | `percent` (0.1) |
| `overfitting` | the watched metric is worse than its best by more than this | `percent` (10) |
| `exploding_metric` | a metric is no finite number, or so many times its first value | `factor` (10) |
| `resource_starvation` | the job uses more than this of the memory that it may use | `percent` (90) |

The watched metric is the last one of the last of a training's `evals`, as for early stopping: an error, of which less
is better, unless XGBoost knows it as one of which more is. Each rule's `action` is `off`, `warn` or `stop`.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import xgboost as xgb
from xgboost.callback import TrainingCallback

from model_runtime.errors import JobError
from model_runtime.memory import memory_share
from model_runtime.problems import BINARY_CLASSIFICATION, Problem
from model_runtime.rule_metrics import metric_lines

HYPERPARAMETER = "_diagnostics"
REPORT_FILE = "diagnostics.json"
ACTIONS = ("off", "warn", "stop")
ROUNDS_BETWEEN_LOOKS_AT_MEMORY = 10
MORE_IS_BETTER = ("auc", "aucpr", "pre", "map", "ndcg")

DEFAULTS: Mapping[str, Mapping[str, str | float]] = {
    "little_data": {"action": "warn", "rows_per_feature": 50},
    "class_imbalance": {"action": "warn", "minimum_share": 0.01},
    "dead_features": {"action": "warn", "maximum": 0},
    "loss_not_decreasing": {"action": "warn", "rounds": 20, "percent": 0.1},
    "overfitting": {"action": "warn", "percent": 10},
    "exploding_metric": {"action": "stop", "factor": 10},
    "resource_starvation": {"action": "warn", "percent": 90},
}


class StoppedByRule(JobError):
    """A rule with the action `stop` is broken; the text is the reason of the job's failure."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A broken rule: what was found, and in which stage and round (counted from 0) if it was in one."""

    rule: str
    action: str
    message: str
    stage: str | None = None
    round: int | None = None


@dataclass
class Diagnostics:
    """The rules of one job, what they found, and how the metrics of each stage went.

    `rules` are as `DEFAULTS`; `check_rows`, `watch` and `check_trees` are for before, during and after the training.
    """

    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: DEFAULTS)
    findings: list[Finding] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)
    unused_features: list[str] = field(default_factory=list)

    def check_rows(
        self, train: pl.DataFrame, features: Sequence[str], label: str, problem: Problem, rows: int | None = None
    ) -> None:
        """Judge the training rows; raises StoppedByRule. `rows` is how many all hosts have, by default `train`'s."""
        rows = train.height if rows is None else rows
        per_feature = rows / len(features)
        self._judge(
            "little_data",
            per_feature < self._limit("little_data", "rows_per_feature"),
            lambda: (
                f"{rows} training rows for {len(features)} features are {per_feature:.1f} for each, fewer than "
                f"rows_per_feature {self._limit('little_data', 'rows_per_feature'):g}"
            ),
        )
        if problem is BINARY_CLASSIFICATION:
            share = float(train.select(pl.col(label).cast(pl.Float64).mean()).item())
            rarer = min(share, 1 - share)
            self._judge(
                "class_imbalance",
                rarer < self._limit("class_imbalance", "minimum_share"),
                lambda: (
                    f"{100 * rarer:.3g} % of the training rows have the rarer label, less than minimum_share "
                    f"{self._limit('class_imbalance', 'minimum_share'):g}"
                ),
            )
        dead = [name for name in features if train[name].drop_nulls().drop_nans().n_unique() < 2]
        self._judge(
            "dead_features",
            len(dead) > self._limit("dead_features", "maximum"),
            lambda: f"constant or always missing in the training rows: {', '.join(dead)}",
        )

    def watch(self, stage: str) -> Sequence[TrainingCallback]:
        """The callbacks that watch one stage of a training, as `boosting.Surroundings` takes them."""
        return [_Watcher(self, stage)]

    def check_trees(self, booster: xgb.Booster, features: Sequence[str]) -> None:
        """Note the features that no tree splits on; that alone breaks no rule."""
        used = set(booster.get_score(importance_type="weight"))
        names = booster.feature_names or [f"f{index}" for index in range(len(features))]
        self.unused_features = [feature for feature, name in zip(features, names, strict=True) if name not in used]

    def report(self) -> dict[str, Any]:
        """What `diagnostics.json` says."""
        broken = {finding.rule for finding in self.findings}
        rules = {
            name: {
                **limits,
                "status": "off" if limits["action"] == "off" else "broken" if name in broken else "held",
            }
            for name, limits in self.rules.items()
        }
        findings = [asdict(finding) for finding in self.findings]
        return {
            "rules": rules,
            "findings": findings,
            "unused_features": self.unused_features,
            "history": self.history,
        }

    def write(self, *directories: Path) -> None:
        """Write the report into each directory, its summary as a line that metric definitions read, and its metrics."""
        report = self.report()
        text = json.dumps(report, indent=2) + "\n"
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / REPORT_FILE).write_text(text, encoding="utf-8")
        print(f"diagnostics: rules_broken={len({finding.rule for finding in self.findings})}", flush=True)
        for line in metric_lines(report["rules"]):
            print(line, flush=True)

    def round_ended(self, stage: str, number: int, log: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
        """Judge the metrics after a round; raises StoppedByRule."""
        values = {
            (rows, name): [each[0] if isinstance(each, tuple) else float(each) for each in series]
            for rows, metrics in log.items()
            for name, series in metrics.items()
        }
        self.history[stage] = {f"{rows}-{name}": series for (rows, name), series in values.items()}
        shown = " ".join(f"{rows}={series[-1]:.6g}" for (rows, _), series in values.items())
        if shown:
            print(f"{stage}: round={number} {shown}", flush=True)
        for (rows, name), series in values.items():
            self._check_explosion(stage, number, f"{rows}-{name}", series)
        if values:
            (rows, name), series = list(values.items())[-1]
            sign = -1.0 if name.partition("@")[0] in MORE_IS_BETTER else 1.0
            self._check_course(stage, number, f"{rows}-{name}", [sign * each for each in series])
        if number % ROUNDS_BETWEEN_LOOKS_AT_MEMORY == 0:
            self._check_memory(stage, number)

    def _check_explosion(self, stage: str, number: int, name: str, series: Sequence[float]) -> None:
        factor = self._limit("exploding_metric", "factor")
        newest, first = series[-1], abs(series[0])
        self._judge(
            "exploding_metric",
            not math.isfinite(newest) or (first > 0 and abs(newest) > factor * first),
            lambda: f"{name} is {newest:g} in round {number}, after {series[0]:g} in the first",
            stage,
            number,
        )

    def _check_course(self, stage: str, number: int, name: str, losses: Sequence[float]) -> None:
        """Judge losses, of which less is better; negative ones are those of a metric of which more is."""
        scale = abs(losses[0]) or 1.0
        rounds = int(self._limit("loss_not_decreasing", "rounds"))
        if len(losses) == rounds + 1:
            improved = 100 * (losses[0] - min(losses)) / scale
            self._judge(
                "loss_not_decreasing",
                not improved >= self._limit("loss_not_decreasing", "percent"),
                lambda: (
                    f"{name} improved by {improved:.3g} % in {rounds} rounds, from {abs(losses[0]):g}, less than "
                    f"{self._limit('loss_not_decreasing', 'percent'):g} %"
                ),
                stage,
                number,
            )
        worse = 100 * (losses[-1] - min(losses)) / (abs(min(losses)) or 1.0)
        self._judge(
            "overfitting",
            worse > self._limit("overfitting", "percent"),
            lambda: (
                f"{name} is {abs(losses[-1]):g} in round {number}, {worse:.3g} % worse than the best of "
                f"{abs(min(losses)):g} in round {losses.index(min(losses))}: the trees learn the training rows by heart"
            ),
            stage,
            number,
        )

    def _check_memory(self, stage: str, number: int) -> None:
        share = memory_share()
        if share is None:
            return
        self._judge(
            "resource_starvation",
            100 * share > self._limit("resource_starvation", "percent"),
            lambda: f"{100 * share:.0f} % of the job's memory is in use in round {number}: take a larger instance",
            stage,
            number,
        )

    def _limit(self, rule: str, name: str) -> float:
        return float(self.rules[rule][name])

    def _judge(
        self, rule: str, broken: bool, message: Callable[[], str], stage: str | None = None, number: int | None = None
    ) -> None:
        action = self.rules[rule]["action"]
        if not broken or action == "off" or any((each.rule, each.stage) == (rule, stage) for each in self.findings):
            return
        self.findings.append(Finding(rule=rule, action=action, message=message(), stage=stage, round=number))
        print(f"rule {rule} is broken: {message()}", flush=True)
        if action == "stop":
            raise StoppedByRule(f"the rule {rule} stopped the training: {message()}")


class _Watcher(TrainingCallback):
    """Hands each round's metrics to the rules."""

    def __init__(self, diagnostics: Diagnostics, stage: str) -> None:
        super().__init__()
        self._diagnostics, self._stage = diagnostics, stage

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Judge the round; never stops by itself, but by raising StoppedByRule."""
        del model
        self._diagnostics.round_ended(self._stage, epoch, evals_log)
        return False


def read_rules(hyperparameters: Path) -> Mapping[str, Mapping[str, Any]]:
    """The rules of a job: those of its hyperparameter `_diagnostics` over the defaults."""
    if not hyperparameters.is_file():
        return DEFAULTS
    given = json.loads(hyperparameters.read_text(encoding="utf-8"))
    return parse_rules(given.get(HYPERPARAMETER))


def parse_rules(text: str | None) -> Mapping[str, Mapping[str, Any]]:
    """The rules as JSON describes them, over the defaults; raises JobError for what no rule is made of."""
    try:
        given = json.loads(text) if text else {}
    except ValueError as error:
        raise JobError(f"the hyperparameter {HYPERPARAMETER} is no JSON: {error}") from error
    if not isinstance(given, Mapping):
        raise JobError(f"the hyperparameter {HYPERPARAMETER} must be an object of rules, got {text}")
    rules = {name: dict(limits) for name, limits in DEFAULTS.items()}
    for name, limits in given.items():
        _check_known(name, rules, "no rule")
        if not isinstance(limits, Mapping):
            raise JobError(f"the rule {name} must be an object, got {json.dumps(limits)}")
        for key, value in limits.items():
            _check_known(key, rules[name], f"the rule {name} has no setting")
            good = value in ACTIONS if key == "action" else type(value) in (int, float) and math.isfinite(value)
            if not good:
                wanted = f"one of {', '.join(ACTIONS)}" if key == "action" else "a number"
                raise JobError(f"{key} of the rule {name} must be {wanted}, got {json.dumps(value)}")
        rules[name].update(limits)
    return rules


def _check_known(name: str, known: Mapping[str, Any], what: str) -> None:
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        raise JobError(
            f"{what} {name!r}; " + (f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}")
        )
