"""The configuration as typed, frozen data; `configuration.load` reads it from config/ and the model.yaml files.

Every field carries the description that editors show: `python -m stacks.schemas` writes the JSON Schemas from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


def _unique(values: list[str]) -> list[str]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError(
                "listed_twice", "{value} is listed twice; remove one", {"value": repr(value), "at": (index,)}
            )
    return values


def _free_tags(tags: dict[str, str]) -> dict[str, str]:
    for reserved, value in (("platform", "the platform's name"), ("environment", "the environment's")):
        if reserved in tags:
            raise PydanticCustomError(
                "reserved_tag",
                "is always {value}, which stacks are found by; remove it",
                {"value": value, "at": (reserved,)},
            )
    return tags


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise PydanticCustomError("scalar_type", "must be text, a number, or true or false")
    return value


_ACCOUNT = r"^\d{12}$"
_COLUMN = r"^[A-Za-z_][A-Za-z0-9_]*$"
_EMAIL = r"^[^@\s]+@[^@\s]+$"
_ENVIRONMENT = r"^[a-z][a-z0-9]{0,11}$"
_INSTANCE_TYPE = r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$"
_MODEL = r"^[a-z]([a-z0-9_]{0,39}[a-z0-9])?$"
_PLATFORM = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_REGION = r"^[a-z]{2}(-[a-z]+)+-\d$"
_SECURITY_GROUP = r"^sg-([0-9a-f]{8}|[0-9a-f]{17})$"
_SUBNET = r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$"
_TABLE = r"^[a-z][a-z0-9_]*$"

EXAMPLES: Mapping[str, str] = {
    _ACCOUNT: '"123456789012", twelve digits in quotes',
    _COLUMN: "departure_minute: letters, digits and _",
    _EMAIL: "somebody@example.com",
    _ENVIRONMENT: "staging: up to 12 small letters and digits, a letter first",
    _INSTANCE_TYPE: "ml.m5.xlarge",
    _MODEL: "flight_delay: up to 41 small letters, digits and _",
    _PLATFORM: "my-platform: small letters, digits and single dashes",
    _REGION: "eu-west-1",
    _SECURITY_GROUP: "sg-0123456789abcdef0",
    _SUBNET: "subnet-0123456789abcdef0",
    _TABLE: "flights: small letters, digits and _",
}
"""What a value that has to match a pattern looks like."""

ColumnName = Annotated[str, Field(pattern=_COLUMN)]
EnvironmentName = Annotated[str, Field(pattern=_ENVIRONMENT)]
Email = Annotated[str, Field(pattern=_EMAIL)]
InstanceType = Annotated[str, Field(pattern=_INSTANCE_TYPE)]
ModelName = Annotated[str, Field(pattern=_MODEL)]
Positive = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
LogRetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653]
Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]


class Section(BaseModel):
    """A part of a file: no unknown keys, no conversions, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Platform(Section):
    """config/platform.yaml: what all environments share."""

    name: Annotated[str, Field(pattern=_PLATFORM, max_length=21)]
    """Prefix of the names that are contracts, as that of the image repository."""
    environments: Annotated[list[EnvironmentName], Field(min_length=1), AfterValidator(_unique)]
    """Environments to synthesize; each has a file config/<environment>.yaml."""
    models: Annotated[list[ModelName], AfterValidator(_unique)]
    """Folders of ml_code/models to deploy."""
    tags: Annotated[dict[str, str], AfterValidator(_free_tags)] = {}
    """Tags of every stack and resource, beside `platform` and `environment`, which they all have."""


class Network(Section):
    """Subnets and security groups of an existing VPC that training jobs and endpoints run in.

    They need a way to S3, ECR, CloudWatch Logs, STS and SageMaker: VPC endpoints, or a NAT gateway.
    """

    subnet_ids: Annotated[list[Annotated[str, Field(pattern=_SUBNET)]], Field(min_length=1, max_length=16)]
    """Subnets, in two zones or more for an endpoint that survives the loss of one."""
    security_group_ids: Annotated[
        list[Annotated[str, Field(pattern=_SECURITY_GROUP)]], Field(min_length=1, max_length=5)
    ]
    """Security groups. Jobs on several instances need one that lets its members talk to each other."""


class Budget(Section):
    """A monthly limit of the whole account; somebody is told at 80 % of it and when it will be passed."""

    monthly_usd: Positive
    """US dollars a month."""
    email: Email
    """Who is told."""


class Environment(Section):
    """config/<environment>.yaml."""

    account: Annotated[str, Field(pattern=_ACCOUNT)] | None = None
    """The AWS account, in quotes; left out: the one that deploys. Goes with `region`."""
    region: Annotated[str, Field(pattern=_REGION)] | None = None
    """The AWS region; left out: the one that deploys. Goes with `account`."""
    removal: Literal["destroy", "retain"] = "retain"
    """What happens to data, keys, images, models and logs when their stack is deleted. CloudFormation deletes buckets
    and model groups only when they are empty."""
    log_retention_days: LogRetentionDays = 90
    """Days that access logs and the logs of ETL jobs and endpoints are kept. SageMaker's own log groups of training and
    processing jobs belong to the whole account and are not touched."""
    capture_retention_days: Positive = 90
    """Days that captured requests are kept."""
    network: Network | None = None
    """Where training jobs and endpoints run; left out: SageMaker's own network."""
    budget: Budget | None = None
    """A monthly limit with a warning; left out: none."""
    alarm_email: Email | None = None
    """Who is told when an ETL job or a training pipeline fails; left out: nobody, the topic can be subscribed later."""
    models: dict[ModelName, dict[str, Any]] = {}
    """Values of a model.yaml that are different here, by model."""

    @model_validator(mode="after")
    def _account_and_region_together(self) -> Environment:
        if (self.account is None) != (self.region is None):
            given, other = ("account", "region") if self.account else ("region", "account")
            raise PydanticCustomError(
                "pair", "needs {other} beside it; set both, or neither", {"other": other, "at": (given,)}
            )
        return self


class ModelData(Section):
    """What the model is made from."""

    tables: Annotated[list[Annotated[str, Field(pattern=_TABLE)]], Field(min_length=1), AfterValidator(_unique)]
    """Folders of the raw bucket that the ETL job may read: the tables of the model's etl.py."""
    label: ColumnName
    """The column to predict."""
    features: Annotated[list[ColumnName], Field(min_length=1), AfterValidator(_unique)]
    """The columns that clients send, in this order: those of the model's features.py."""

    @model_validator(mode="after")
    def _label_is_no_feature(self) -> ModelData:
        if self.label in self.features:
            raise PydanticCustomError(
                "label_is_feature",
                "{label} is the label, which a model can't be told; remove it from the features",
                {"label": repr(self.label), "at": ("features", self.features.index(self.label))},
            )
        return self


class Etl(Section):
    """The Spark job's machines."""

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    """Size of a Glue worker: G.1X has 4 vCPU and 16 GB, each next one twice as much."""
    workers: Annotated[int, Field(ge=2)] = 2
    """Number of workers, the driver included."""
    timeout_minutes: Positive = 60
    """Minutes after which a run is stopped."""


class Training(Section):
    """The training pipeline's machines, how days are split, and what the algorithm is told."""

    instance_type: InstanceType = "ml.m5.xlarge"
    """Machine of each of the pipeline's jobs, as ml.m5.xlarge."""
    volume_gb: Positive = 30
    """Disk of each job in GiB."""
    max_runtime_minutes: Positive = 60
    """Minutes after which a job is stopped."""
    test_days: Positive = 30
    """Newest days, held out to judge the model; an execution can say otherwise."""
    validation_days: Positive = 14
    """Days before the test days, which tune the training; an execution can say otherwise."""
    hyperparameters: dict[str, Scalar] = {}
    """Passed to the model's train.py."""


class Gate(Section):
    """The quality below which a model is not registered."""

    metric: Literal["auc", "accuracy", "precision", "recall", "f0_5", "f1", "f2"] = "auc"
    """The metric of the evaluation report that decides; more is better in all of them."""
    minimum: Annotated[float, Field(ge=0, le=1)]
    """The least value that passes; an execution can say otherwise."""


class Serving(Section):
    """The endpoint."""

    instance_type: InstanceType = "ml.m5.large"
    """Machine, as ml.m5.large."""
    instance_count: Positive = 1
    """Number of machines; two or more spread over zones."""
    capture_percent: Percent = 100
    """Share of requests and answers that is kept; 0 for none."""


class Model(Section):
    """ml_code/models/<name>/model.yaml."""

    name: ModelName
    """The folder's name."""
    description: Annotated[str, Field(min_length=1, max_length=1024)]
    """What the model answers, in a sentence."""
    problem: Literal["binary_classification"]
    """The kind of question, which decides how the model is judged."""
    data: ModelData
    """What the model is made from."""
    etl: Etl = Etl()
    """The Spark job's machines."""
    training: Training = Training()
    """The training pipeline."""
    gate: Gate
    """The quality below which a model is not registered."""
    serving: Serving = Serving()
    """The endpoint."""

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
        return self.root / "ml_code" / "glue" / "run_etl.py"
