"""The configuration as typed, frozen data, which `configuration.load` reads from YAML files.

Every field carries the description that editors show: `python -m stacks.schemas` writes the JSON Schemas from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .dataset_settings import Dataset
from .fleet_settings import Fleet
from .model_settings import Model
from .native_settings import Native
from .registry_settings import Registry, check_sharing
from .setting_types import (
    Account,
    DatasetName,
    Email,
    EnvironmentName,
    FleetName,
    ModelName,
    PlatformName,
    Positive,
    Region,
    Section,
    SecurityGroupId,
    SubnetId,
    VpcId,
    unique,
)
from .studio_settings import Studio

LogRetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653]


def _free_tags(tags: dict[str, str]) -> dict[str, str]:
    for reserved, value in (("platform", "the platform's name"), ("environment", "the environment's")):
        if reserved in tags:
            raise PydanticCustomError(
                "reserved_tag",
                "is always {value}, which stacks are found by; remove it",
                {"value": value, "at": (reserved,)},
            )
    return tags


class Platform(Section):
    """config/platform.yaml: what all environments share."""

    name: PlatformName
    """Prefix of the names that are contracts, as that of the image repository."""
    environments: Annotated[list[EnvironmentName], Field(min_length=1), AfterValidator(unique)]
    """Environments to synthesize; each has a file config/<environment>.yaml."""
    models: Annotated[list[ModelName], AfterValidator(unique)]
    """Folders of ml_code/models to deploy."""
    datasets: Annotated[list[DatasetName], AfterValidator(unique)]
    """Folders of ml_code/datasets to deploy."""
    tags: Annotated[dict[str, str], AfterValidator(_free_tags)] = Field(default_factory=dict)
    """Tags of every stack and resource, beside `platform` and `environment`, which they all have."""


class Network(Section):
    """Subnets and security groups of an existing VPC that training jobs and endpoints run in.

    They need a way to S3, ECR, CloudWatch Logs, STS and SageMaker: VPC endpoints, or a NAT gateway.
    """

    subnet_ids: Annotated[list[SubnetId], Field(min_length=1, max_length=16)]
    """Subnets, in two zones or more for an endpoint that survives the loss of one."""
    security_group_ids: Annotated[list[SecurityGroupId], Field(min_length=1, max_length=5)]
    """Security groups. Jobs on several instances need one that lets its members talk to each other."""
    vpc_id: VpcId | None = None
    """The VPC that the subnets belong to, which a Studio domain has to know; only that needs it."""


class Budget(Section):
    """A monthly limit of the whole account; somebody is told at 80 % of it and when it will be passed."""

    monthly_usd: Positive
    """US dollars a month."""
    email: Email
    """Who is told."""


class Environment(Section):
    """config/<environment>.yaml."""

    account: Account | None = None
    """The AWS account, in quotes; left out: the one that deploys. Goes with `region`."""
    region: Region | None = None
    """The AWS region; left out: the one that deploys. Goes with `account`."""
    removal: Literal["destroy", "retain"] = "retain"
    """What happens to data, keys, images, models and logs when their stack is deleted. CloudFormation deletes buckets
    and model groups only when they are empty."""
    log_retention_days: LogRetentionDays = 90
    """Days that access logs and the logs of ETL jobs and endpoints are kept. SageMaker's own log groups of training and
    processing jobs belong to the whole account and are not touched."""
    capture_retention_days: Positive = 90
    """Days that captured requests are kept."""
    quarantine_retention_days: Positive = 90
    """Days that bad rows are kept in quarantine."""
    query_limit_gb: Positive = 10
    """Gigabytes that one query of the Athena workgroup may read."""
    network: Network | None = None
    """Where training jobs and endpoints run; left out: SageMaker's own network."""
    budget: Budget | None = None
    """A monthly limit with a warning; left out: none."""
    studio: Studio | None = None
    """Where people experiment; left out: nowhere, and trainings are not tracked."""
    registry: Registry = Field(default_factory=Registry)
    """The model registries; left out: only this account uses them."""
    fleets: dict[FleetName, Fleet] = Field(default_factory=dict)
    """Machines that several models share, by name: models with serving.component are on one."""
    native: Native | None = None
    """Images of SageMaker's own Debugger, Clarify and Model Monitor, for accounts that have them; left out: none."""
    alarm_email: Email | None = None
    """Who is told when an ETL job or a training pipeline fails; left out: nobody, the topic can be subscribed later."""
    models: dict[ModelName, dict[str, Any]] = Field(default_factory=dict)
    """Values of a model.yaml that are different here, by model."""
    datasets: dict[DatasetName, dict[str, Any]] = Field(default_factory=dict)
    """Values of a dataset.yaml that are different here, by dataset."""

    @model_validator(mode="after")
    def _account_and_region_together(self) -> Environment:
        if (self.account is None) != (self.region is None):
            given, other = ("account", "region") if self.account else ("region", "account")
            raise PydanticCustomError(
                "pair", "needs {other} beside it; set both, or neither", {"other": other, "at": (given,)}
            )
        check_sharing(self.account, self.registry)
        return self


class EnvironmentSettings(Section):
    """Everything that one environment's stacks are built from."""

    name: str
    platform: Platform
    environment: Environment
    datasets: tuple[Dataset, ...]
    models: tuple[Model, ...]

    def on_fleet(self, name: str) -> list[Model]:
        """The models that have a component on a fleet."""
        return [
            model
            for model in self.models
            if model.serving and model.serving.component and model.serving.component.fleet == name
        ]

    def readers_of(self, dataset: Dataset) -> list[Model]:
        """The models that are made from a dataset."""
        return [model for model in self.models if model.data.dataset == dataset.name]


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
    def datasets(self) -> Path:
        """One package per dataset."""
        return self.root / "ml_code" / "datasets"

    @property
    def glue(self) -> Path:
        """The scripts of Glue jobs, and the package that they share."""
        return self.root / "ml_code" / "glue"
