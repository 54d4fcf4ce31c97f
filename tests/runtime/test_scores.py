"""Models of other containers: the tables that a search learns from, and the judgement of the scores that come back."""

from __future__ import annotations

import polars as pl
import pytest

from model_runtime.metrics import area_under_curve
from tests.runtime.container import FIRST_DAY, TOY, Container, json_file, rows


def split(container: Container) -> pl.DataFrame:
    """Lay out what Prepare leaves, and return the test rows."""
    container.code("processing/input/code", TOY)
    data = rows(days=30)
    for name, (first, last) in {"train": (0, 20), "validation": (20, 25), "test": (25, 30)}.items():
        part = data.filter((pl.col("day") - FIRST_DAY).dt.total_days().is_between(first, last - 1))
        container.parquet(f"processing/input/{name}/part.parquet", part)
    return part


def test_a_search_is_given_features_and_label_and_nothing_else(container: Container) -> None:
    test = split(container)
    run = container.run("tables")
    assert run.returncode == 0, run.stderr
    output = container.base / "processing/output"
    training = pl.read_parquet(output / "training/part.parquet")
    assert training.columns == ["hour", "distance", "carrier", "late"]
    assert training["late"].dtype == pl.Int32
    assert pl.read_parquet(output / "validation/part.parquet").height == 200
    scored = pl.read_csv(output / "rows/rows.csv", has_header=False)
    assert scored.shape == (test.height, 3)
    assert scored.to_series(0).to_list() == test["hour"].to_list()


def judged(container: Container, lines: list[str], *arguments: str) -> str:
    target = container.base / "processing/input/scores/rows.csv.out"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(f"{line}\n" for line in lines))
    run = container.run("evaluate", *arguments)
    return "" if run.returncode == 0 else container.failure()


def test_the_score_is_the_probability_of_the_label_1(container: Container) -> None:
    test = split(container)
    # Autopilot names the labels in the order of the probabilities, as numbers or as texts
    lines = [f'"[{1 - hour / 30}, {hour / 30}]","[0, 1]"' for hour in test["hour"][:100]]
    lines += [f"\"[{hour / 30}, {1 - hour / 30}]\",\"['1', '0']\"" for hour in test["hour"][100:]]
    assert judged(container, lines, "--metric", "auc", "--minimum", "0.5") == ""
    report = json_file(container.base / "processing/output/evaluation/evaluation.json")
    truth = area_under_curve(test["late"].cast(pl.Boolean).to_numpy(), test["hour"].cast(pl.Float64).to_numpy())
    assert report["binary_classification_metrics"]["auc"]["value"] == pytest.approx(truth)
    assert report["gate"]["passed"] is True
    assert report["dataset"]["item_count"] == test.height


def test_a_bad_candidate_does_not_pass_the_gate(container: Container) -> None:
    test = split(container)
    lines = ['"[0.5, 0.5]","[0, 1]"'] * test.height
    assert judged(container, lines, "--metric", "auc", "--minimum", "0.6") == ""
    gate = json_file(container.base / "processing/output/evaluation/evaluation.json")["gate"]
    assert gate["passed"] is False
    assert "below the minimum of 0.6" in gate["reason"]


def test_answers_that_are_no_probabilities_fail_with_their_line(container: Container) -> None:
    test = split(container)
    lines = ['"[0.5, 0.5]","[0, 1]"'] * (test.height - 1) + ["1"]
    message = judged(container, lines, "--metric", "auc", "--minimum", "0.6")
    assert f"line {test.height} of the scores must hold the probabilities and their labels, got '1'" in message


def test_a_missing_answer_fails_the_job(container: Container) -> None:
    test = split(container)
    message = judged(container, ['"[0.5, 0.5]","[0, 1]"'] * (test.height - 1), "--metric", "auc", "--minimum", "0.6")
    assert f"for each of the {test.height} test rows, it gave {test.height - 1} numbers" in message
