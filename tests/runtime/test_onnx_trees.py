"""Boosters as ONNX: the same answers as XGBoost's, or none and the reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xgboost as xgb

from model_runtime.artifact import BOOSTER_FILE, Description
from model_runtime.onnx_trees import ONNX_FILE, NotConvertibleError, onnx_bytes, threshold_rows, write_onnx
from model_runtime.serving.predictors import OnnxPredictor
from tests.runtime.container import RUNTIME

COLUMNS = 6
DESCRIPTION = Description(
    model="toy",
    features=tuple("abcdef"),
    label="y",
    trees=30,
    rows={},
    days={},
    hyperparameters={},
    versions={},
)


def rows(count: int = 3000, seed: int = 1) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    found = (random.normal(size=(count, COLUMNS)) * 100).astype(np.float32)
    found[random.random(found.shape) < 0.1] = np.nan
    return found


def booster(objective: str = "binary:logistic", count: int = 30, **parameters: Any) -> xgb.Booster:
    features = rows()
    target = np.nan_to_num(features[:, 0]) / 50 + np.nan_to_num(np.abs(features[:, 1])) / 30
    label = (target > 1).astype(float) if objective.startswith(("binary", "reg:logistic")) else np.abs(target) + 0.5
    options = {"objective": objective, "max_depth": 5, "nthread": 1, "seed": 1, **parameters}
    return xgb.train(options, xgb.DMatrix(features, label=label), count)


@pytest.mark.parametrize(
    ("objective", "parameters"),
    [
        ("binary:logistic", {}),
        ("binary:logistic", {"base_score": 0.01}),
        ("binary:logitraw", {}),
        ("reg:logistic", {}),
        ("reg:squarederror", {}),
        ("reg:squarederror", {"base_score": -123.5}),
        ("reg:absoluteerror", {}),
        ("reg:pseudohubererror", {}),
        ("reg:quantileerror", {"quantile_alpha": 0.9}),
        ("count:poisson", {}),
        ("reg:gamma", {}),
        ("reg:tweedie", {}),
        ("binary:logistic", {"num_parallel_tree": 3, "subsample": 0.5}),
        ("binary:logistic", {"max_depth": 1}),
        ("binary:logistic", {"gamma": 1e9}),  # every tree is one leaf
        ("reg:squarederror", {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0}),
    ],
)
def test_answers_are_xgboosts_own_at_thresholds_and_with_missing_values(
    objective: str, parameters: dict[str, Any]
) -> None:
    model = booster(objective, **parameters)
    asked = np.concatenate([rows(500, seed=2), threshold_rows(model, 500) if "gamma" not in parameters else rows(9)])
    wanted = model.inplace_predict(asked, validate_features=False)
    predictor = OnnxPredictor.of_bytes(onnx_bytes(model))
    assert predictor(asked) == pytest.approx(wanted, rel=1e-6, abs=1e-7)
    one_by_one = np.concatenate([predictor(asked[[number]]) for number in range(100)])
    assert one_by_one == pytest.approx(wanted[:100], rel=1e-6, abs=1e-7)


def test_sums_of_leaves_are_the_same_to_the_bit() -> None:
    model = booster("reg:squarederror", 200)
    asked = rows(2000, seed=3)
    found = OnnxPredictor.of_bytes(onnx_bytes(model))(asked)
    assert np.array_equal(found, model.inplace_predict(asked, validate_features=False))


def test_a_booster_without_trees_answers_its_base_score() -> None:
    model = booster(count=0, base_score=0.25)
    assert OnnxPredictor.of_bytes(onnx_bytes(model))(rows(2)) == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize(
    ("objective", "parameters", "reason"),
    [
        ("multi:softprob", {"num_class": 3}, "several numbers for a row"),
        ("reg:squarederror", {"booster": "gblinear"}, "its booster is gblinear"),
        ("reg:squarederror", {"booster": "dart"}, "its booster is dart"),
        ("survival:cox", {}, "its objective survival:cox"),
        ("binary:hinge", {}, "its objective binary:hinge"),
    ],
)
def test_what_has_no_such_form_says_why(
    objective: str, parameters: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    features = rows(200)
    label = np.arange(200) % 3 if "class" in str(parameters) else np.arange(200) % 2
    for name in ("max_depth", "nthread"):
        parameters.setdefault(name, 2) if parameters.get("booster") != "gblinear" else None
    model = xgb.train({"objective": objective, **parameters}, xgb.DMatrix(features, label=label), 2)
    with pytest.raises(NotConvertibleError, match=reason):
        onnx_bytes(model)
    model.save_model(tmp_path / BOOSTER_FILE)
    (tmp_path / ONNX_FILE).write_bytes(b"of an earlier training")
    assert reason in str(write_onnx(model, tmp_path / BOOSTER_FILE, features, tmp_path))
    assert not (tmp_path / ONNX_FILE).exists()


def test_splits_by_categories_are_left_to_xgboost() -> None:
    features = np.random.default_rng(1).integers(0, 8, (500, 1)).astype(np.float32)
    data = xgb.DMatrix(features, label=features[:, 0] % 2, feature_types=["c"], enable_categorical=True)
    model = xgb.train({"max_cat_to_onehot": 1}, data, 3)
    with pytest.raises(NotConvertibleError, match="splits by categories"):
        onnx_bytes(model)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    model = booster()
    model.save_model(tmp_path / BOOSTER_FILE)
    assert write_onnx(model, tmp_path / BOOSTER_FILE, rows(100), tmp_path) is None
    return tmp_path


def test_a_written_model_is_the_same_at_each_writing_and_loads(artifact: Path) -> None:
    first = (artifact / ONNX_FILE).read_bytes()
    write_onnx(booster(), artifact / BOOSTER_FILE, rows(100), artifact)
    assert (artifact / ONNX_FILE).read_bytes() == first
    assert isinstance(OnnxPredictor.load(artifact, DESCRIPTION), OnnxPredictor)


def test_a_model_beside_another_booster_is_not_used(artifact: Path) -> None:
    booster(max_depth=2).save_model(artifact / BOOSTER_FILE)
    assert OnnxPredictor.load(artifact, DESCRIPTION) == "model.onnx belongs to another booster"


def test_a_model_that_answers_otherwise_than_at_the_training_is_not_used(artifact: Path) -> None:
    content = (artifact / ONNX_FILE).read_bytes()
    place = content.index(b'"predictions": [0.') + len(b'"predictions": [0.')
    digit = b"1" if content[place : place + 1] != b"1" else b"2"
    (artifact / ONNX_FILE).write_bytes(content[:place] + digit + content[place + 1 :])
    assert "from what XGBoost answered at the training" in str(OnnxPredictor.load(artifact, DESCRIPTION))


def test_a_broken_or_missing_model_is_not_used(artifact: Path) -> None:
    (artifact / ONNX_FILE).write_bytes((artifact / ONNX_FILE).read_bytes()[:500])
    assert "model.onnx can't be used" in str(OnnxPredictor.load(artifact, DESCRIPTION))
    (artifact / ONNX_FILE).unlink()
    assert OnnxPredictor.load(artifact, DESCRIPTION) == "it has no model.onnx"


def test_onnx_runtime_reports_to_nobody(tmp_path: Path) -> None:
    variables = {"PYTHONPATH": str(RUNTIME), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", "import model_runtime.serving.predictors"]
    subprocess.run(command, env=variables, check=True)
    assert list(tmp_path.iterdir()) == []  # else an identifier and what is to be sent are kept there
