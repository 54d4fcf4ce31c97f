"""A small lake of real flights in a folder, and its preparation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from pyspark.sql import SparkSession

from dataset_job.declaration import Dataset, parse
from dataset_job.landing import look
from dataset_job.preparation import Outcome, Preparation
from dataset_job.storage import FileStorage
from flights.etl import transform
from mlops_cli.flights import daily_table, table_text

ROOT = Path(__file__).parents[2]
DAYS = [date(2013, 7, day) for day in (3, 4, 5)]
DAY = DAYS[1]
FLIGHTS = f"flights/day={DAY}/flights.csv"
FLIGHTS_A_DAY = 60


def declared(**changes: Any) -> Dataset:
    """The dataset of flights, with some parts of its declaration changed."""
    text = (ROOT / "ml_code" / "datasets" / "flights" / "dataset.yaml").read_text()
    return parse(json.dumps(yaml.safe_load(text) | changes))


class Lake:
    """Raw, curated and quarantined rows in a directory; `prepare` prepares days."""

    def __init__(self, base: Path, spark: SparkSession, dataset: Dataset | None = None) -> None:
        self.base, self.raw = base, base / "raw"
        self.curated, self.quarantine = base / "curated", base / "quarantine"
        self.dataset = dataset or declared(quarantine={"maximum_percent": 5})
        self._spark = spark

    def land(self) -> None:
        """Three days of real flights, every fifteenth or so, with their weather and the reference tables."""
        for table in ("planes", "airports"):
            self.write(f"{table}/{table}.csv", table_text(table))
        for table, step in (("flights", 900 // FLIGHTS_A_DAY), ("weather", 1)):
            rows = daily_table(table)
            for day in DAYS:
                self.write(f"{table}/day={day}/{table}.csv", "\n".join([rows.header, *rows.days[day][::step]]) + "\n")

    def copy(self, base: Path) -> Lake:
        """The same lake elsewhere."""
        shutil.copytree(self.base, base)
        return Lake(base, self._spark, self.dataset)

    def write(self, path: str, content: str | bytes) -> None:
        file = self.raw / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str:
        return (self.raw / path).read_text()

    def prepare(self, days: Sequence[date] = DAYS, load: str = "one", function: Any = transform) -> dict[date, Outcome]:
        storage = FileStorage()
        landing = look(storage, self.dataset, f"file://{self.raw}")
        preparation = Preparation(
            self._spark,
            self.dataset,
            function,
            storage,
            f"file://{self.curated}",
            f"file://{self.quarantine}",
            load,
        )
        return {outcome.day: outcome for outcome in preparation.run(landing, days)}

    def rows(self, load: str = "one") -> pl.DataFrame:
        files = self.curated / f"load={load}" / "**/*.parquet"
        return pl.read_parquet(files, hive_partitioning=True).drop("load").sort("day", "flight_number", "route")

    def bad(self) -> pl.DataFrame:
        if not list(self.quarantine.rglob("*.parquet")):
            return pl.DataFrame({"day": [], "load": [], "source_table": [], "file": [], "reason": [], "row": []})
        return pl.read_parquet(self.quarantine / "**/*.parquet", hive_partitioning=True).sort("day", "reason", "row")

    def landed(self, path: str = FLIGHTS) -> int:
        return len(self.read(path).splitlines()) - 1
