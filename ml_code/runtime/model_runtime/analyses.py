"""What SageMaker Clarify is to do, made ready by Prepare for the steps that ask for it.

model.yaml names groups by what clients send, as the code of an airport; prepared rows have what the model's encoders
make of it. And Clarify wants its configuration in a file called analysis_config.json.
"""

from __future__ import annotations

import json
from typing import Any

from model_runtime.bias import Facet
from model_runtime.errors import JobError
from model_runtime.model_code import ModelCode
from model_runtime.paths import ContainerPaths

CHECKS = "checks"
FILE = "analysis_config.json"


def write_analyses(paths: ContainerPaths, code: ModelCode) -> None:
    """Write the output `checks`, a folder for each analysis of the input `checks`; nothing when there is no such input.

    The input is one JSON file of analyses by name. Raises JobError for text that no encoder has a number for.
    """
    source = paths.processing_input(CHECKS)
    files = sorted(source.glob("*.json")) if source.is_dir() else []
    for file in files:
        try:
            analyses = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise JobError(f"the input {CHECKS!r} is no JSON: {error}") from error
        for name, analysis in analyses.items():
            for facet in analysis.get("facet", []):
                facet["value_or_threshold"] = _numbers(facet, code)
            directory = paths.processing_output(CHECKS) / name
            directory.mkdir(parents=True, exist_ok=True)
            (directory / FILE).write_text(json.dumps(analysis, indent=1) + "\n", encoding="utf-8")


def _numbers(facet: dict[str, Any], code: ModelCode) -> list[float]:
    group = Facet(feature=facet["name_or_index"], values=tuple(facet["value_or_threshold"]))
    return group.numbers(code.encoders)
