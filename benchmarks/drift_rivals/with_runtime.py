"""The runtime's monitor: both sides sketched from Parquet a batch at a time, or one beside a baseline, and compared."""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.drift_rivals.peak_memory import peak_mb  # noqa: E402
from model_runtime.monitor.baseline import sketch_rows, write_baseline  # noqa: E402
from model_runtime.monitor.drift import find_drift  # noqa: E402
from model_runtime.monitor.drift_limits import DriftLimits  # noqa: E402
from model_runtime.monitor.statistics import FILE, read_statistics, statistics_json  # noqa: E402

IMPORTED = time.perf_counter()


def compare(reference: Path, current: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Time the statistics of the reference, and what a monitor then does."""
    columns, codes = asked["columns"], asked["codes"]
    with tempfile.TemporaryDirectory() as directory:
        write_baseline(sorted(reference.glob("*.parquet")), columns, codes, Path(directory))
        written = (Path(directory) / FILE).read_text()
    described = time.perf_counter()
    now = sketch_rows(sorted(current.glob("*.parquet")), columns)
    found = find_drift(read_statistics(json.loads(written)), now)
    ended = time.perf_counter()
    return {
        "seconds": ended - IMPORTED,
        "monitor_seconds": ended - described,
        "moved": [each.name for each in found if each.moved],
    }


def describe(reference: Path, current: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Time the description of the reference as training writes it: with what is usual of its days."""
    del current
    with tempfile.TemporaryDirectory() as directory:
        files = sorted(reference.glob("*.parquet"))
        write_baseline(files, asked["columns"], asked["codes"], Path(directory), asked["day"])
    return {"seconds": time.perf_counter() - IMPORTED}


def windows(reference: Path, folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Say which features moved in each window, by several limits."""
    columns, codes = asked["columns"], asked["codes"]
    baseline = read_statistics(statistics_json(sketch_rows([reference], columns), codes))
    found: dict[str, dict[str, list[str]]] = {}
    for psi in asked["limits"]:
        limits = DriftLimits.read({"drift": {"psi": psi}})
        for file in sorted(folder.glob("*.parquet")):
            drift = find_drift(baseline, sketch_rows([file], columns), limits)
            found.setdefault(f"runtime, PSI {psi:g}", {})[file.stem] = [each.name for each in drift if each.moved]
    return found


if __name__ == "__main__":
    what = {"compare": compare, "describe": describe, "windows": windows}[sys.argv[1]]
    result = what(Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
    print(json.dumps({"import_seconds": IMPORTED - BEGAN, "peak_mb": peak_mb(), "found": result}))
