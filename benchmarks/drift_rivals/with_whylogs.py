"""whylogs' profiles of the same rows and columns. It has no comparison without its extra `viz`, so none is timed."""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
import whylogs  # noqa: E402

from benchmarks.drift_rivals.peak_memory import peak_mb  # noqa: E402

IMPORTED = time.perf_counter()


def compare(reference: Path, current: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Time the reading and the profiles of both tables, a file at a time."""
    for folder in (reference, current):
        profile = None
        for file in sorted(folder.glob("*.parquet")):
            rows = pd.read_parquet(file, columns=asked["columns"])
            # codes are texts to it
            rows = rows.astype(dict.fromkeys(asked["codes"], str))
            view = whylogs.log(rows).view()
            profile = view if profile is None else profile.merge(view)
    return {"seconds": time.perf_counter() - IMPORTED, "moved": []}


if __name__ == "__main__":
    result = compare(Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
    print(json.dumps({"import_seconds": IMPORTED - BEGAN, "peak_mb": peak_mb(), "found": result}))
