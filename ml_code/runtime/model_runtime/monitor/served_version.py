"""The version that is monitored: which one an endpoint serves and since when, its artifact and its baselines.

Baselines are those of the model registry (DriftCheckBaselines), so that a version is compared with its own training and
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from model_runtime.artifact import CODE_DIRECTORY, Description
from model_runtime.champion import Champion, fetch_version
from model_runtime.errors import JobError
from model_runtime.monitor.lake import Lake, json_or_none
from model_runtime.paths import ContainerPaths
from model_runtime.prediction_baseline import PredictionBaseline
from model_runtime.problems import PROBLEMS, Problem

NO_ENDPOINT = "Could not find endpoint"


@dataclass(frozen=True, kw_only=True)
class Served:
    """What an endpoint serves: the ARN of a model package, since when, and the variants that answer clients."""

    package: str
    since: datetime
    variants: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """What the version was like at its training; None for what it was registered without."""

    statistics: Any = None
    constraints: Any = None
    quality: Any = None
    bias: Any = None
    explainability: Any = None
    predictions: PredictionBaseline | None = None


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of the registry with its unpacked artifact."""

    arn: str
    number: int
    champion: Champion
    baselines: Baselines

    @property
    def description(self) -> Description:
        """What the model says of itself."""
        return self.champion.description

    @property
    def problem(self) -> Problem:
        """The kind of question."""
        return PROBLEMS[self.description.problem]

    @property
    def has_trees(self) -> bool:
        """Whether its archive is one of this runtime."""
        return self.champion.container is None

    def code_directory(self, paths: ContainerPaths) -> Path | None:
        """Where the model's package is: in its archive, or the input `code`; None when there is neither."""
        if self.has_trees:
            return self.champion.directory / CODE_DIRECTORY
        code = paths.processing_input("code")
        return code if code.is_dir() else None


def served_by(endpoint: str) -> Served | None:
    """What an endpoint serves; None when there is no such endpoint yet. Raises JobError for what can't be asked.

    Of several variants the one with the largest weight tells the version; captures of all of them are read.
    """
    try:
        sagemaker = boto3.client("sagemaker")
        try:
            found = sagemaker.describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            if NO_ENDPOINT.lower() in str(error).lower():
                return None
            raise
        configuration = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
        variants = configuration["ProductionVariants"]
        heaviest = max(variants, key=lambda each: float(each.get("InitialVariantWeight", 1.0)))
        if "ModelName" not in heaviest:
            raise JobError(f"the endpoint {endpoint} has no model of its own: name the version with --package")
        model = sagemaker.describe_model(ModelName=heaviest["ModelName"])
    except (ClientError, BotoCoreError) as error:
        raise JobError(f"the endpoint {endpoint} can't be looked at: {' '.join(str(error).split())}") from error
    containers = [model.get("PrimaryContainer", {}), *model.get("Containers", [])]
    package = next((each["ModelPackageName"] for each in containers if each.get("ModelPackageName")), None)
    if package is None:
        raise JobError(
            f"the endpoint {endpoint} serves the model {heaviest['ModelName']}, which names no model package: name the "
            "version with --package"
        )
    since = configuration["CreationTime"].astimezone(UTC)
    return Served(package=package, since=since, variants=tuple(each["VariantName"] for each in variants))


def find_version(arn: str, directory: Path, lake: Lake) -> Version:
    """The version of a model package, its artifact fetched into `directory`; raises JobError when it can't be read."""
    try:
        package = boto3.client("sagemaker").describe_model_package(ModelPackageName=arn)
        champion = fetch_version(package, directory)
    except (ClientError, BotoCoreError, Boto3Error, JobError, LookupError, ValueError, OSError) as error:
        raise JobError(f"the version {arn} can't be fetched: {' '.join(str(error).split())}") from error
    checks = package.get("DriftCheckBaselines", {})

    def read(*path: str) -> Any:
        found: Any = checks
        for name in (*path, "S3Uri"):
            found = found.get(name, {})
        return json_or_none(lake, found)

    return Version(
        arn=champion.arn,
        number=champion.version,
        champion=champion,
        baselines=Baselines(
            statistics=read("ModelDataQuality", "Statistics"),
            constraints=read("ModelDataQuality", "Constraints"),
            quality=read("ModelQuality", "Statistics"),
            bias=read("Bias", "PostTrainingConstraints"),
            explainability=read("Explainability", "Constraints"),
            predictions=PredictionBaseline.read(champion.directory) if champion.container is None else None,
        ),
    )
