"""A dataset as its dataset.yaml declares it: tables, what is made of them, rules, machines and triggers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .dqdl import check_rule
from .setting_types import (
    ColumnType,
    DatasetName,
    Day,
    Description,
    Positive,
    Schedule,
    Section,
    TableName,
    unique,
)

PARTITION = "day"
"""The partition key of prepared tables and of raw ones that land by day."""

Key = Annotated[list[TableName], AfterValidator(unique)]


def _check_key(key: list[str], columns: Collection[str]) -> None:
    for index, name in enumerate(key):
        if name not in columns:
            raise PydanticCustomError(
                "key_column", "{name} is no column of the table", {"name": repr(name), "at": ("key", index)}
            )


class Column(Section):
    """A column of a table."""

    type: ColumnType
    """The type, as Glue, Spark and Hive call it: string, boolean, int, bigint, float, double, decimal(p,s), date or
    timestamp."""
    description: Annotated[str, Field(min_length=1, max_length=200)]
    """What the column holds and in which unit, and when it is missing."""


class RawColumn(Column):
    """A column of a raw table."""

    required: bool = False
    """Whether a row without it goes to quarantine."""


class RawTable(Section):
    """A table that lands in the raw bucket under its name, as CSV with a header."""

    description: Description
    """What a row is."""
    daily: bool = False
    """Whether it lands by day, under <table>/day=YYYY-MM-DD/; otherwise it is read whole for every day."""
    day: Annotated[str, Field(min_length=1)] | None = None
    """SQL expression of the day that a row belongs to; rows of another day than their folder's go to quarantine. Left
    out: rows aren't checked."""
    days_before: Annotated[int, Field(ge=0)] = 0
    """How many earlier days the preparation of a day reads too."""
    key: Key = Field(default_factory=list)
    """Columns that tell rows apart; rows that repeat a key go to quarantine. Left out: rows aren't compared."""
    columns: Annotated[dict[TableName, RawColumn], Field(min_length=1)]
    """The columns in the order of the files."""

    @model_validator(mode="after")
    def _fits_together(self) -> RawTable:
        _check_key(self.key, self.columns)
        for name in ("day", "days_before"):
            if getattr(self, name) and not self.daily:
                raise PydanticCustomError(
                    "not_daily", "needs daily: true; add it, or remove {name}", {"name": name, "at": (name,)}
                )
        return self


class PreparedTable(Section):
    """The curated table: what etl.transform returns for a day, one partition for each."""

    description: Description
    """What a row is."""
    key: Annotated[Key, Field(min_length=1)]
    """Columns that tell the rows of a day apart; predictions carry them."""
    columns: Annotated[dict[TableName, Column], Field(min_length=1)]
    """The columns, without the partition key day."""

    @model_validator(mode="after")
    def _fits_together(self) -> PreparedTable:
        _check_key(self.key, self.columns)
        if PARTITION in self.columns:
            raise PydanticCustomError(
                "partition_column",
                "is the partition key, which every prepared table has; remove it from the columns",
                {"at": ("columns", PARTITION)},
            )
        return self


class Etl(Section):
    """The machines of the Spark job that prepares the dataset."""

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    """Size of a Glue worker: G.1X has 4 vCPU and 16 GB, each next one twice as much."""
    workers: Annotated[int, Field(ge=2)] = 2
    """Number of workers, the driver included; the most there may be when they scale."""
    autoscaling: bool = False
    """Whether Glue adds and removes workers as a run needs them."""
    flex: bool = False
    """Whether runs take spare machines: cheaper, but they may wait for them and lose them."""
    timeout_minutes: Positive = 60
    """Minutes after which a run is stopped."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """How often Glue repeats a run that failed."""
    spark_ui: bool = False
    """Whether runs write Spark's event logs, for the Spark UI."""

    @model_validator(mode="after")
    def _flex_takes_small_workers(self) -> Etl:
        if self.flex and self.worker_type not in {"G.1X", "G.2X"}:
            raise PydanticCustomError(
                "flex",
                "takes workers of type G.1X or G.2X alone; change worker_type, or remove flex",
                {"at": ("flex",)},
            )
        return self


class Trigger(Section):
    """What starts the workflow, beside people."""

    batch_size: Annotated[int, Field(ge=1, le=100)] = 100
    """Number of files that have landed after which it starts."""
    window_seconds: Annotated[int, Field(ge=1, le=900)] = 300
    """Seconds after the first file that landed after which it starts, however many there are."""
    schedule: Schedule | None = None
    """Times at which it starts as well, as cron(0 6 * * ? *), in UTC; left out: none."""


class Checks(Section):
    """How the days of a run are checked against the rules."""

    workers: Annotated[int, Field(ge=2)] = 2
    """Workers (G.1X) that check one day."""
    parallel: Annotated[int, Field(ge=1, le=100)] = 25
    """How many days are checked at once."""


class Quarantine(Section):
    """How many bad rows a day may have."""

    maximum_percent: Annotated[float, Field(ge=0, le=100)] = 1
    """Percent of a day's rows that may be bad, in any raw table; with more the day is held back."""


class Dataset(Section):
    """ml_code/datasets/<name>/dataset.yaml."""

    name: DatasetName
    """The folder's name, and that of the curated table."""
    description: Description
    """What the dataset holds, in a sentence."""
    owner: Annotated[str, Field(min_length=1, max_length=255)]
    """Who answers for it: a person's or team's address."""
    first_day: Day = "2000-01-01"
    """The first day that any table can have, in quotes: queries look for partitions from here on."""
    tables: Annotated[dict[TableName, RawTable], Field(min_length=1)]
    """The raw tables by name, which is also their folder in the raw bucket."""
    prepared: PreparedTable
    """The curated table."""
    rules: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1), AfterValidator(unique)]
    """Data quality rules (DQDL) that every day has to keep to be published."""
    etl: Etl = Etl()
    """The machines of the Spark job."""
    trigger: Trigger = Trigger()
    """What starts the workflow."""
    checks: Checks = Checks()
    """How days are checked."""
    quarantine: Quarantine = Quarantine()
    """How many bad rows a day may have."""

    @model_validator(mode="after")
    def _fits_together(self) -> Dataset:
        if not self.daily_tables:
            raise PydanticCustomError(
                "no_daily_table",
                "has no table with daily: true, so that nothing would start a preparation; add it to one",
                {"at": ("tables",)},
            )
        checked = [check_rule(rule, self.prepared.columns, self.reference_tables) for rule in self.rules]
        broken = {("rules", index): reason for index, reason in enumerate(checked) if reason}
        if broken:
            raise PydanticCustomError("rules", "has rules that can't be evaluated", {"places": broken})
        return self

    @property
    def slug(self) -> str:
        """The name as AWS takes it, with dashes."""
        return self.name.replace("_", "-")

    @property
    def title(self) -> str:
        """The name as construct ids and outputs carry it."""
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def reference_tables(self) -> list[str]:
        """The tables that every day is prepared with, and that rules may refer to."""
        return [name for name, table in self.tables.items() if not table.daily]

    @property
    def daily_tables(self) -> list[str]:
        """The tables that land by day."""
        return [name for name, table in self.tables.items() if table.daily]

    def declaration(self) -> dict[str, Any]:
        """What the dataset's jobs are told, as JSON-ready data."""
        return self.model_dump(mode="json", include={"name", "tables", "prepared", "quarantine"})
