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
CHAMPION = "live"
"""The variant that the platform's endpoints answer clients with; a challenger beside it has another name."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What an endpoint serves: the variant that is monitored, its model (None: it has none of its own), since when.

    `since` is when the endpoint was configured as it is now: another version may have answered before. The same one
    may have, too, on other instances: configurations of the past aren't kept.
    """

    endpoint: str
    variant: str
    model: str | None
    since: datetime

    def package(self) -> str:
        """The ARN of the model package that is served; raises JobError where the model names none."""
        if self.model is None:
            raise JobError(f"the endpoint {self.endpoint} has no model of its own: name the version with --package")
        try:
            model = boto3.client("sagemaker").describe_model(ModelName=self.model)
        except (ClientError, BotoCoreError) as error:
            raise JobError(f"the model {self.model} can't be looked at: {' '.join(str(error).split())}") from error
        for each in (model.get("PrimaryContainer", {}), *model.get("Containers", [])):
            if each.get("ModelPackageName"):
                return str(each["ModelPackageName"])
        raise JobError(
            f"the endpoint {self.endpoint} serves the model {self.model}, which names no model package: name the "
            "version with --package"
        )


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

    Of several variants the one named `live` is monitored, or the heaviest where there is none: what a challenger
    answers is no sign of how the champion does.
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
    except (ClientError, BotoCoreError) as error:
        raise JobError(f"the endpoint {endpoint} can't be looked at: {' '.join(str(error).split())}") from error
    weighed = max(variants, key=lambda each: float(each.get("InitialVariantWeight", 1.0)))
    champion = next((each for each in variants if each["VariantName"] == CHAMPION), weighed)
    return Served(
        endpoint=endpoint,
        variant=champion["VariantName"],
        model=champion.get("ModelName"),
        since=configuration["CreationTime"].astimezone(UTC).replace(microsecond=0),  # captures' times are in seconds
    )


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
