"""A regression from end to end: trained, judged and served as numbers, and never taken for probabilities."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.evaluate import main
from model_runtime.paths import ContainerPaths
from tests.runtime.container import REGRESSION, Container, json_file, rows

TEST = rows(8, seed=2)
REPORT = "processing/output/evaluation/evaluation.json"


@pytest.fixture(scope="module")
def trained_regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory that a training job left; not to be changed."""
    job = Container(tmp_path_factory.mktemp("training") / "ml", {"PROBLEM": "regression"})
    job.training_job({"rounds": "30"}, REGRESSION)
    done = job.run("train")
    assert done.returncode == 0, done.stderr
    return job.base / "model"


@pytest.fixture
def job(container: Container, trained_regression: Path, monkeypatch: pytest.MonkeyPatch) -> Container:
    """An evaluation of the regression, asked for as one."""
    put_model(container, trained_regression)
    container.parquet("processing/input/test/part.parquet", TEST)
    container.environment["PROBLEM"] = "regression"
    monkeypatch.setenv("PROBLEM", "regression")
    return container


def put_model(job: Container, model: Path) -> None:
    target = job.base / "processing/input/model/model.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as tar:
        tar.add(model, arcname=".")


def evaluation(job: Container) -> Any:
    main(ContainerPaths(job.base))
    return json_file(job.base / REPORT)


def test_the_model_says_that_it_is_a_regression(trained_regression: Path, trained: Path) -> None:
    assert json_file(trained_regression / "model.json")["problem"] == "regression"
    assert json_file(trained / "model.json")["problem"] == "binary_classification"


def test_the_command_writes_the_errors_that_the_gate_reads(job: Container) -> None:
    done = job.run("evaluate")
    assert done.returncode == 0, done.stderr
    found = json_file(job.base / REPORT)
    assert found["dataset"] == {
        "item_count": TEST.height,
        "label_mean": pytest.approx(TEST["minutes"].cast(pl.Float64).mean()),
        "first_day": "2013-01-01",
        "last_day": "2013-01-08",
    }
    assert "binary_classification_metrics" not in found
    metrics = found["regression_metrics"]
    assert set(metrics) == {"mae", "mse", "rmse", "r2"}
    assert 3 < metrics["mae"]["value"] < 6  # the noise of the labels alone is 4
    assert metrics["r2"]["value"] > 0.97
    assert 0 < metrics["mae"]["standard_deviation"] < 0.5
    assert f"mae {metrics['mae']['value']} (standard deviation" in done.stdout


def test_an_evaluation_comes_out_the_same_again(job: Container) -> None:
    assert evaluation(job) == evaluation(job)


def test_the_models_own_evaluation_adds_to_the_errors(job: Container, trained_regression: Path) -> None:
    changed = job.base / "changed"
    shutil.copytree(trained_regression, changed)
    text = "def evaluate(model, test):\n    return {'longest': test['prediction'].max()}\n"
    (changed / "code/toy/evaluate.py").write_text(text)
    put_model(job, changed)
    assert 200 < evaluation(job)["regression_metrics"]["longest"]["value"] < 250


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (pl.lit(None, pl.Float32), "320 rows without the label 'minutes'"),
        (pl.when(pl.col("hour") > 5).then("minutes").otherwise(float("nan")), "rows without the label 'minutes'"),
        (pl.lit(float("inf")), "320 rows without the label 'minutes'"),
        (pl.lit(90.0), "proves nothing: the label 'minutes' is always 90.0"),
        (pl.lit("long"), "the label 'minutes' must be a number, the test data has String"),
    ],
)
def test_labels_that_prove_nothing_are_refused(job: Container, label: pl.Expr, reason: str) -> None:
    job.parquet("processing/input/test/part.parquet", TEST.with_columns(minutes=label))
    with pytest.raises(JobError, match=reason):
        evaluation(job)
    assert not (job.base / REPORT).exists()


def test_an_answer_that_is_no_number_is_refused(job: Container, trained_regression: Path) -> None:
    changed = job.base / "changed"
    shutil.copytree(trained_regression, changed)
    text = "def transform_fn(model, body, content_type, accept):\n    return 'inf\\n' * len(body.splitlines())\n"
    (changed / "code/toy/inference.py").write_text(text)
    put_model(job, changed)
    with pytest.raises(JobError, match="the model must give a finite number for each of the 320 test rows"):
        evaluation(job)


def test_a_model_judged_as_another_kind_than_it_is_ends_the_job(job: Container) -> None:
    del job.environment["PROBLEM"]
    assert job.run("evaluate").returncode == 1
    assert job.failure() == (
        "the model 'toy' was trained as regression, but PROBLEM says binary_classification: "
        "set it to regression, or train the model again"
    )


def test_a_model_from_before_there_were_problems_is_a_classifier(
    container: Container, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, container.base / "processing/input/model")
    container.parquet("processing/input/test/part.parquet", TEST)
    file = container.base / "processing/input/model/model.json"
    described = json_file(file)
    del described["problem"]
    file.write_text(json.dumps(described))
    assert "auc" in evaluation(container)["binary_classification_metrics"]
    file.write_text(json.dumps(described | {"problem": "guessing"}))
    with pytest.raises(JobError, match=r"model.json: problem must be binary_classification or regression, got 'gu"):
        evaluation(container)


def test_labels_that_are_no_numbers_do_not_train(container: Container) -> None:
    container.environment["PROBLEM"] = "regression"
    container.training_job(files=REGRESSION)
    broken = rows(2).with_columns(minutes=pl.lit(float("nan"), pl.Float32))
    container.parquet("input/data/validation/more.parquet", broken)
    assert container.run("train").returncode == 1
    assert container.failure() == f"the channel 'validation' has {broken.height} rows without the label 'minutes'"


def test_an_endpoint_answers_with_numbers_of_any_size(container: Container, trained_regression: Path) -> None:
    shutil.copytree(trained_regression, container.base / "model")
    container.environment["PROBLEM"] = "regression"
    server = container.serve()
    try:
        answer = server.invoke("17,1400,UA\n5,300,DL\n")
    finally:
        server.stop()
    assert answer.status == 200
    assert [float(line) for line in answer.body.splitlines()] == pytest.approx([170, 50], abs=15)


def test_an_endpoint_told_to_be_another_kind_never_listens(container: Container, trained_regression: Path) -> None:
    shutil.copytree(trained_regression, container.base / "model")
    container.environment["PROBLEM"] = "binary_classification"
    done = container.run("serve")
    assert done.returncode == 1
    assert "was trained as regression, but PROBLEM says binary_classification" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("maximum", "passed", "told"), [("100", True, "meets the maximum of 100"), ("0.01", False, "is above the maximum")]
)
def test_an_error_is_bounded_from_above(job: Container, maximum: str, passed: bool, told: str) -> None:
    done = job.run("evaluate", "--metric", "mae", "--maximum", maximum)
    assert done.returncode == 0, done.stderr
    gate = json_file(job.base / REPORT)["gate"]
    assert gate["passed"] is passed
    assert told in gate["reason"]
