"""Resolve requirements/*.in into the pinned, hashed requirements files (`make lock`; needs `uv` on the PATH)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# the first holds everything; the others take their versions from it
LOCKS = {
    "requirements/dev.in": "requirements-dev.txt",
    "requirements/app.in": "requirements.txt",
    "requirements/runtime.in": "ml_code/runtime/requirements.txt",
    "requirements/build.in": "requirements/build.txt",
    "requirements/serving-benchmark.in": "requirements/serving-benchmark.txt",
}
# each by itself: what they hold on to older libraries for is no business of the project's
ALONE = {
    "requirements/sdk.in": "requirements/sdk.txt",
    "requirements/drift-benchmark.in": "requirements/drift-benchmark.txt",
}


def main() -> None:
    """Write each lock file, without addresses of registries."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("`uv` is not installed: pip install uv")
    # one version of everything for every Python: what trains on a newer one here is served by the container's
    options = ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--generate-hashes"]
    options += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
    constraint: list[str] = []
    for source, lock in LOCKS.items():
        subprocess.run([uv, "pip", "compile", source, "-o", lock, *constraint, *options], cwd=ROOT, check=True)
        constraint = ["-c", "requirements-dev.txt"]
    for source, lock in ALONE.items():
        subprocess.run([uv, "pip", "compile", source, "-o", lock, *options], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
