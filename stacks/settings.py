"""The configuration as typed, frozen data; `configuration.load` reads it from config/ and the model.yaml files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$", description="As ml.m5.xlarge")]
Positive = Annotated[int, Field(ge=1)]
LogRetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653]
Scalar = str | int | float | bool


class Section(BaseModel):
    """A part of a file: no unknown keys, no conversions, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Platform(Section):
    """config/platform.yaml: what all environments share."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,20}$", description="Prefix of names that are contracts")]
    environments: Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,11}$")]], Field(min_length=1)]
    models: Annotated[list[Identifier], Field(description="Folders of ml_code/models to deploy")]
    tags: dict[str, str] = {}


class Network(Section):
    """Where jobs and endpoints run: SageMaker's own network (none), a VPC made here (own), or one given by its ids."""

    mode: Literal["none", "own", "given"] = "none"
    cidr: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+\.\d+/(1[6-9]|2[0-4])$")] = "10.40.0.0/16"
    zones: Annotated[int, Field(ge=2, le=3)] = 2
    vpc_id: Annotated[str, Field(pattern=r"^vpc-[0-9a-f]+$")] | None = None
    subnet_ids: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]] = []
    security_group_ids: list[Annotated[str, Field(pattern=r"^sg-[0-9a-f]+$")]] = []

    @model_validator(mode="after")
    def _given_means_ids(self) -> Network:
        if self.mode == "given" and not (self.vpc_id and self.subnet_ids and self.security_group_ids):
            raise ValueError("mode 'given' needs vpc_id, subnet_ids and security_group_ids")
        if self.mode != "given" and (self.vpc_id or self.subnet_ids or self.security_group_ids):
            raise ValueError(f"vpc_id, subnet_ids and security_group_ids belong to mode 'given', not {self.mode!r}")
        return self


class Budget(Section):
    """A monthly limit in US dollars; somebody is told at 80 % of it and when it will be passed."""

    monthly_usd: Annotated[int, Field(ge=1)]
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]


class Environment(Section):
    """config/<environment>.yaml."""

    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    removal: Literal["destroy", "retain"] = "retain"
    log_retention_days: LogRetentionDays = 90
    capture_retention_days: Positive = 90
    network: Network = Network()
    budget: Budget | None = None
    alarm_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    models: dict[Identifier, dict[str, Any]] = Field(default={}, description="Values of model.yaml to override")

    @model_validator(mode="after")
    def _account_and_region_together(self) -> Environment:
        if (self.account is None) != (self.region is None):
            raise ValueError("set both account and region, or neither")
        return self


class ModelData(Section):
    """What the model is made from."""

    tables: Annotated[list[str], Field(min_length=1)]
    label: str
    features: Annotated[list[str], Field(min_length=1)]


class Etl(Section):
    """The Spark job's machines."""

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    workers: Annotated[int, Field(ge=2)] = 2
    timeout_minutes: Positive = 60


class Training(Section):
    """The training pipeline's machines, how days are split, and what the algorithm is told."""

    instance_type: InstanceType = "ml.m5.xlarge"
    instance_count: Positive = 1
    volume_gb: Positive = 30
    max_runtime_minutes: Positive = 60
    test_days: Positive = 30
    validation_days: Positive = 14
    hyperparameters: dict[str, Scalar] = {}


class Gate(Section):
    """The quality below which a model is not registered."""

    metric: Literal["auc"] = "auc"
    minimum: Annotated[float, Field(ge=0, le=1)]


class Serving(Section):
    """The endpoint."""

    instance_type: InstanceType = "ml.m5.large"
    instance_count: Positive = 1
    capture_percent: Annotated[int, Field(ge=0, le=100)] = 100


class Model(Section):
    """ml_code/models/<name>/model.yaml."""

    name: Identifier
    description: str
    problem: Literal["binary_classification"]
    data: ModelData
    etl: Etl = Etl()
    training: Training = Training()
    gate: Gate
    serving: Serving = Serving()

    @property
    def slug(self) -> str:
        """The name as AWS takes it, with dashes."""
        return self.name.replace("_", "-")

    @property
    def title(self) -> str:
        """The name as construct ids and outputs carry it."""
        return "".join(word.capitalize() for word in self.name.split("_"))


class EnvironmentSettings(Section):
    """Everything that one environment's stacks are built from."""

    name: str
    platform: Platform
    environment: Environment
    models: tuple[Model, ...]


class Settings(Section):
    """Everything that the app is built from."""

    platform: Platform
    environments: tuple[EnvironmentSettings, ...]


class Repository(Section):
    """The layout of this repository, which only app and stacks know."""

    root: Path

    @property
    def config(self) -> Path:
        """platform.yaml and one file per environment."""
        return self.root / "config"

    @property
    def models(self) -> Path:
        """One package per model."""
        return self.root / "ml_code" / "models"

    @property
    def runtime(self) -> Path:
        """The source of the runtime image."""
        return self.root / "ml_code" / "runtime"

    @property
    def etl_script(self) -> Path:
        """The Glue script that runs a model's `etl.transform`."""
        return self.runtime / "glue" / "run_etl.py"
