"""Experiments: what a training was given and what came of it, as a run of an MLflow tracking server.

The server is the one that MLFLOW_TRACKING_URI names, MLflow's own variable: the ARN of a SageMaker MLflow app,
which the package `sagemaker-mlflow` signs requests for, or the URL of any other server. Without the variable nothing is
tracked, nothing is imported, and a training is the same. With it a thread writes beside the training, which waits for
no server but at its end. A server that is down or refuses costs a warning in the log and nothing else.

A training's run lies in the experiment of its model. It has hyperparameters, rows and days, metrics per round, plots
and the model with its signature; whoever judges the model adds to the same run, which the model's directory names.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xgboost as xgb
from xgboost.callback import TrainingCallback

from model_runtime.artifact import Artifact, Description
from model_runtime.lineage import COMMIT, DATA_VERSION, told
from model_runtime.tracked_model import FOLDER, write_tracked_model
from model_runtime.tracking_writer import Round, TrackingWriter, Writing
from model_runtime.training_plots import bars, learning_curve

VARIABLE = "MLFLOW_TRACKING_URI"
RUN_FILE = "tracking.json"
JOB_TAG = "training_job"
COMMIT_TAG = "mlflow.source.git.commit"
LONGEST_VALUE = 5000
"""Characters of a parameter or tag; the server's limits are 6000 and 8000."""
_PIPELINE_JOB = re.compile(r"pipelines-(?P<execution>[a-z0-9]{12})-(?P<step>.+)-[A-Za-z0-9]{10}")


def run_name(job: str) -> str:
    """The name of a job's run: `<execution>/<step>` of a pipeline's job, as SageMaker names those, or the job's own."""
    found = _PIPELINE_JOB.fullmatch(job)
    return f"{found['execution']}/{found['step']}" if found else job


class Run:
    """What can be said about a training. This one tells nobody."""

    def parameters(self, values: Mapping[str, Any]) -> None:
        """What the training was given."""

    def watch(self, stage: str) -> Sequence[TrainingCallback]:
        """Callbacks that follow the metrics of one stage, for `boosting.Surroundings`."""
        del stage
        return ()

    def model(self, artifact: Artifact, directory: Path) -> None:
        """What came of it; the model's directory is told which run it belongs to."""


@contextmanager
def tracked_training(model: str, *, writes: bool = True, environment: Mapping[str, str] = os.environ) -> Iterator[Run]:
    """A run in the experiment of the model; it ends as failed when the block raises, with the reason as a tag.

    Of several hosts that train one model only one `writes`.
    """
    if not writes or not environment.get(VARIABLE):
        yield Run()
        return
    job = environment.get("TRAINING_JOB_NAME", "training")
    writer = _opened(model, job, f"{model}.train", environment)
    try:
        yield _TrackedRun(writer, job)
    except BaseException as error:
        reason = str(error)[:LONGEST_VALUE] or type(error).__name__
        writer.add(lambda client, run: client.set_tag(run, "failure", reason))
        _end(writer, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    _end(writer, "FINISHED")


def track_evaluation(directory: Path, report: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> None:
    """Add what a model is worth to the run of its training, if there is one: metrics as `test/<name>`, and the verdict.

    `directory` is the model's, `report` what the evaluation found. The variable GIT_COMMIT says which commit the
    pipeline was started for; a training can't, since one of the same content is the same training.
    """
    if not environment.get(VARIABLE) or not (directory / RUN_FILE).is_file():
        return
    note = json.loads((directory / RUN_FILE).read_text(encoding="utf-8"))

    def opening(client: Any) -> str:
        found = client.search_runs([_experiment(client, note["experiment"])], f"tags.{JOB_TAG} = '{note['job']}'")
        if not found:
            raise LookupError(f"there is no run of the training job {note['job']}")
        return str(found[0].info.run_id)

    writer = TrackingWriter(opening, environment)
    writer.add(_worth(report, environment))
    writer.close()


def track_search(
    description: Description,
    algorithm: str,
    report: Mapping[str, Any],
    job: str,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Write the run of a searched model, which no training has begun: what it learned from and what it is worth.

    `algorithm` says in words what made it, `job` is the name of the processing job that judges it. What the search has
    tried is known to SageMaker.
    """
    if not environment.get(VARIABLE):
        return
    writer = _opened(description.model, job, f"{description.model}.search", environment)
    writer.add(_parameters({"algorithm": algorithm, **_learned_from(description)}))
    writer.add(_worth(report, environment))
    _end(writer, "FINISHED")


def _opened(model: str, job: str, source: str, environment: Mapping[str, str]) -> TrackingWriter:
    """A writer to a new run of a job, in the experiment of the model."""
    tags = {JOB_TAG: job, "mlflow.source.type": "JOB", "mlflow.source.name": source}
    data = told(environment, DATA_VERSION)
    if data:
        tags["data_version"] = data

    def opening(client: Any) -> str:
        return str(client.create_run(_experiment(client, model), tags=tags, run_name=run_name(job)).info.run_id)

    return TrackingWriter(opening, environment)


def _worth(report: Mapping[str, Any], environment: Mapping[str, str]) -> Writing:
    """Metrics as `test/<name>`, the verdict, and the commit."""
    metrics = {
        name: each["value"]
        for section, found in report.items()
        if section.endswith("_metrics")
        for name, each in found.items()
        if isinstance(each, Mapping) and isinstance(each.get("value"), int | float)
    }
    verdict = report.get("gate", {})
    tags = {
        COMMIT_TAG: told(environment, COMMIT),
        "gate.passed": verdict.get("passed"),
        "gate.reason": verdict.get("reason"),
    }

    def write(client: Any, run: str) -> None:
        for name, value in metrics.items():
            client.log_metric(run, f"test/{name}", value)
        for name, text in tags.items():
            if text is not None:
                client.set_tag(run, name, str(text)[:LONGEST_VALUE])

    return write


def _parameters(values: Mapping[str, Any]) -> Writing:
    texts = {name: str(value)[:LONGEST_VALUE] for name, value in values.items()}

    def write(client: Any, run: str) -> None:
        from mlflow.entities import Param

        client.log_batch(run, params=[Param(name, text) for name, text in texts.items()])

    return write


def _learned_from(description: Description) -> dict[str, Any]:
    return {
        "problem": description.problem,
        "label": description.label,
        "features": len(description.features),
        **{f"{name}_rows": count for name, count in description.rows.items()},
        **{f"{name}_days": " to ".join(days.values()) for name, days in description.days.items() if days},
    }


class _TrackedRun(Run):
    def __init__(self, writer: TrackingWriter, job: str) -> None:
        self._writer = writer
        self._job = job
        self._curves: dict[str, dict[str, list[float]]] = {}

    def parameters(self, values: Mapping[str, Any]) -> None:
        self._writer.add(_parameters(values))

    def watch(self, stage: str) -> Sequence[TrainingCallback]:
        return (_Rounds(self._writer, stage, self._curves.setdefault(stage, {})),)

    def model(self, artifact: Artifact, directory: Path) -> None:
        description = artifact.description
        self.parameters(_learned_from(description))
        self._writer.add(_model_files(artifact, {stage: curves for stage, curves in self._curves.items() if curves}))
        note = {"experiment": description.model, "job": self._job}
        (directory / RUN_FILE).write_text(json.dumps(note), encoding="utf-8")


class _Rounds(TrainingCallback):
    """Follows the metrics of a stage; a metric is called `<stage>/<rows>-<metric>`, as `probe/validation-logloss`."""

    def __init__(self, writer: TrackingWriter, stage: str, curves: dict[str, list[float]]) -> None:
        super().__init__()
        self._writer = writer
        self._stage = stage
        self._curves = curves

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        """Note the newest value of each metric; never ends the training."""
        del model
        moment = round(time.time() * 1000)
        for rows, metrics in evals_log.items():
            for metric, values in metrics.items():
                name, value = f"{rows}-{metric}", float(values[-1])
                self._curves[name] = values  # XGBoost's own list, which grows
                self._writer.add(Round(f"{self._stage}/{name}", value, epoch, moment))
        return False


def _model_files(artifact: Artifact, curves: Mapping[str, Mapping[str, list[float]]]) -> Writing:
    description, booster = artifact.description, bytes(artifact.booster.save_raw("ubj"))
    gains = {name: float(str(gain)) for name, gain in artifact.booster.get_score(importance_type="total_gain").items()}

    def write(client: Any, run: str) -> None:
        client.log_metric(run, "trees", description.trees)
        for stage, each in curves.items():
            client.log_text(run, learning_curve(f"{description.model}: {stage}", each), f"plots/{stage}.svg")
        if gains:
            title = f"{description.model}: what its trees gain by each feature"
            client.log_text(run, bars(title, gains), "plots/gain.svg")
        with TemporaryDirectory() as folder:
            write_tracked_model(Path(folder), booster, description, run)
            client.log_artifacts(run, folder, FOLDER)

    return write


def _experiment(client: Any, name: str) -> str:
    """The id of an experiment, which is made when it isn't there; two jobs may try at once."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except Exception:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _end(writer: TrackingWriter, status: str) -> None:
    writer.add(lambda client, run: client.set_terminated(run, status))
    writer.close()
