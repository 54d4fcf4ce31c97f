"""Trainings that are interrupted: checkpoints, what makes them unusable, and what a job that goes on ends with."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost as xgb
from xgboost.callback import TrainingCallback

from model_runtime.boosting import Surroundings, boost, training
from model_runtime.checkpoints import Checkpoints, identity_of
from model_runtime.metrics import area_under_curve
from tests.runtime.container import Container, json_file

PARAMETERS = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "max_depth": 4,
    "learning_rate": 0.1,
    "subsample": 0.5,
    "colsample_bytree": 0.5,
    "seed": 7,
    "nthread": 1,
}
ROUNDS, PATIENCE = 200, 15

# a model whose training takes long enough to be killed in the middle of it
BOOSTING = """
import time

import polars as pl
import xgboost as xgb
from xgboost.callback import TrainingCallback

from model_runtime.boosting import boost
from toy.features import FEATURES, LABEL


def matrix(rows):
    return xgb.DMatrix(
        rows.select(pl.col(FEATURES).cast(pl.Float32)).to_numpy(), label=rows[LABEL].to_numpy(),
        feature_names=list(FEATURES),
    )


def fit(train, validation, hyperparameters):
    parameters = {"objective": "binary:logistic", "subsample": 0.5, "seed": 3, "nthread": 1, "learning_rate": 0.05}
    rounds = int(hyperparameters["rounds"])
    options = {"evals": [(matrix(validation), "validation")], "early_stopping_rounds": rounds, "verbose_eval": 1}
    probe = boost(parameters, matrix(train), rounds, stage="probe", **options)
    time.sleep(float(hyperparameters["pause"]))
    return boost(parameters, matrix(pl.concat([train, validation])), rounds)
"""


class Killed(TrainingCallback):
    """Ends a training in the middle of a round, as SIGTERM does."""

    def __init__(self, after: int) -> None:
        self._after = after

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if epoch == self._after:
            raise KeyboardInterrupt
        return False


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    features = random.normal(size=(6000, 8)).astype(np.float32)
    signal_ = features[:, 0] * features[:, 1] + features[:, 2]
    return features, (signal_ + random.normal(size=6000) > 0).astype(np.float32)


def grow(folder: Path, data: Any, *, killed: int | None = None, every: int = 10, identity: str = "a") -> xgb.Booster:
    features, label = data
    train, validation = (xgb.DMatrix(features[part], label[part]) for part in (slice(0, 4000), slice(4000, 5000)))
    around = Surroundings(
        checkpoints=Checkpoints(folder, every_rounds=every, identity=identity),
        watch=[] if killed is None else [lambda stage: [Killed(killed)]],
    )
    with training(around):
        return boost(
            PARAMETERS, train, ROUNDS, evals=[(validation, "validation")], early_stopping_rounds=PATIENCE,
            verbose_eval=None,
        )  # fmt: skip


def quality(booster: xgb.Booster, data: Any) -> float:
    features, label = data
    return area_under_curve(label[5000:] == 1, booster.predict(xgb.DMatrix(features[5000:])).astype(np.float64))


def test_killed_training_goes_on_where_it_was_and_becomes_as_good(
    tmp_path: Path, data: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = grow(tmp_path / "whole", data)
    for after in (37, 52):  # taken away twice
        with pytest.raises(KeyboardInterrupt):
            grow(tmp_path / "killed", data, killed=after)
    resumed = grow(tmp_path / "killed", data)
    said = capsys.readouterr().out
    assert "model has 37 rounds" in said
    assert "model has 52 rounds" in said
    assert resumed.num_boosted_rounds() == resumed.best_iteration + PATIENCE + 1
    assert abs(quality(whole, data) - quality(resumed, data)) < 0.01
    assert quality(resumed, data) > 0.8


def test_early_stopping_counts_on_over_an_interruption(tmp_path: Path, data: Any) -> None:
    whole = grow(tmp_path / "whole", data)
    last = whole.best_iteration + PATIENCE  # one more round without improvement ends it
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path / "killed", data, killed=last)
    resumed = grow(tmp_path / "killed", data)
    assert resumed.num_boosted_rounds() == resumed.best_iteration + PATIENCE + 1


def test_training_that_had_ended_is_not_done_again(tmp_path: Path, data: Any) -> None:
    first = grow(tmp_path, data)
    again = grow(tmp_path, data, killed=0)  # no round begins
    assert again.save_raw() == first.save_raw()
    assert again.best_iteration == first.best_iteration


@pytest.mark.parametrize("damage", ["cut short", "other bytes", "empty"])
def test_broken_checkpoint_is_left_out_with_a_message_and_the_one_before_it_used(
    tmp_path: Path, data: Any, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, data, killed=37)
    newest = max(tmp_path.glob("*.checkpoint"))
    whole = newest.read_bytes()
    middle = len(whole) // 2
    newest.write_bytes(
        {"cut short": whole[:middle], "empty": b""}.get(damage, whole[:middle] + b"x" * 50 + whole[middle + 50 :])
    )
    grow(tmp_path, data)
    said = capsys.readouterr().out
    assert f"checkpoint {newest.name} is broken and not used" in said
    assert "model has 30 rounds" in said


def test_checkpoints_of_another_training_are_not_used(
    tmp_path: Path, data: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    grow(tmp_path, data)
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, data, identity="b", killed=0)
    assert "2 checkpoints are of other data, code or hyperparameters and not used" in capsys.readouterr().out


def test_identity_changes_with_data_code_and_hyperparameters(tmp_path: Path) -> None:
    def identity(label: int = 0, code: str = "pass", **hyperparameters: int) -> str:
        file, package = tmp_path / "part.parquet", tmp_path / "toy"
        pl.DataFrame({"late": [label, 1]}).write_parquet(file)
        package.mkdir(exist_ok=True)
        (package / "train.py").write_text(code)
        return identity_of([file], package, hyperparameters)

    same = identity(rounds=1)
    assert identity(rounds=1) == same
    assert len({same, identity(rounds=2), identity(label=1, rounds=1), identity(code="pass ", rounds=1)}) == 4


def test_without_a_job_around_it_boost_is_xgboost_s_train(data: Any) -> None:
    features, label = data
    train, validation = xgb.DMatrix(features[:4000], label[:4000]), xgb.DMatrix(features[4000:], label[4000:])
    options: dict[str, Any] = {"evals": [(validation, "validation")], "early_stopping_rounds": 5}
    ours = boost(PARAMETERS, train, 60, verbose_eval=None, **options)
    theirs = xgb.train(PARAMETERS, train, 60, verbose_eval=False, **options)
    assert ours.save_raw() == theirs.save_raw()
    assert (ours.best_iteration, ours.best_score) == (theirs.best_iteration, theirs.best_score)


def training_of(container: Container, pause: str) -> None:
    container.training_job({"rounds": "40", "pause": pause}, {"train.py": BOOSTING})
    container.environment["CHECKPOINT_ROUNDS"] = "5"


def test_job_that_is_killed_between_two_trainings_does_not_do_the_first_again(
    container: Container, tmp_path: Path
) -> None:
    training_of(container, pause="30")
    process = container.start("train")
    folder, deadline = container.base / "checkpoints", time.monotonic() + 50
    while not list(folder.glob("probe-*-000040.checkpoint")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (container.base / "model" / "model.ubj").exists()

    training_of(container, pause="30")
    container.hyperparameters({"rounds": "40", "pause": "0.0"})
    other = container.run("train")
    assert "checkpoints are of other data, code or hyperparameters" in other.stdout  # pause is one

    whole = Container(tmp_path / "whole")
    training_of(whole, pause="0.0")
    assert whole.run("train").returncode == 0
    again = container.run("train")
    assert again.returncode == 0, again.stderr
    assert "probe has 40 rounds and has ended" in again.stdout
    assert "validation-logloss" not in again.stdout
    assert json_file(container.base / "model/model.json")["trees"] == 40
    assert (container.base / "model/model.ubj").read_bytes() == (whole.base / "model/model.ubj").read_bytes()


@pytest.mark.parametrize("value", ["0", "-5", "often"])
def test_nonsense_rounds_between_checkpoints_fail_the_job(container: Container, value: str) -> None:
    container.training_job()
    container.environment["CHECKPOINT_ROUNDS"] = value
    assert container.run("train").returncode == 1
    assert container.failure() == f"CHECKPOINT_ROUNDS must be a number of rounds, at least 1, got '{value}'"
