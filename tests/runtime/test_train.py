"""`train` under SageMaker's training contract: what it reads, what it leaves, and how it fails."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xgboost as xgb

from model_runtime.errors import JobError
from model_runtime.hyperparameters import parse_hyperparameters, read_hyperparameters
from model_runtime.model_code import ModelCode, load_model_code
from tests.runtime.container import ROWS_A_DAY, TRAIN, Container, json_file, rows


@pytest.fixture
def code(container: Container) -> ModelCode:
    container.code("code")
    return load_model_code(container.base / "code")


def files(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_a_job_leaves_a_model_that_says_what_it_was_made_from(container: Container) -> None:
    container.training_job({"rounds": "7", "learning_rate": "0.1", "sagemaker_region": '"us-east-1"'})
    container.environment["TRAINING_JOB_NAME"] = "toy-2013"
    done = container.run("train")
    assert done.returncode == 0, done.stderr
    assert files(container.base / "model") == {
        "model.onnx",
        "model.ubj",
        "model.json",
        "diagnostics.json",
        "prediction_baseline.json",
        "code/toy/__init__.py",
        "code/toy/features.py",
        "code/toy/train.py",
    }
    described = json_file(container.base / "model" / "model.json")
    assert described["model"] == "toy"
    assert described["features"] == ["hour", "distance", "carrier"]
    assert described["label"] == "late"
    assert described["trees"] == 7
    assert described["rows"] == {"train": 20 * ROWS_A_DAY, "validation": 6 * ROWS_A_DAY}
    assert described["days"]["train"] == {"first": "2013-01-01", "last": "2013-01-20"}
    assert described["hyperparameters"] == {
        "rounds": 7,
        "learning_rate": 0.1,
        "booster": "gbtree",
        "verbose": False,
    }
    assert described["versions"]["xgboost"] == xgb.__version__
    assert "toy-2013: 7 trees" in done.stdout
    assert not (container.base / "output" / "failure").exists()
    assert container.left_over() == []


def test_the_same_job_twice_makes_the_same_model(container: Container, tmp_path: Path) -> None:
    again = Container(tmp_path / "again")
    for each in (container, again):
        each.training_job({"rounds": "5"})
        assert each.run("train").returncode == 0
    for name in ("model.ubj", "model.json"):
        assert (container.base / "model" / name).read_bytes() == (again.base / "model" / name).read_bytes()


RAISING = {"train.py": 'def fit(train, validation, hyperparameters):\n    raise RuntimeError("no flight ever left")\n'}
WAITING = {
    "train.py": """
import time


def fit(train, validation, hyperparameters):
    print("waiting", flush=True)
    time.sleep(60)
"""
}
TELLING = {
    "train.py": """
import os


def fit(train, validation, hyperparameters):
    raise KeyError(os.environ["OMP_WAIT_POLICY"])
"""
}
EXITING = {"train.py": "import sys\n\n\ndef fit(train, validation, hyperparameters):\n    sys.exit(0)\n"}
RETURNING = {"train.py": "def fit(train, validation, hyperparameters):\n    return {}\n"}
LEAVING_OUT = {
    "train.py": TRAIN.replace("pl.col(FEATURES)", "pl.col(FEATURES[:2])").replace("list(FEATURES)", "['a', 'b']")
}
UNREADABLE = {"train.py": "def fit(:\n"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (RAISING, "toy.train.fit raised RuntimeError: no flight ever left"),
        (EXITING, "toy.train.fit raised SystemExit: 0"),
        (RETURNING, "toy.train.fit must return an xgboost.Booster, got dict"),
        (LEAVING_OUT, "toy.train.fit must use the 3 features of toy.features, its booster takes 2"),
        (UNREADABLE, "SyntaxError: invalid syntax"),
        ({"train.py": ""}, "the model 'toy' has no function toy.train.fit"),
    ],
    ids=["raises", "exits", "returns no booster", "leaves a feature out", "has a syntax error", "is missing"],
)
def test_a_training_function_that_fails_says_so_in_the_failure_file(
    container: Container, code: dict[str, str], reason: str
) -> None:
    container.training_job(files=code)
    done = container.run("train")
    assert done.returncode == 1
    assert reason in container.failure()
    assert "Traceback" in done.stderr
    assert not (container.base / "model").exists()


@pytest.mark.parametrize(("given", "found"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_wait_without_taking_a_core_unless_told_otherwise(
    container: Container, given: dict[str, str], found: str
) -> None:
    container.training_job(files=TELLING)
    container.environment |= given
    container.run("train")
    assert container.failure() == f"toy.train.fit raised KeyError: '{found}'"


def test_a_reason_is_cut_to_what_sagemaker_shows(container: Container) -> None:
    container.training_job(files={"train.py": RAISING["train.py"].replace("no flight", "x" * 3000)})
    container.run("train")
    assert len(container.failure()) == 1024


def test_a_stopped_job_ends_at_once_and_cleans_up(container: Container) -> None:
    container.training_job(files=WAITING)
    process = container.start("train")
    assert process.stdout is not None
    while "waiting" not in process.stdout.readline():
        assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began < 10
    assert not (container.base / "output" / "failure").exists()
    assert container.left_over() == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("train", "no data: "),
        ("validation", "no data: "),
        ("code", "the model's code isn't there"),
    ],
)
def test_a_missing_channel_is_named(container: Container, spoil: str, reason: str) -> None:
    container.training_job()
    channel = container.base / "input" / "data" / spoil
    channel.rename(container.base / "elsewhere")
    assert container.run("train").returncode == 1
    assert reason in container.failure()
    assert str(channel) in container.failure()


def test_rows_without_a_label_do_not_train(container: Container) -> None:
    container.training_job()
    unlabelled = rows(2).with_columns(late=pl.lit(None, pl.Int32))
    container.parquet("input/data/train/more.parquet", unlabelled)
    assert container.run("train").returncode == 1
    assert container.failure() == f"the channel 'train' has {unlabelled.height} rows without the label 'late'"


def test_code_comes_as_a_directory_too_and_model_name_chooses_the_package(container: Container) -> None:
    container.code("code", package="first")
    container.code("code", {"features.py": "FEATURES = ('a',)\nLABEL = 'b'\n"}, package="only")
    for name in ("first", "second"):
        package = container.base / "unpacked" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "features.py").write_text(f"FEATURES = ('{name}',)\nLABEL = 'y'\n")
    assert load_model_code(container.base / "code").features == ("a",)
    assert load_model_code(container.base / "unpacked", "second").features == ("second",)
    with pytest.raises(JobError, match=r"it holds first, second\. MODEL_NAME must name the package"):
        load_model_code(container.base / "unpacked")


def test_code_that_is_no_package_is_refused(container: Container) -> None:
    container.code("undeclared", {"features.py": "FEATURES = ('a',)\n"}, package="undeclared")
    with pytest.raises(JobError, match=r"undeclared.features must declare LABEL"):
        load_model_code(container.base / "undeclared")
    container.code("broken")
    (container.base / "broken" / "asset.zip").write_bytes(b"PK no zip")
    with pytest.raises(JobError, match=r"asset.zip is no zip file"):
        load_model_code(container.base / "broken")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, {"rounds": 10, "learning_rate": 0.3, "booster": "gbtree", "verbose": False}),
        ({"rounds": "3"}, {"rounds": 3}),
        ({"rounds": "3.0"}, {"rounds": 3}),
        ({"rounds": '"3"'}, {"rounds": 3}),
        ({"learning_rate": "1"}, {"learning_rate": 1.0}),
        ({"learning_rate": '"1e-2"'}, {"learning_rate": 0.01}),
        ({"booster": "dart", "verbose": "true"}, {"booster": "dart", "verbose": True}),
        ({"booster": '"dart"'}, {"booster": "dart"}),
        ({"booster": "7"}, {"booster": "7"}),
    ],
)
def test_hyperparameters_become_what_the_model_declares(
    code: ModelCode, given: dict[str, str], read: dict[str, Any]
) -> None:
    found = parse_hyperparameters(code, given)
    assert {name: getattr(found, name) for name in read} == read
    assert {type(getattr(found, name)) for name in read} == {type(each) for each in read.values()}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"round": "3"}, "no hyperparameter 'round'; did you mean 'rounds'?"),
        ({"xyz": "3"}, "no hyperparameter 'xyz'; known are rounds, learning_rate, booster, verbose"),
        ({"rounds": "many"}, "hyperparameter 'rounds' must be int, got 'many'"),
        ({"rounds": "2.5"}, "hyperparameter 'rounds' must be int, got '2.5'"),
        ({"rounds": "true"}, "hyperparameter 'rounds' must be int, got 'true'"),
        ({"verbose": "1"}, "hyperparameter 'verbose' must be bool, got '1'"),
        ({"learning_rate": "NaN"}, "hyperparameter 'learning_rate' must be float, got 'NaN'"),
        ({"rounds": "0"}, "hyperparameters of 'toy': rounds must be at least 1, got 0"),
    ],
)
def test_a_hyperparameter_that_does_not_fit_is_refused_by_name(
    code: ModelCode, given: dict[str, str], reason: str
) -> None:
    with pytest.raises(JobError) as refused:
        parse_hyperparameters(code, given)
    assert reason in str(refused.value)


def test_what_sagemaker_keeps_for_itself_is_no_hyperparameter(container: Container) -> None:
    container.hyperparameters({"rounds": "3", "sagemaker_program": "x.py", "_tuning_objective_metric": "auc"})
    file = container.base / "input" / "config" / "hyperparameters.json"
    assert read_hyperparameters(file) == {"rounds": "3"}
    assert read_hyperparameters(file.with_name("absent.json")) == {}
    for text in ("{", "[1]"):
        file.write_text(text)
        with pytest.raises(JobError, match=r"hyperparameters\.json"):
            read_hyperparameters(file)


def test_a_model_that_declares_none_gets_its_hyperparameters_as_they_are(container: Container) -> None:
    container.code("plain", {"train.py": ""}, package="plain")
    code = load_model_code(container.base / "plain")
    assert parse_hyperparameters(code, {"depth": "3", "name": "x"}) == {"depth": 3, "name": "x"}


def test_an_unknown_command_is_refused_and_touches_nothing(container: Container) -> None:
    container.base.mkdir()
    done = container.run("dance")
    assert done.returncode == 1
    assert "unknown command 'dance': expected one of prepare, tables, train, evaluate, serve" in done.stderr
    assert not (container.base / "output").exists()
