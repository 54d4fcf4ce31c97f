"""The container that stands for Autopilot's: `search` finds a model with FLAML, `serve` answers with it.

It runs as a script in a process of its own and imports nothing of the local AWS.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
import traceback
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

BINARY, REGRESSION = "BinaryClassification", "Regression"
# by SageMaker's name: FLAML's, and whether FLAML's loss is one minus the metric
METRICS = {
    "AUC": ("roc_auc", True),
    "Accuracy": ("accuracy", True),
    "F1": ("f1", True),
    "MSE": ("mse", False),
    "RMSE": ("rmse", False),
    "R2": ("r2", True),
}
# by SageMaker's name of an algorithm: FLAML's
LEARNERS = {"lightgbm": "lgbm", "xgboost": "xgboost", "randomforest": "rf", "extra-trees": "extra_tree"}
OUTPUTS = ("predicted_label", "probability", "probabilities", "labels")
SEED = 7


class Problem(Exception):
    """The job can't go on; the message is for people."""


def main(argv: Sequence[str]) -> int:
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    try:
        if argv[:1] == ["search"]:
            search(base)
        else:
            serve(base / "model")
    except Exception as error:
        traceback.print_exc()
        failure = base / "output/failure"
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}")
        return 1
    return 0


def search(base: Path) -> None:
    """Read the channels, search within the limits of automl.json, leave the best model and all candidates."""
    from flaml.automl import AutoML  # takes seconds, which only a search spends

    job = json.loads((base / "input/config/automl.json").read_text())
    train, validation = _table(base / "input/data/training"), _table(base / "input/data/validation")
    target = job["target"]
    for name, table in (("training", train), ("validation", validation)):
        if table is not None and target not in table.columns:
            raise Problem(f"the channel {name!r} has no column {target!r}, the target; it has {list(table.columns)}")
    features = job["features"] or [name for name in train.columns if name != target]
    unknown = [name for name in features if name not in train.columns]
    if unknown:
        raise Problem(f"the feature specification names {unknown}, which the training data doesn't have")
    problem = job["problem"] or (BINARY if train[target].nunique() == 2 else REGRESSION)
    labels = sorted(train[target].dropna().unique().tolist()) if problem == BINARY else []
    if problem == BINARY and len(labels) != 2:
        raise Problem(f"a binary classification needs two values of {target!r}, the training data has {labels[:5]}")
    objective = job["objective"] or ("F1" if problem == BINARY else "MSE")
    metric, is_complement = METRICS[objective]
    log = base / "search.log"
    options: dict[str, Any] = {
        "task": "classification" if problem == BINARY else "regression",
        "metric": metric,
        "estimator_list": [LEARNERS[each] for each in job["algorithms"]] or list(LEARNERS.values()),
        "max_iter": job["candidates"],
        "time_budget": job["seconds"],
        "seed": SEED,
        "eval_method": "holdout",
        # in turn: FLAML's own choice goes by how long trials took, other candidates on every machine
        "learner_selector": "roundrobin",
        "log_file_name": str(log),
        "log_type": "all",
        "verbose": 3,
    }
    if job["seconds_per_candidate"]:
        options["train_time_limit"] = job["seconds_per_candidate"]
    if validation is None:
        options["split_ratio"] = job["validation_fraction"]
    else:
        options |= {"X_val": validation[features], "y_val": validation[target]}
    found: Any = AutoML()  # type: ignore[no-untyped-call]
    found.fit(train[features], train[target], **options)
    if found.best_estimator is None:
        raise Problem("no candidate was trained within the limits of time: give the job more")
    candidates = _candidates(log, objective, is_complement)
    model = {"features": features, "problem": problem, "labels": labels, "learner": found.best_estimator}
    for name in ("X_train", "y_train", "X_train_all", "y_train_all", "X_val", "y_val"):
        setattr(found._state, name, None)  # the rows that it was trained on have no place in a model
    (base / "model").mkdir(parents=True, exist_ok=True)
    (base / "model/model.pkl").write_bytes(pickle.dumps(found))
    (base / "model/model.json").write_text(json.dumps(model, indent=1))
    (base / "candidates.json").write_text(json.dumps({"objective": objective, "problem": problem, "tried": candidates}))
    print(f"{len(candidates)} candidates, the best {objective} is {candidates[0]['value']:.6f}", flush=True)


def _table(directory: Path) -> Any:
    """The rows of a channel's Parquet files, or else of its CSV files, which have a header; None for no channel."""
    import pandas as pd

    if not directory.is_dir():
        return None
    parquet = sorted(directory.rglob("*.parquet"))
    files = parquet or sorted(path for path in directory.rglob("*") if path.is_file())
    read: Any = pd.read_parquet if parquet else pd.read_csv
    return pd.concat([read(file) for file in files], ignore_index=True)


def _candidates(log: Path, objective: str, is_complement: bool) -> list[dict[str, Any]]:
    """What was tried, the best first: learner, hyperparameters, seconds, and the objective on the validation rows."""
    found = []
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if "config" not in record or "validation_loss" not in record:
            continue
        loss = float(record["validation_loss"])
        found.append(
            {
                "number": int(record["record_id"]) + 1,
                "learner": record["learner"],
                "hyperparameters": record["config"],
                "seconds": record["trial_time"],
                "metric": objective,
                "value": 1 - loss if is_complement else loss,
            }
        )
    better = objective not in ("MSE", "RMSE")
    return sorted(found, key=lambda each: -each["value"] if better else each["value"])


def serve(directory: Path) -> None:
    """Answer /ping, and rows of CSV without a header in the order of the features, one line for each."""
    import pandas as pd

    described = json.loads((directory / "model.json").read_text())
    model = pickle.loads((directory / "model.pkl").read_bytes())  # noqa: S301  # written by the search
    asked = os.environ.get("SAGEMAKER_INFERENCE_OUTPUT", OUTPUTS[0]).split(",")
    unknown = [each for each in asked if each not in OUTPUTS]
    if unknown:
        raise Problem(f"SAGEMAKER_INFERENCE_OUTPUT may name {', '.join(OUTPUTS)}, got {', '.join(unknown)}")

    def answer(body: str) -> str:
        rows = pd.read_csv(StringIO(body), header=None)
        if rows.shape[1] != len(described["features"]):
            raise Problem(f"a row has {len(described['features'])} values, got {rows.shape[1]}")
        rows.columns = described["features"]
        if described["problem"] != BINARY:
            return "".join(f"{float(value)}\n" for value in model.predict(rows))
        shares, labels = model.predict_proba(rows), described["labels"]
        lines = []
        for row in shares:
            best = int(row.argmax())
            values = {
                "predicted_label": str(labels[best]),
                "probability": str(float(row[best])),
                "probabilities": f'"{[float(each) for each in row]}"',
                "labels": f'"{labels}"',
            }
            lines.append(",".join(values[each] for each in asked))
        return "".join(f"{line}\n" for line in lines)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200 if self.path == "/ping" else 404, "")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            try:
                self._send(200, answer(body))
            except (Problem, ValueError) as error:
                self._send(400, str(error))

        def _send(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    host, port = os.environ.get("SAGEMAKER_BIND_TO_HOST", ""), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    started = time.monotonic()
    server = ThreadingHTTPServer((host, port), Handler)
    print(f"{described['learner']} serves on port {port} after {time.monotonic() - started:.1f} s", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
