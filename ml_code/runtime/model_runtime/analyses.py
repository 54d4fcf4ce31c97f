"""What SageMaker Clarify is to do, and the rows for it, made ready by Prepare for the steps that ask for it.

model.yaml names groups by what clients send, as the code of an airport; prepared rows have what the model's encoders
make of it. Clarify wants its configuration in a file called analysis_config.json, and tells categories from amounts by
a column's type: floating numbers are amounts, of which a single value is a threshold; whole ones that repeat are
categories. Source: `series_datatype` of https://github.com/aws/amazon-sagemaker-clarify.

Kernel SHAP asks the model for every explained row times its samples, so it gets some of the test rows, and one row of
the training data to compare with: means, and the commonest values of categories. Model Monitor gets CSV with a header,
which its guide documents for baselines.
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
EXPLAINED, EXPLAINED_ROWS, SEED = "explained", 300, 0
"""The part of the test rows that is explained, how many those are at most, and what draws them."""
DESCRIBED = "described"
"""The training rows for Model Monitor."""


@dataclass(frozen=True, kw_only=True)
class Analyses:
    """Configurations by the names of their steps, the columns that hold categories, and whether rows are described.

    None: nothing to do.
    """

    directory: Path
    configurations: Mapping[str, Any] = field(default_factory=dict)
    categories: Sequence[str] = ()
    described: bool = False

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
            described = bool(given.get("described", False))
        except (ValueError, KeyError, TypeError) as error:
            raise JobError(f"the input {CHECKS!r} must have analyses and categories: {error}") from error
        for configuration in configurations.values():
            for facet in configuration.get("facet", []):
                group = Facet(feature=facet["name_or_index"], values=tuple(facet["value_or_threshold"]))
                facet["value_or_threshold"] = group.numbers(code.encoders)
        return cls(directory=directory, configurations=configurations, categories=categories, described=described)

    def write(self) -> None:
        """Write each configuration to `<name>/analysis_config.json` of the output `checks`."""
        for name, configuration in self.configurations.items():
            (self._folder(name) / FILE).write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")

    def write_rows(self, name: str, part: pl.DataFrame, columns: Sequence[str]) -> None:
        """Write a part's rows to `<part>/part.parquet` of the output `checks`, categories as whole numbers.

        Rows that miss a category are left out there: Clarify tells categories by a column without gaps.
        The training rows give the baseline of explanations and, where they are described, `described/part.csv`; of
        the test rows those to be explained lie in `explained`.
        """
        if name not in PARTS or not (self.configurations or self.described):
            return
        kinds = {each: pl.Int64 if each in self.categories else pl.Float64 for each in columns}
        typed = part.select(pl.col(each).cast(pl.Float64).fill_nan(None).cast(kind) for each, kind in kinds.items())
        if self.described and name == "train":
            typed.write_csv(self._folder(DESCRIBED) / "part.csv")
        if not self.configurations:
            return
        # pandas reads whole numbers with gaps as floating ones, which Clarify takes for amounts
        typed = typed.drop_nulls(self.categories) if self.categories else typed
        typed.write_parquet(self._folder(name) / "part.parquet")
        explaining = [each for each in self.configurations.values() if "shap" in each.get("methods", {})]
        if explaining and name == "test":
            some = typed.sample(min(typed.height, EXPLAINED_ROWS), seed=SEED)
            some.write_parquet(self._folder(EXPLAINED) / "part.parquet")
        if explaining and name == "train":
            for each in explaining:
                each["methods"]["shap"]["baseline"] = [self._baseline(typed.drop(each["label"]))]
            self.write()

    def _baseline(self, features: pl.DataFrame) -> list[float]:
        """One row: means, the commonest values of categories (the least of several), and 0 for what has no value."""
        found = []
        for column in features.iter_columns():
            known = column.drop_nulls().cast(pl.Float64)
            middle = known.mode().min() if column.name in self.categories else known.mean()
            found.append(float(middle) if isinstance(middle, int | float) else 0.0)
        return found

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
