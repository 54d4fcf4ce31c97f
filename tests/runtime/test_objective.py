"""The objective of a tuning job: a metric of validation days that no tree has seen."""

from __future__ import annotations

import re

import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.metrics import area_under_curve
from model_runtime.objective import asked_objective, newest_apart
from model_runtime.problems import BINARY_CLASSIFICATION, REGRESSION
from tests.runtime.container import TRAIN, Container, rows

# grows its trees on the rows that it should be judged by, as models that want the newest days do
GREEDY = (
    TRAIN.replace(
        "def fit(train, validation, hyperparameters):",
        "def fit(train, validation, hyperparameters):\n    train = pl.concat([train, validation])",
    )
    .replace("import xgboost as xgb\n", "import xgboost as xgb\n\nfrom model_runtime.boosting import boost\n")
    .replace(
        "return xgb.train(parameters, data, hyperparameters.rounds)",
        "return boost(parameters, data, hyperparameters.rounds)",
    )
    .replace('"nthread": 1}', '"nthread": 1, "max_depth": 12}')
)


def values(output: str, metric: str = "auc") -> list[float]:
    """The values that a tuning job reads from a training job's log."""
    return [float(each) for each in re.findall(rf"validation:{metric}=([-+0-9.eE]+)", output)]


def test_without_a_tuning_job_nothing_is_printed(container: Container) -> None:
    container.training_job()
    run = container.run("train")
    assert run.returncode == 0, run.stderr
    assert values(run.stdout) == []


def test_rows_that_a_model_learned_by_heart_do_not_flatter_its_objective(container: Container) -> None:
    container.environment["TUNING_OBJECTIVE"] = "auc"
    container.training_job({"rounds": "60"}, {"train.py": GREEDY})
    run = container.run("train")
    assert run.returncode == 0, run.stderr
    found = values(run.stdout)
    assert len(found) == 3  # after 25 and 50 rounds, and at the end
    validation = pl.read_parquet(container.base / "input/data/validation/part.parquet")
    hour = validation["hour"].to_numpy().astype("float64")
    best = area_under_curve(validation["late"].cast(pl.Boolean).to_numpy(), hour)  # as the rows were made
    assert 0.5 < found[-1] < best + 0.03
    assert (container.base / "model/model.ubj").is_file()


def test_the_same_values_come_out_of_every_run(container: Container) -> None:
    container.environment["TUNING_OBJECTIVE"] = "auc"
    container.training_job()
    first = values(container.run("train").stdout)
    assert first
    assert values(container.run("train").stdout) == first


def test_a_metric_that_the_problem_lacks_fails_the_job(container: Container) -> None:
    container.environment["TUNING_OBJECTIVE"] = "mae"
    container.training_job()
    assert container.run("train").returncode == 1
    assert container.failure().startswith("TUNING_OBJECTIVE must be one of auc, ")


def test_too_few_days_fail_the_job_with_the_reason(container: Container) -> None:
    container.environment["TUNING_OBJECTIVE"] = "auc"
    container.training_job()
    container.parquet("input/data/train/part.parquet", rows(days=5))
    assert container.run("train").returncode == 1
    assert "tuning needs more than 6 training days, as many as there are validation days, got 5" in container.failure()


def test_the_newest_training_days_stand_for_the_validation_days() -> None:
    table = rows(days=10)
    days = table["day"].unique().sort()
    older, newer = newest_apart(table.filter(pl.col("day") <= days[6]), table.filter(pl.col("day") > days[6]))
    assert older["day"].unique().sort().to_list() == days[:4].to_list()
    assert newer["day"].unique().sort().to_list() == days[4:7].to_list()


def test_rows_without_days_are_refused() -> None:
    table = rows(days=3)
    with pytest.raises(JobError, match="the channel 'train' has no column 'day'"):
        newest_apart(table.drop("day"), table)


def test_the_objective_is_read_from_the_environment() -> None:
    assert asked_objective(REGRESSION, {"TUNING_OBJECTIVE": "mae"}) == "mae"
    assert asked_objective(BINARY_CLASSIFICATION, {}) is None
