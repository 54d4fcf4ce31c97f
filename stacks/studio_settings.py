"""Where experiments with models are tracked."""

from __future__ import annotations

from .setting_types import Section


class Studio(Section):
    """The studio stack."""

    mlflow: bool = False
    """Whether there is an MLflow app, which every training then tracks its run in; false: there is no stack either."""
