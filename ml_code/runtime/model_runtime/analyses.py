"""What SageMaker Clarify is to do, and the rows for it, made ready by Prepare for the steps that ask for it.

model.yaml names groups by what clients send, as the code of an airport; prepared rows have what the model's encoders
make of it. Clarify wants its configuration in a file called analysis_config.json, and tells categories from amounts by
a column's type: floating numbers are amounts, of which a single value is a threshold; whole ones that repeat are
categories. Source: `series_datatype` of https://github.com/aws/amazon-sagemaker-clarify.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from model_runtime.bias import Facet
from model_runtime.errors import JobError
from model_runtime.model_code import ModelCode
from model_runtime.paths import ContainerPaths

CHECKS = "checks"
FILE = "analysis_config.json"
PARTS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Analyses:
    """Configurations by the names of their steps, and the columns that hold categories. None: nothing to do."""

    directory: Path
    configurations: Mapping[str, Any] = field(default_factory=dict)
    categories: Sequence[str] = ()

    @classmethod
    def read(cls, paths: ContainerPaths, code: ModelCode) -> Analyses:
        """The input `checks`: one JSON file, or no such input. Raises JobError for what can't be done."""
        source, directory = paths.processing_input(CHECKS), paths.processing_output(CHECKS)
        files = sorted(source.glob("*.json")) if source.is_dir() else []
        if not files:
            return cls(directory=directory)
        try:
            given = json.loads(files[0].read_text(encoding="utf-8"))
            configurations, categories = dict(given["analyses"]), list(given["categories"])
        except (ValueError, KeyError, TypeError) as error:
            raise JobError(f"the input {CHECKS!r} must have analyses and categories: {error}") from error
        for configuration in configurations.values():
            for facet in configuration.get("facet", []):
                group = Facet(feature=facet["name_or_index"], values=tuple(facet["value_or_threshold"]))
                facet["value_or_threshold"] = group.numbers(code.encoders)
        return cls(directory=directory, configurations=configurations, categories=categories)

    def write(self) -> None:
        """Write each configuration to `<name>/analysis_config.json` of the output `checks`."""
        for name, configuration in self.configurations.items():
            folder = self.directory / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FILE).write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")

    def write_rows(self, name: str, part: pl.DataFrame, columns: Sequence[str]) -> None:
        """Write a part's rows to `<part>/part.parquet` of the output `checks`, categories as whole numbers."""
        if not self.configurations or name not in PARTS:
            return
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        kinds = {each: pl.Int64 if each in self.categories else pl.Float64 for each in columns}
        typed = [pl.col(each).cast(pl.Float64).fill_nan(None).cast(kind) for each, kind in kinds.items()]
        part.select(typed).write_parquet(folder / "part.parquet")
