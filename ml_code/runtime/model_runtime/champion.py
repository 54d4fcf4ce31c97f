"""The champion: the newest approved version of the model, which a candidate has to stand against.

It comes from the model registry and answers in a process of its own, so that a version which no longer loads is a
finding and not the end of the job. Only what is wrong with the version itself is such a finding: without a comparison a
worse model could pass. Where AWS, a machine or the time is at fault, the job fails, and nothing is decided.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import polars as pl
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from model_runtime.artifact import DESCRIPTION_FILE, Description, parse_description, read_description
from model_runtime.autopilot_answers import ANSWERS_FILE, read_scores
from model_runtime.errors import JobError
from model_runtime.metrics import Floats
from model_runtime.paths import ContainerPaths
from model_runtime.predictions import ARCHIVE, MACHINE_FAULT, unpack_model
from model_runtime.problems import PROBLEMS
from model_runtime.tables import ROWS_FILE, write_rows
from model_runtime.transform import NoAnswer, transform

SECONDS_TO_ANSWER = 1800
MISSING = ("404", "NoSuchKey")
SEARCHED = "automl"
"""The metadata `Algorithm` of versions that are images and archives of Autopilot's."""


class NotComparable(Exception):
    """There is nothing to compare with; the text is the reason, as a part of a sentence."""


@dataclass(frozen=True)
class Champion:
    """An approved version and its unpacked artifact, or the container of one that only its own container can load."""

    version: int
    arn: str
    directory: Path
    description: Description
    container: Mapping[str, Any] | None = None

    @property
    def last_day_seen(self) -> date | None:
        """The newest day that it has learned from; None when it doesn't say."""
        days = [part["last"] for part in self.description.days.values() if part.get("last")]
        return max(date.fromisoformat(day) for day in days) if days else None


def find_champion(group: str, directory: Path) -> Champion:
    """Fetch the newest approved version of a group into `directory`.

    Raises NotComparable when no version is approved yet or its artifact is gone or isn't what this runtime writes, and
    JobError when registry or store can't be asked: what the role isn't allowed to see must not look like a missing
    champion.
    """
    try:
        registry = boto3.client("sagemaker")
        found = registry.list_model_packages(
            ModelPackageGroupName=group,
            ModelApprovalStatus="Approved",
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=1,
        )["ModelPackageSummaryList"]
        if not found:
            raise NotComparable(f"no version of {group} is approved yet")
        package = registry.describe_model_package(ModelPackageName=found[0]["ModelPackageArn"])
    except (ClientError, BotoCoreError) as error:
        raise JobError(f"the model registry can't be asked for the champion of {group}: {error}") from error
    version = int(package["ModelPackageVersion"])
    try:
        return fetch_version(package, directory)
    except (ClientError, BotoCoreError, Boto3Error, JobError, LookupError, ValueError, OSError) as error:
        if _is_fault_of_machine(error):
            raise JobError(f"version {version} can't be fetched: {_line(error)}; {_remedy(version)}") from error
        raise NotComparable(f"version {version} can't be loaded: {_line(error)}") from error


def fetch_version(package: Mapping[str, Any], directory: Path) -> Champion:
    """Fetch the artifact of a described model package into `directory`.

    Of a version that only its own container can load, nothing but the description is fetched. Whatever goes wrong is
    raised as boto3, the archive or the reading of it raise it: JobError, LookupError, ValueError and OSError.
    """
    version, arn = int(package["ModelPackageVersion"]), package["ModelPackageArn"]
    if package.get("CustomerMetadataProperties", {}).get("Algorithm") == SEARCHED:
        (container,) = package["InferenceSpecification"]["Containers"]
        _download(_beside_the_report(package), directory / DESCRIPTION_FILE)
        return Champion(version, arn, directory, parse_description(directory / DESCRIPTION_FILE), container)
    _download(_artifact_uri(package), directory / ARCHIVE)
    unpacked = unpack_model(directory, directory / "model")
    return Champion(version, arn, unpacked, read_description(unpacked))


def check_comparable(champion: Champion, candidate: Description) -> None:
    """Raise NotComparable when the champion answers another question, or from other columns."""
    mine, its = candidate, champion.description
    for what, own, other in (("problem", mine.problem, its.problem), ("label", mine.label, its.label)):
        if own != other:
            raise NotComparable(f"version {champion.version} has another {what}: {other} instead of {own}")
    if set(mine.features) != set(its.features):
        gone, new = sorted(set(its.features) - set(mine.features)), sorted(set(mine.features) - set(its.features))
        changes = [f"without {', '.join(gone)}"] * bool(gone) + [f"with {', '.join(new)}"] * bool(new)
        raise NotComparable(f"version {champion.version} has other features; the candidate is {' and '.join(changes)}")


def answers(champion: Champion, rows: pl.DataFrame, directory: Path, paths: ContainerPaths) -> Floats:
    """What the champion predicts for the rows.

    Raises NotComparable with its own reason when its code or its container fails, and JobError when it was ended by a
    signal, as for want of memory, or takes longer than 30 minutes.
    """
    if champion.container is not None:
        return _answers_of_container(champion, champion.container, rows, directory, paths)
    table, target = directory / "rows.parquet", directory / "predictions.parquet"
    rows.select(champion.description.features).write_parquet(table)
    command = [sys.executable, "-m", "model_runtime.predictions", *map(str, (champion.directory, table, target))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=False, cwd=directory
        )
    except subprocess.TimeoutExpired:
        raise JobError(
            f"version {champion.version} gave no answer for {rows.height} rows within {SECONDS_TO_ANSWER} s; "
            f"{_remedy(champion.version)}"
        ) from None
    if done.returncode < 0:
        raise JobError(
            f"the process of version {champion.version} was ended by signal {-done.returncode}, as for want of memory; "
            f"{_remedy(champion.version)}"
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        if done.returncode == MACHINE_FAULT:
            raise JobError(f"version {champion.version} can't be asked: {last}; {_remedy(champion.version)}")
        raise NotComparable(f"version {champion.version} can't be loaded: {last}")
    found: Floats = pl.read_parquet(target)["prediction"].to_numpy()
    return found


def _answers_of_container(
    champion: Champion, container: Mapping[str, Any], rows: pl.DataFrame, directory: Path, paths: ContainerPaths
) -> Floats:
    table, target = directory / ROWS_FILE, directory / ANSWERS_FILE
    write_rows(rows, champion.description.features, table)
    problem = PROBLEMS[champion.description.problem]
    try:
        transform(container, table, f"champion-{champion.version}", paths, target)
    except NoAnswer as error:
        raise NotComparable(f"version {champion.version} can't be asked: {_line(error)}") from error
    except JobError as error:
        raise JobError(f"{error}; {_remedy(champion.version)}") from error
    try:
        found = read_scores(target, problem)
        problem.check_predictions(found, rows.height)
    except JobError as error:
        raise NotComparable(f"version {champion.version} gave no scores: {_line(error)}") from error
    return found


def _beside_the_report(package: Mapping[str, Any]) -> str:
    report = str(package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"])
    return f"{report.rpartition('/')[0]}/{DESCRIPTION_FILE}"


def _artifact_uri(package: Mapping[str, Any]) -> str:
    return str(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])


def _download(uri: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    place = urlsplit(uri)
    boto3.client("s3").download_file(place.netloc, place.path.lstrip("/"), str(target))


def _is_fault_of_machine(error: Exception) -> bool:
    """Whether AWS or this machine failed, and not the version: it isn't missing, and its files aren't broken."""
    cause = error.__cause__ if isinstance(error, JobError) else error
    if isinstance(cause, ClientError):
        return cause.response.get("Error", {}).get("Code") not in MISSING
    return isinstance(cause, BotoCoreError | Boto3Error | OSError) and not isinstance(cause, gzip.BadGzipFile)


def _remedy(version: int) -> str:
    return (
        "nothing is decided about the candidate: start the training again, and if this lasts, set the status of "
        f"version {version} to Rejected"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
