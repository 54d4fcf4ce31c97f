"""The dataset that docs/data.md shows is valid, and its transform computes what its columns say."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from pyspark.sql import SparkSession

from dataset_job.declaration import parse
from stacks.dataset_settings import Dataset
from tests.datasets.lake import ROOT, Lake

GUIDE = (ROOT / "docs" / "data.md").read_text()
DAY = date(2013, 7, 8)


def example(language: str) -> str:
    """The block of the guide in that language, without its indentation."""
    found = re.search(rf"^   ```{language}\n(.*?)^   ```$", GUIDE, re.DOTALL | re.MULTILINE)
    assert found
    return re.sub("^   ", "", found[1], flags=re.MULTILINE)


@pytest.fixture
def sales() -> Dataset:
    return Dataset.model_validate(yaml.safe_load(example("yaml")))


def test_documented_dataset_prepares_its_days(tmp_path: Path, spark: SparkSession, sales: Dataset) -> None:
    code: dict[str, Any] = {}
    exec(example("python"), code)
    lake = Lake(tmp_path / "lake", spark, parse(json.dumps(sales.declaration())))
    header = "receipt,line,shop,sold_at,amount"
    for offset, amount in enumerate([100.0, 5.0, 2.5]):  # seven days before, one day before, the day
        day = date(2013, 7, (1, 7, 8)[offset])
        rows = [f"{offset},{line},north,{day}T10:00:00Z,{amount}" for line in (1, 2)]
        lake.write(f"receipts/day={day}/receipts.csv", "\n".join([header, *rows]) + "\n")
    outcome = lake.prepare([DAY], function=code["transform"])[DAY]
    assert (outcome.rows, outcome.quarantined, outcome.held) == (1, 0, None)
    rows = pl.read_parquet(lake.curated / "**/*.parquet")
    assert rows.select("shop", "revenue", "revenue_of_week").rows() == [("north", 5.0, 15.0)]
