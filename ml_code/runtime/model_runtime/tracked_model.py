"""A model as MLflow keeps it: the booster, and a file MLmodel with its signature, which says how to load it.

`mlflow.xgboost.load_model("runs:/<run>/model")` and `mlflow.pyfunc.load_model` read it. The file is written here, since
MLflow's own writer needs pandas, which the container doesn't have. Its form:
https://mlflow.org/docs/latest/ml/model/#storage-format
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

import yaml

from model_runtime.artifact import Description

FOLDER = "model"
_BOOSTER = "model.ubj"


def signature(description: Description) -> dict[str, str | None]:
    """What goes in, one number per feature that may be missing, and what comes out, one number a row."""
    inputs = [{"type": "double", "name": name, "required": True} for name in description.features]
    outputs = [{"type": "double", "name": description.label, "required": True}]
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None}


def write_tracked_model(folder: Path, booster: bytes, description: Description, run: str) -> None:
    """Write the files of a model into a folder; `booster` is in XGBoost's format UBJ."""
    number = description.versions.get("xgboost", "")
    requirements = [f"{name}=={each}" for name, each in description.versions.items() if name in ("numpy", "xgboost")]
    content = {
        "artifact_path": FOLDER,
        "flavors": {
            "python_function": {
                "data": _BOOSTER,
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.xgboost",
                "python_version": platform.python_version(),
            },
            "xgboost": {
                "code": None,
                "data": _BOOSTER,
                "model_class": "xgboost.core.Booster",
                "model_format": "ubj",
                "xgb_version": number,
            },
        },
        "run_id": run,
        "signature": signature(description),
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    environment = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / _BOOSTER).write_bytes(booster)
    (folder / "MLmodel").write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment), encoding="utf-8")
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
