"""Where a judgement comes from: what a job was given, and what it was told by variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMIT = "GIT_COMMIT"
DATA_VERSION = "DATA_VERSION"
UNKNOWN = "unknown"
"""The value of a variable that whoever deployed had nothing to say for."""
SOURCES = {"model": "model", "test": "test rows", "train": "training rows", "code": "code"}
TOLD = {COMMIT: "commit", DATA_VERSION: "data version"}


def told(environment: Mapping[str, str], variable: str) -> str | None:
    """What a variable says; None when it isn't set, is empty or says `unknown`."""
    value = environment.get(variable)
    return value if value and value != UNKNOWN else None


def job_of(configuration: Path) -> Mapping[str, Any]:
    """The processing job, as SageMaker writes it into the container (`processingjobconfig.json`); empty outside."""
    if not configuration.is_file():
        return {}
    found: Mapping[str, Any] = json.loads(configuration.read_text(encoding="utf-8"))
    return found


def lineage(job: Mapping[str, Any]) -> dict[str, str]:
    """What a processing job was given: names with URIs, versions and the like; what isn't known is left out."""
    if not job:
        return {}
    given = {each.get("InputName"): each.get("S3Input", {}).get("S3Uri") for each in job.get("ProcessingInputs") or ()}
    found = {shown: given[name] for name, shown in SOURCES.items() if given.get(name)}
    variables = job.get("Environment") or {}
    found |= {shown: told(variables, name) for name, shown in TOLD.items()}
    found["image"] = job.get("AppSpecification", {}).get("ImageUri")
    found["evaluated by"] = job.get("ProcessingJobArn")
    return {name: str(value) for name, value in found.items() if value}
