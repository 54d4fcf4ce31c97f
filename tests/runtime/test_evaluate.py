"""`evaluate` judges the model that will serve, on rows that it can trust."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.evaluate import main
from model_runtime.metrics import area_under_curve
from model_runtime.paths import ContainerPaths
from tests.runtime.container import FIRST_DAY, Container, json_file, rows

TEST = rows(8, seed=2)


def archive(model: Path, target: Path) -> None:
    """Pack a model directory as SageMaker does after training."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as tar:
        tar.add(model, arcname=".")


@pytest.fixture
def job(container: Container, trained: Path) -> Container:
    archive(trained, container.base / "processing/input/model/model.tar.gz")
    container.parquet("processing/input/test/part.parquet", TEST)
    return container


def evaluation(job: Container) -> Any:
    main(ContainerPaths(job.base))
    return json_file(job.base / "processing/output/evaluation/evaluation.json")


def with_module(job: Container, trained: Path, name: str, text: str) -> Any:
    """Evaluate the trained model with one more module in its package."""
    shutil.copytree(trained, job.base / "changed")
    (job.base / "changed" / "code" / "toy" / f"{name}.py").write_text(text)
    archive(job.base / "changed", job.base / "processing/input/model/model.tar.gz")
    return evaluation(job)


def test_the_command_writes_the_statistics_that_the_gate_reads(job: Container, trained: Path) -> None:
    done = job.run("evaluate")
    assert done.returncode == 0, done.stderr
    found = json_file(job.base / "processing/output/evaluation/evaluation.json")
    assert found["version"] == 0.0
    assert found["dataset"] == {
        "item_count": TEST.height,
        "positive_share": pytest.approx(TEST["late"].mean()),
        "first_day": str(FIRST_DAY),
        "last_day": "2013-01-08",
    }
    area = found["binary_classification_metrics"]["auc"]
    assert 0.6 < area["value"] < 0.9
    assert 0 < area["standard_deviation"] < 0.1
    assert f"auc {area['value']}" in done.stdout
    assert job.left_over() == []


def test_a_model_directory_is_judged_like_its_archive(job: Container, trained: Path) -> None:
    packed = evaluation(job)
    shutil.rmtree(job.base / "processing/input/model")
    shutil.copytree(trained, job.base / "processing/input/model")
    assert evaluation(job) == packed


def test_rows_of_another_order_or_with_other_columns_change_nothing(job: Container) -> None:
    before = evaluation(job)
    reordered = TEST.select("late", "carrier", "distance", "hour", "day").sample(fraction=1, shuffle=True, seed=1)
    job.parquet("processing/input/test/part.parquet", reordered)
    assert evaluation(job)["binary_classification_metrics"]["auc"]["value"] == pytest.approx(
        before["binary_classification_metrics"]["auc"]["value"], abs=1e-12
    )


def test_the_models_own_evaluation_adds_metrics(job: Container, trained: Path) -> None:
    text = """
def evaluate(model, test):
    return {"trees": model.num_boosted_rounds(), "mean": test["prediction"].mean()}
"""
    metrics = with_module(job, trained, "evaluate", text)["binary_classification_metrics"]
    assert metrics["trees"] == {"value": 20.0, "standard_deviation": "NaN"}
    assert 0 < metrics["mean"]["value"] < 1


def test_what_is_judged_is_what_will_serve(job: Container, trained: Path) -> None:
    plain = evaluation(job)["binary_classification_metrics"]
    upside_down = "def predict_fn(data, model):\n    return 1 - model.inplace_predict(data)\n"
    turned = with_module(job, trained, "inference", upside_down)["binary_classification_metrics"]
    assert turned["auc"]["value"] == pytest.approx(1 - plain["auc"]["value"], abs=1e-6)


def test_a_transform_function_is_asked_as_an_endpoint_would_ask_it(job: Container, trained: Path) -> None:
    text = """
def transform_fn(model, body, content_type, accept):
    assert (content_type, accept) == ("text/csv", "text/csv")
    return "\\n".join(str(float(line.split(",")[0]) / 30) for line in body.splitlines())
"""
    found = with_module(job, trained, "inference", text)["binary_classification_metrics"]
    hours = TEST["hour"].cast(pl.Float64).to_numpy()
    assert found["auc"]["value"] == pytest.approx(area_under_curve(TEST["late"].to_numpy() == 1, hours), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def predict_fn(data, model):\n    return [2.0] * len(data)\n", "must give a probability for each"),
        ("def transform_fn(model, body, content_type, accept):\n    return '0.5'\n", "it gave 1 numbers from 0.5"),
        ("def transform_fn(model, body, content_type, accept):\n    return 'late'\n", "a number per row"),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(job: Container, trained: Path, text: str, reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        with_module(job, trained, "inference", text)


def test_an_own_evaluation_that_returns_no_mapping_is_refused(job: Container, trained: Path) -> None:
    with pytest.raises(JobError, match=r"toy.evaluate.evaluate must return a mapping"):
        with_module(job, trained, "evaluate", "def evaluate(model, test):\n    return 0.7\n")


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (TEST.filter(pl.col("late") == 1), "one class only: the label 'late' is always 1"),
        (TEST.with_columns(late=pl.col("late") * 3), "the label 'late' must be 0 or 1, the test data has \\[0, 3\\]"),
        (TEST.with_columns(late=pl.lit(None, pl.Int32)), "rows without the label 'late'"),
        (TEST.drop("distance"), "misses the columns distance"),
        (TEST.clear(), "hold no row"),
    ],
)
def test_rows_that_prove_nothing_are_refused(job: Container, test: pl.DataFrame, reason: str) -> None:
    job.parquet("processing/input/test/part.parquet", test)
    with pytest.raises(JobError, match=reason):
        main(ContainerPaths(job.base))
    assert not (job.base / "processing/output/evaluation/evaluation.json").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00 cut short"])
def test_a_broken_archive_ends_the_job_with_its_name(job: Container, content: bytes) -> None:
    (job.base / "processing/input/model/model.tar.gz").write_bytes(content)
    with pytest.raises(JobError, match=r"model.tar.gz"):
        main(ContainerPaths(job.base))
