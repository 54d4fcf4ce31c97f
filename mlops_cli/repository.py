"""What this checkout declares: the platform's name in config/, and its models in ml_code/models/."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "ml_code" / "models"


def platform_name() -> str:
    """Return the platform's name, which prefixes names and tags stacks."""
    return str(_platform()["name"])


def environments() -> list[str]:
    """Return the names of the environments."""
    return list(_platform()["environments"])


def models() -> list[str]:
    """Return the names of the models."""
    return list(_platform()["models"])


def _platform() -> dict[str, Any]:
    declared: dict[str, Any] = yaml.safe_load((ROOT / "config" / "platform.yaml").read_text(encoding="utf-8"))
    return declared


def commit() -> str | None:
    """Return the commit of this checkout, with `-dirty` behind it when files differ from it; None without git."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def declaration(model: str) -> dict[str, Any]:
    """Return a model's declaration. Raises FileNotFoundError, with the models that there are, for an unknown one."""
    file = MODELS / model / "model.yaml"
    if not file.is_file():
        known = ", ".join(sorted(each.parent.name for each in MODELS.glob("*/model.yaml")))
        raise FileNotFoundError(f"no model {model!r} in ml_code/models; there are: {known}")
    declared: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return declared
