"""Experiments: what a training writes to a tracking server, and that it never depends on one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_runtime.tracking import run_name
from model_runtime.training_plots import bars, learning_curve
from tests.runtime.container import TRAIN, Container, free_port, rows
from tests.runtime.test_scores import judged, probabilities, split

# what a model's fit is like in a job: boosted by the runtime, with validation rows
WATCHED = TRAIN.replace(
    "    return xgb.train(parameters, data, hyperparameters.rounds)",
    """    held_out = xgb.DMatrix(
        validation.select(pl.col(FEATURES).cast(pl.Float32)).to_numpy(), label=validation[LABEL].to_numpy(),
        feature_names=list(FEATURES),
    )
    evals = [(data, "train"), (held_out, "validation")]
    return boost(parameters, data, hyperparameters.rounds, evals=evals)""",
).replace("import xgboost as xgb", "import xgboost as xgb\nfrom model_runtime.boosting import boost")


@pytest.fixture
def store(tmp_path: Path, container: Container, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's own store in a file, which its client reads and writes without a server."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    client.create_experiment("toy", artifact_location=f"file://{tmp_path}/artifacts")
    container.environment["MLFLOW_TRACKING_URI"] = uri
    return client


def only_run(client: Any) -> Any:
    (run,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    return run


def test_run_tells_what_a_training_was_given_and_what_came_of_it(store: Any, container: Container) -> None:
    container.training_job({"rounds": "7"}, {"train.py": WATCHED})
    container.environment |= {
        "TRAINING_JOB_NAME": "pipelines-0r0zx5v4xabk-Train-AbCdEf0123",
        "DATA_VERSION": "s3://lake/flights/manifests/0123.json",
    }
    done = container.run("train")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout
    run = only_run(store)
    assert (run.info.run_name, run.info.status) == ("0r0zx5v4xabk/Train", "FINISHED")
    assert run.data.tags["data_version"] == "s3://lake/flights/manifests/0123.json"
    assert (
        run.data.params.items() >= {"rounds": "7", "learning_rate": "0.3", "problem": "binary_classification"}.items()
    )
    assert run.data.params["train_days"] == "2013-01-01 to 2013-01-20"
    history = store.get_metric_history(run.info.run_id, "model/train-logloss")
    assert [each.step for each in history] == list(range(7))
    assert 0.3 < history[-1].value < history[0].value < 0.7
    curve = Path(store.download_artifacts(run.info.run_id, "plots/model.svg")).read_text()
    assert curve.count("<polyline") == 2
    assert "validation-logloss" in curve
    assert "distance" in Path(store.download_artifacts(run.info.run_id, "plots/gain.svg")).read_text()


def test_tracked_model_loads_and_answers_as_the_job_s_own(store: Any, container: Container) -> None:
    import mlflow
    import pandas as pd
    import xgboost as xgb

    container.training_job({"rounds": "7"})
    assert container.run("train").returncode == 0
    mlflow.set_tracking_uri(container.environment["MLFLOW_TRACKING_URI"])
    loaded = mlflow.pyfunc.load_model(f"runs:/{only_run(store).info.run_id}/model")
    assert [(each.name, each.type.name) for each in loaded.metadata.signature.inputs] == [
        ("hour", "double"), ("distance", "double"), ("carrier", "double"),
    ]  # fmt: skip
    own = xgb.Booster(model_file=container.base / "model" / "model.ubj")
    asked = rows(2).select(pl.col("hour", "distance", "carrier").cast(pl.Float64))
    names = ["hour", "distance", "carrier"]
    expected = own.predict(xgb.DMatrix(asked.to_numpy(), feature_names=names))
    frame = pd.DataFrame({name: asked[name].to_numpy() for name in names})
    assert loaded.predict(frame) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"missing inputs.*carrier"):
        loaded.predict(frame.drop(columns="carrier"))


def test_failed_training_is_a_failed_run_with_the_reason(store: Any, container: Container) -> None:
    container.training_job({"rounds": "0"})
    assert container.run("train").returncode == 1
    run = only_run(store)
    assert run.info.status == "FAILED"
    assert "rounds must be at least 1, got 0" in run.data.tags["failure"]


def test_evaluation_adds_to_the_run_of_the_training(store: Any, container: Container) -> None:
    container.training_job({"rounds": "7"})
    container.environment["TRAINING_JOB_NAME"] = "one"
    assert container.run("train").returncode == 0
    model = container.base / "processing" / "input" / "model"
    model.mkdir(parents=True)
    for each in (container.base / "model").iterdir():
        each.rename(model / each.name)
    container.parquet("processing/input/test/part.parquet", rows().filter(pl.col("day") > pl.date(2013, 1, 25)))
    container.environment["GIT_COMMIT"] = "0123abcd"
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    report = json.loads((container.base / "processing/output/evaluation/evaluation.json").read_text())
    run = only_run(store)
    assert run.info.run_name == "one"
    assert run.data.metrics["test/auc"] == report["binary_classification_metrics"]["auc"]["value"]
    assert run.data.tags["mlflow.source.git.commit"] == "0123abcd"


def test_a_searched_model_has_a_run_of_its_own(store: Any, container: Container) -> None:
    test = split(container)
    container.environment |= {"GIT_COMMIT": "0123abcd", "DATA_VERSION": "s3://lake/manifests/7.json"}
    job = container.base / "config/processingjobconfig.json"
    job.parent.mkdir(parents=True)
    job.write_text(json.dumps({"ProcessingJobName": "pipelines-0r0zx5v4xabk-Evaluate-AbCdEf0123"}))
    assert judged(container, probabilities(test), "--metric", "auc", "--minimum", "0.5") == ""
    run = only_run(store)
    assert (run.info.run_name, run.info.status) == ("0r0zx5v4xabk/Evaluate", "FINISHED")
    report = json.loads((container.base / "processing/output/evaluation/evaluation.json").read_text())
    assert run.data.metrics["test/auc"] == report["binary_classification_metrics"]["auc"]["value"]
    assert run.data.params["train_days"] == "2013-01-01 to 2013-01-20"
    assert run.data.params["algorithm"].startswith("SageMaker Autopilot")
    assert run.data.tags["mlflow.source.git.commit"] == "0123abcd"
    assert run.data.tags["data_version"] == "s3://lake/manifests/7.json"
    assert (run.data.tags["gate.passed"], run.data.tags["gate.reason"]) == ("True", report["gate"]["reason"])


@pytest.mark.parametrize("commit", ["unknown", ""])
def test_what_nobody_told_is_no_tag(store: Any, container: Container, commit: str) -> None:
    test = split(container)
    container.environment |= {"GIT_COMMIT": commit, "DATA_VERSION": commit}
    assert judged(container, probabilities(test)) == ""
    run = only_run(store)
    assert not {"mlflow.source.git.commit", "data_version"} & set(run.data.tags)


@pytest.mark.parametrize("kind", ["nobody listens", "unknown scheme"])
def test_server_that_is_down_costs_a_warning_and_nothing_else(container: Container, kind: str) -> None:
    container.training_job()
    uri = f"http://127.0.0.1:{free_port()}" if kind == "nobody listens" else "nonsense://somewhere"
    container.environment["MLFLOW_TRACKING_URI"] = uri
    started = time.monotonic()
    done = container.run("train")
    assert done.returncode == 0, done.stderr
    assert f"warning: nothing more is tracked at {uri}: " in done.stdout
    assert (container.base / "model" / "model.ubj").is_file()
    assert time.monotonic() - started < 60


def test_model_is_the_same_without_tracking_and_nothing_of_mlflow_is_imported(store: Any, container: Container) -> None:
    container.training_job()
    assert container.run("train").returncode == 0
    tracked = (container.base / "model" / "model.ubj").read_bytes()
    del container.environment["MLFLOW_TRACKING_URI"]
    container.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    done = container.run("train")
    assert done.returncode == 0
    assert (container.base / "model" / "model.ubj").read_bytes() == tracked
    assert "xgboost" in done.stderr
    assert "mlflow" not in done.stderr


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("pipelines-0r0zx5v4xabk-Train-AbCdEf0123", "0r0zx5v4xabk/Train"),
        ("pipelines-0r0zx5v4xabk-Train-Again-AbCdEf0123", "0r0zx5v4xabk/Train-Again"),
        ("pipelines-short-Train-AbCdEf0123", "pipelines-short-Train-AbCdEf0123"),
        ("by-hand", "by-hand"),
    ],
)
def test_run_is_named_after_the_execution_and_its_step(job: str, name: str) -> None:
    assert run_name(job) == name


def test_curve_leaves_out_what_is_no_number_and_keeps_its_ends() -> None:
    curve = learning_curve("a <b>", {"loss": [3.0, float("nan"), 2.0, 1.0], "auc": [0.5] * 3000})
    assert "a &lt;b&gt;" in curve
    assert "nan" not in curve
    lines = [part.split('"')[1].split() for part in curve.split("<polyline points=")[1:]]
    assert [len(line) for line in lines] == [1, 2, 601]
    assert lines[1][-1] != lines[1][0]
    assert lines[2][-1].startswith("570.0,"), "the last of 3,000 rounds is at the right end"
    assert learning_curve("empty", {}).count("<polyline") == 0


def test_bars_are_sorted_and_no_more_than_twenty() -> None:
    found = bars("gain", {f"f{number}": float(number) for number in range(30)})
    assert found.index(">f29<") < found.index(">f28<") < found.index(">f10<")
    assert ">f9<" not in found
