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
}


def main() -> None:
    """Write each lock file, without addresses of registries."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("`uv` is not installed: pip install uv")
    options = ["--universal", "--python-version", "3.11", "--generate-hashes"]
    options += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
    constraint: list[str] = []
    for source, lock in LOCKS.items():
        subprocess.run([uv, "pip", "compile", source, "-o", lock, *constraint, *options], cwd=ROOT, check=True)
        constraint = ["-c", "requirements-dev.txt"]


if __name__ == "__main__":
    main()
