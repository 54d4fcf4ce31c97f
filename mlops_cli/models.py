"""What the repository declares of its models, in `ml_code/models/<name>/model.yaml`."""

from __future__ import annotations

from typing import Any

import yaml

from mlops_cli.local import ROOT

MODELS = ROOT / "ml_code" / "models"


def declaration(model: str) -> dict[str, Any]:
    """Return a model's declaration. Raises FileNotFoundError, with the models that there are, for an unknown one."""
    file = MODELS / model / "model.yaml"
    if not file.is_file():
        known = ", ".join(sorted(each.parent.name for each in MODELS.glob("*/model.yaml")))
        raise FileNotFoundError(f"no model {model!r} in ml_code/models; there are: {known}")
    declared: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return declared
