"""Rules watch a training: a warning is reported, a stop ends the job with a reason that can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from model_runtime.diagnostics import DEFAULTS, Diagnostics, StoppedByRule, parse_rules
from model_runtime.errors import JobError
from model_runtime.memory import memory_share
from model_runtime.problems import BINARY_CLASSIFICATION, REGRESSION
from tests.runtime.container import TRAIN, Container, json_file, rows

FEATURES = ("hour", "distance", "carrier")
BOOSTING = "import xgboost as xgb\n\nfrom model_runtime.boosting import boost"
WATCHED = TRAIN.replace("import xgboost as xgb", BOOSTING).replace(
    "return xgb.train(parameters, data, hyperparameters.rounds)",
    """held_out = xgb.DMatrix(
        validation.select(pl.col(FEATURES).cast(pl.Float32)).to_numpy(), label=validation[LABEL].to_numpy(),
        feature_names=list(FEATURES),
    )
    return boost(parameters, data, hyperparameters.rounds, evals=[(held_out, "validation")])""",
)  # fmt: skip


def diagnostics(**rules: dict[str, Any]) -> Diagnostics:
    return Diagnostics(parse_rules(json.dumps(rules)))


def course(watching: Diagnostics, *losses: float, metric: str = "logloss") -> list[tuple[str, int | None]]:
    """Let a training have these metrics; the rules that it breaks, with their rounds."""
    for number in range(len(losses)):
        watching.round_ended("model", number, {"validation": {metric: list(losses[: number + 1])}})
    return [(each.rule, each.round) for each in watching.findings]


def judged(frame: pl.DataFrame, **rules: dict[str, Any]) -> dict[str, str]:
    watching = diagnostics(**rules)
    watching.check_rows(frame, FEATURES, "late", BINARY_CLASSIFICATION)
    return {each.rule: each.message for each in watching.findings}


def test_a_loss_that_falls_breaks_no_rule() -> None:
    assert course(diagnostics(), *(1 / (1 + number) for number in range(60))) == []


def test_a_loss_that_stays_where_it_began_is_found_after_its_rounds() -> None:
    flat = [0.6930 - 0.00001 * number for number in range(30)]
    assert course(diagnostics(), *flat) == [("loss_not_decreasing", 20)]
    assert course(diagnostics(loss_not_decreasing={"rounds": 5}), *flat) == [("loss_not_decreasing", 5)]
    assert course(diagnostics(loss_not_decreasing={"percent": 0.01}), *flat) == []
    assert course(diagnostics(loss_not_decreasing={"action": "off"}), *flat) == []


def test_a_metric_of_which_more_is_better_is_read_the_other_way() -> None:
    rising = [0.5 + 0.011 * number for number in range(30)]
    assert course(diagnostics(), *rising, metric="auc") == []
    assert course(diagnostics(), *reversed(rising), metric="auc")[0] == ("overfitting", 8)
    assert course(diagnostics(), *rising, metric="logloss")[0] == ("overfitting", 5)


def test_overfitting_names_both_rounds_and_is_told_once() -> None:
    watching = diagnostics()
    assert course(watching, 1.0, 0.5, 0.54, 0.56, 0.7) == [("overfitting", 3)]
    (finding,) = watching.findings
    assert finding.message.startswith(
        "validation-logloss is 0.56 in round 3, 12 % worse than the best of 0.5 in round 1"
    )


@pytest.mark.parametrize("last", [float("nan"), float("inf"), 7.1])
def test_a_metric_that_explodes_stops_the_training(last: float) -> None:
    with pytest.raises(StoppedByRule, match=r"the rule exploding_metric stopped the training: validation-logloss is"):
        course(diagnostics(), 0.7, 0.6, last)


def test_rows_that_can_hardly_teach_are_found_before_the_training() -> None:
    good = rows()
    assert judged(good) == {}
    assert "40 training rows for 3 features are 13.3 for each" in judged(rows(1))["little_data"]
    together = Diagnostics()
    together.check_rows(rows(1), FEATURES, "late", BINARY_CLASSIFICATION, rows=4000)
    assert not [each for each in together.findings if each.rule == "little_data"], "other hosts have rows too"
    rare = good.with_columns(late=pl.when(pl.int_range(pl.len()) < 5).then(1).otherwise(0))
    assert "0.417 % of the training rows have the rarer label" in judged(rare)["class_imbalance"]
    assert "class_imbalance" in judged(rare.with_columns(late=1 - pl.col("late")))
    dead = good.with_columns(hour=pl.lit(3.0), distance=pl.lit(float("nan"), pl.Float32))
    assert judged(dead)["dead_features"] == "constant or always missing in the training rows: hour, distance"
    assert judged(dead, dead_features={"maximum": 2}) == {}
    with pytest.raises(StoppedByRule, match="the rule dead_features stopped the training: constant"):
        judged(dead, dead_features={"action": "stop"})


def test_a_regression_has_no_classes_to_be_out_of_balance() -> None:
    watching = diagnostics()
    watching.check_rows(rows().with_columns(late=pl.lit(0)), FEATURES, "late", REGRESSION)
    assert watching.findings == []


def test_features_that_no_tree_splits_on_are_named() -> None:
    random = np.random.default_rng(1)
    data = random.random((400, 2)).astype(np.float32)
    data[:, 1] = 1
    booster = xgb.train({"max_depth": 2}, xgb.DMatrix(data, label=data[:, 0]), 3)
    watching = Diagnostics()
    watching.check_trees(booster, ("hour", "gate"))
    assert watching.unused_features == ["gate"]


def test_memory_is_that_of_the_control_group_less_what_can_be_dropped(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    assert memory_share(tmp_path) is None
    (group / "memory.max").write_text("1000\n")
    (group / "memory.current").write_text("960\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 10\n")
    assert memory_share(tmp_path) == 0.95
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 30 kB\n")
    assert memory_share(tmp_path) == 0.97
    (group / "memory.max").write_text("max\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 600 kB\n")
    assert memory_share(tmp_path) == 0.4


def test_memory_near_its_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_runtime.diagnostics.memory_share", lambda: 0.93)
    watching = diagnostics()
    assert course(watching, 0.7, 0.6) == [("resource_starvation", 0)]
    assert "93 % of the job's memory is in use" in watching.findings[0].message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"overfiting": {}}', "no rule 'overfiting'; did you mean 'overfitting'"),
        ('{"overfitting": {"precent": 1}}', "the rule overfitting has no setting 'precent'; did you mean 'percent'"),
        ('{"overfitting": {"action": "halt"}}', 'action of the rule overfitting must be one of off, warn, stop, got'),
        ('{"overfitting": {"percent": "1"}}', 'percent of the rule overfitting must be a number, got "1"'),
        ('{"overfitting": 1}', "the rule overfitting must be an object, got 1"),
        ("{", "is no JSON"),
        ("[]", "must be an object of rules"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str, reason: str) -> None:
    with pytest.raises(JobError) as refused:
        parse_rules(text)
    assert reason in str(refused.value)


def test_a_job_reports_its_rules_and_metrics_in_the_artifact_and_beside_it(container: Container) -> None:
    container.training_job(
        {"rounds": "6", "_diagnostics": '{"little_data": {"rows_per_feature": 1e6}}'}, {"train.py": WATCHED}
    )
    done = container.run("train")
    assert done.returncode == 0, done.stderr
    report = json_file(container.base / "model/diagnostics.json")
    assert report == json_file(container.base / "output/data/diagnostics.json")
    assert {name: rule["status"] for name, rule in report["rules"].items()} == {
        name: "broken" if name == "little_data" else "held" for name in DEFAULTS
    }
    series = report["history"]["model"]["validation-logloss"]
    assert len(series) == 6
    assert f"model: round=5 validation={series[-1]:.6g}" in done.stdout
    assert "rule little_data is broken: 800 training rows" in done.stdout
    assert "diagnostics: rules_broken=1" in done.stdout


def test_a_broken_rule_that_stops_ends_the_job_with_its_reason(container: Container) -> None:
    explosive = WATCHED.replace('"nthread": 1}', '"nthread": 1, "base_score": 0.5, "max_delta_step": 0, "lambda": 0}')
    rules = '{"exploding_metric": {"factor": 1.5}}'
    container.training_job({"rounds": "400", "learning_rate": "9.0", "_diagnostics": rules}, {"train.py": explosive})
    done = container.run("train")
    assert done.returncode == 1
    assert container.failure().startswith("the rule exploding_metric stopped the training: validation-logloss is ")
    assert json_file(container.base / "output/data/diagnostics.json")["rules"]["exploding_metric"]["status"] == "broken"
    assert not (container.base / "model/model.ubj").exists()


def test_a_job_that_is_told_where_its_metrics_belong_writes_one_for_each_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in {"METRICS_NAMESPACE": "n", "METRICS_ENVIRONMENT": "dev", "MODEL_NAME": "toy"}.items():
        monkeypatch.setenv(name, value)
    watching = diagnostics(dead_features={"action": "off"}, exploding_metric={"action": "stop", "factor": 100})
    course(watching, 0.6, 0.4, 0.5)
    with pytest.raises(StoppedByRule):
        course(watching, 0.6, float("nan"))
    watching.write(tmp_path)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    broken = {line["Rule"]: line["RuleBroken"] for line in lines if "Rule" in line}
    assert broken == {
        name: int(name in ("overfitting", "exploding_metric")) for name in DEFAULTS if name != "dead_features"
    }
    (warning,) = [line for line in lines if "Rule" not in line]
    assert (warning["RulesWarning"], warning["Environment"], warning["Model"]) == (1, "dev", "toy")
    assert warning["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "n",
            "Dimensions": [["Environment", "Model"]],
            "Metrics": [{"Name": "RulesWarning", "Unit": "Count"}],
        }
    ]
