"""What a trained model consists of: the booster, what it was made from, and the code that goes with it.

The directory becomes model.tar.gz:

    model.ubj        the booster in XGBoost's own format
    model.onnx       the same trees for the endpoint, where they have that form (see onnx_trees)
    prediction_baseline.json  what it predicted on its validation rows, in ranges
    model.json       the model card of the machine: features in order, label, problem, rows, days, versions
    code/<model>/    the model's package, so that an endpoint needs nothing else
"""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from model_runtime.errors import JobError
from model_runtime.model_code import ModelCode, load_model_code
from model_runtime.problems import BINARY_CLASSIFICATION, VARIABLE, Problem, problem_named

if TYPE_CHECKING:
    import xgboost as xgb

BOOSTER_FILE = "model.ubj"
DESCRIPTION_FILE = "model.json"
CODE_DIRECTORY = "code"

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What `model.json` says. A model that a search has made has no trees, hyperparameters and versions to tell of."""

    model: str
    features: tuple[str, ...]
    label: str
    trees: int
    rows: dict[str, int]
    days: dict[str, dict[str, str]]
    hyperparameters: dict[str, Any]
    versions: dict[str, str]
    problem: str = BINARY_CLASSIFICATION.name  # models from before there were others don't say


@dataclass(frozen=True)
class Artifact:
    """A trained model in memory; the booster takes rows of features in the described order, NaN for missing."""

    booster: xgb.Booster
    description: Description
    code: ModelCode


def check_problem(description: Description, asked: Problem) -> None:
    """Raise JobError when a model answers another kind of question than it is used for."""
    if description.problem != asked.name:
        raise JobError(
            f"the model {description.model!r} was trained as {description.problem}, but {VARIABLE} says {asked.name}: "
            f"set it to {description.problem}, or train the model again"
        )


def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a model depends on."""
    import xgboost as xgb

    found = {"python": platform.python_version(), "xgboost": xgb.__version__}
    for distribution in ("numpy", "polars"):
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    return found


def save_artifact(artifact: Artifact, directory: Path) -> None:
    """Write the artifact; the directory is created, and files of an earlier run in it are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    artifact.booster.save_model(directory / BOOSTER_FILE)
    write_description(artifact.description, directory / DESCRIPTION_FILE)
    target = directory / CODE_DIRECTORY / artifact.code.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(artifact.code.package, target, ignore=shutil.ignore_patterns("__pycache__", "tests"))


def read_description(directory: Path) -> Description:
    """Read what an artifact says of itself, none of its code run; raises JobError for what is no artifact."""
    for name in (BOOSTER_FILE, DESCRIPTION_FILE):
        if not (directory / name).is_file():
            raise JobError(f"{directory} is no model of this runtime: {name} is missing")
    return parse_description(directory / DESCRIPTION_FILE)


def parse_description(file: Path) -> Description:
    """Read a description that may stand alone; raises JobError for what is none."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        description = Description(**{**values, "features": tuple(values["features"])})
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise JobError(f"{file} can't be read: {error}") from error
    problem_named(description.problem, f"{file}: problem")
    return description


def write_description(description: Description, file: Path) -> None:
    """Write a description as it is read again; the directory is created."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(description), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_artifact(directory: Path) -> Artifact:
    """Read an artifact; raises JobError when a file is missing or broken, or when booster and description disagree."""
    description = read_description(directory)
    booster = _load_booster(directory / BOOSTER_FILE)
    if booster.num_features() != len(description.features):
        raise JobError(
            f"{directory}: the booster takes {booster.num_features()} features, "
            f"{DESCRIPTION_FILE} lists {len(description.features)}"
        )
    return Artifact(booster, description, load_code(directory, description))


def load_code(directory: Path, description: Description) -> ModelCode:
    """The model's package in an artifact."""
    return load_model_code(directory / CODE_DIRECTORY, description.model)


def _load_booster(file: Path) -> xgb.Booster:
    import xgboost as xgb  # takes longer than all else that a server loads, and most servers don't need it

    booster = xgb.Booster()
    try:
        booster.load_model(file)
    except (xgb.core.XGBoostError, OSError) as error:
        raise JobError(f"{file} can't be read: {str(error).splitlines()[0]}") from error
    return booster
