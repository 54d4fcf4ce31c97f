"""Evidently's DataDriftPreset on the same rows and columns, with its own limits."""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

from benchmarks.drift_rivals.peak_memory import peak_mb  # noqa: E402

IMPORTED = time.perf_counter()


def moved(reference: pd.DataFrame, current: pd.DataFrame, asked: dict[str, Any]) -> list[str]:
    """The columns that the preset calls drifted: distances above their limits, probabilities below them."""
    numbers = [name for name in asked["columns"] if name not in asked["codes"]]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=asked["codes"])
    sides = [Dataset.from_pandas(each, definition) for each in (current, reference)]
    metrics = Report([DataDriftPreset()]).run(*sides).dict()["metrics"]
    found = []
    for each in metrics:
        config = each["config"]
        if "column" in config:
            value, limit = float(each["value"]), config["threshold"]
            beyond = value < limit if "p_value" in config["method"] else value > limit
            found += [config["column"]] if beyond else []
    return found


def compare(reference: Path, current: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Time the reading of both tables and the report."""
    then, now = (pd.read_parquet(each, columns=asked["columns"]) for each in (reference, current))
    found = moved(then, now, asked)
    return {"seconds": time.perf_counter() - IMPORTED, "moved": found}


def windows(reference: Path, folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Say which columns drifted in each window."""
    then = pd.read_parquet(reference, columns=asked["columns"])
    found = {file.stem: moved(then, pd.read_parquet(file), asked) for file in sorted(folder.glob("*.parquet"))}
    return {"Evidently": found}


if __name__ == "__main__":
    what = {"compare": compare, "windows": windows}[sys.argv[1]]
    result = what(Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
    print(json.dumps({"import_seconds": IMPORTED - BEGAN, "peak_mb": peak_mb(), "found": result}))
