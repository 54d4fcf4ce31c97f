"""A feature that is written down only after the outcome is found before anything is trained on it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.leakage import check_leakage
from model_runtime.paths import ContainerPaths
from model_runtime.prepare import main
from model_runtime.problems import BINARY_CLASSIFICATION, REGRESSION, Problem
from tests.runtime.container import Container, rows

FEATURES = ("hour", "distance", "carrier")
NOISE = np.random.default_rng(3).normal(0, 1, rows().height)


def check(frame: pl.DataFrame, *allowed: str, label: str = "late", problem: Problem = BINARY_CLASSIFICATION) -> None:
    labelled = frame.filter(pl.col(label).cast(pl.Float64).is_not_nan())
    check_leakage(labelled, frame.lazy(), FEATURES, label, problem, allowed)


def test_features_that_are_known_pass() -> None:
    check(rows())
    check(rows(), label="minutes", problem=REGRESSION)


@pytest.mark.parametrize(
    "leak",
    [
        pl.col("late") * 30.0,
        -pl.col("late") + NOISE * 0.2,
        (pl.col("late") - 0.5).abs() * 0 + pl.when(pl.col("late") == 1).then(np.sign(NOISE)).otherwise(0.0),
        pl.when(pl.col("late") == 1).then(pl.col("distance")),
    ],
    ids=["the label itself", "turned and noisy", "late at both ends", "missing unless late"],
)
def test_a_feature_that_tells_the_label_by_itself_is_named_with_its_figure(leak: pl.Expr) -> None:
    with pytest.raises(JobError) as refused:
        check(rows().with_columns(distance=leak))
    told = str(refused.value)
    assert told.startswith("the feature distance tells the label late by itself with an AUC of ")
    assert "0.95" in told
    assert told.endswith("data.allow_leakage: [distance]")


def test_what_predicts_well_and_not_implausibly_well_passes() -> None:
    check(rows().with_columns(distance=pl.col("late") + NOISE * 0.75))
    minutes = pl.col("minutes") + NOISE * 12
    check(rows().with_columns(distance=minutes), label="minutes", problem=REGRESSION)


def test_a_feature_that_tells_a_number_by_itself_is_found() -> None:
    with pytest.raises(JobError, match="the feature carrier tells the label minutes by itself with an R2 of "):
        check(rows().with_columns(carrier=pl.col("minutes") + 2), label="minutes", problem=REGRESSION)


def cancelled() -> pl.DataFrame:
    """Flights of which each twentieth never arrives, so that it has no label."""
    arrived = pl.int_range(pl.len()) % 20 != 0
    return rows().with_columns(late=pl.when(arrived).then("late"))


NAN = float("nan")


@pytest.mark.parametrize("no_label", [None, NAN])
@pytest.mark.parametrize("no_value", [None, NAN])
def test_a_feature_that_is_missing_exactly_when_the_label_is_is_found(
    no_label: float | None, no_value: float | None
) -> None:
    label = pl.when(pl.col("late").is_not_null()).then(pl.col("late").cast(pl.Float64)).otherwise(no_label)
    check(cancelled().with_columns(late=label))
    leaking = cancelled().with_columns(
        late=label, distance=pl.when(pl.col("late").is_not_null()).then("distance").otherwise(no_value)
    )
    with pytest.raises(JobError, match="the feature distance is missing when the label late is: 60 of the 60 rows"):
        check(leaking)
    half = pl.when(pl.int_range(pl.len()) % 40 != 0).then("distance").otherwise(no_value)
    check(cancelled().with_columns(late=label, distance=half))


def test_an_allowed_feature_passes_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    leaking = rows().with_columns(distance=pl.col("late") * 30.0, hour=pl.col("late") * 1.0)
    with pytest.raises(JobError, match=r"data.allow_leakage: \[hour\]$"):
        check(leaking, "distance")
    check(leaking, "distance", "hour")
    assert "allowed by data.allow_leakage: the feature distance tells the label" in capsys.readouterr().out
    with pytest.raises(JobError, match=r"data.allow_leakage names gate, which the model hasn't as a feature"):
        check(rows(), "gate")


def test_prepare_ends_with_the_name_of_the_leaking_feature(container: Container) -> None:
    container.code("processing/input/code")
    container.partitioned("processing/input/features", rows().with_columns(hour=pl.col("late") * 1.0))
    split = ["--test-days", "7", "--validation-days", "3"]
    with pytest.raises(JobError, match=r"the feature hour tells the label late by itself with an AUC of 1.000"):
        main(ContainerPaths(container.base), split)
    assert not list((container.base / "processing").glob("output/train/*"))
    main(ContainerPaths(container.base), [*split, "--allow-leakage", "hour"])
