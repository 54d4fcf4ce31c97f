"""`mlops model approve`, `rollback`, `pin`, `unpin` and `history`: which version serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import boto3
import typer
from rich.table import Table

from mlops_cli import local
from mlops_cli.deployment import Deployment, DeploymentError
from mlops_cli.releases import Consumer, Releases, number_of
from mlops_cli.repository import declaration

POLL_SECONDS, LOCAL_POLL_SECONDS = 5.0, 0.3
Model = Annotated[str, typer.Argument(help="The model's name, as its folder in ml_code/models.")]
Environment = Annotated[str, typer.Option("--environment", "-e")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept with the version and in the history.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the release until it has ended.")]


def releases_of(model: str, environment: str) -> Releases:
    """The releases of a model in an environment. Raises as `declaration` and `Deployment` do."""
    declaration(model)
    deployment = Deployment(environment, boto3.session.Session())
    return Releases(deployment, model, poll=LOCAL_POLL_SECONDS if deployment.is_local else POLL_SECONDS)


def approve(
    model: Model,
    version: Annotated[int | None, typer.Argument(help="Its number; the newest version if left out.", min=1)] = None,
    reason: Reason = "approved by `mlops model approve`",
    environment: Environment = "dev",
    wait: Wait = True,
) -> None:
    """Approve a version, which releases it, and follow that."""
    releases = releases_of(model, environment)
    package = releases.version(version)
    releases.decide(package, "Approved", reason)
    typer.echo(f"version {number_of(package)} is approved")
    newest = releases.newest_approved()
    if newest != package and releases.pinned() != package:
        typer.echo(f"version {number_of(newest or '')} is newer, and stays: `mlops model pin` serves an older one")
        return
    _follow(releases, package, wait)


def rollback(
    model: Model,
    reason: Reason = "rolled back by `mlops model rollback`",
    environment: Environment = "dev",
    wait: Wait = True,
) -> None:
    """Reject the version that serves, which releases the newest one that is approved besides."""
    releases = releases_of(model, environment)
    pinned = releases.pinned()
    if pinned:
        raise DeploymentError(
            f"version {number_of(pinned)} is pinned: pin another one, or `mlops model unpin {model}` first"
        )
    consumers = releases.consumers()
    busy = next((each for each in consumers if each.is_busy), None)
    if busy:
        raise DeploymentError(
            f"{busy.stack} is {busy.status}: a release that goes on is taken back by its alarms, and at once by "
            f"`aws cloudformation cancel-update-stack --stack-name {busy.stack}`"
        )
    serving = _serving(model, consumers)
    earlier = _earlier(releases, serving)
    releases.decide(serving, "Rejected", reason)
    typer.echo(f"version {number_of(serving)} is rejected; back to version {number_of(earlier)}")
    _follow(releases, earlier, wait)


def pin(
    model: Model,
    version: Annotated[int, typer.Argument(help="Its number, as `mlops model versions` shows.", min=1)],
    reason: Reason = "pinned by `mlops model pin`",
    environment: Environment = "dev",
    wait: Wait = True,
) -> None:
    """Serve an approved version whatever is approved afterwards, until it is unpinned."""
    releases = releases_of(model, environment)
    package, before = releases.version(version), releases.pinned()
    releases.pin(package, reason)
    typer.echo(f"version {version} is pinned")
    try:
        _follow(releases, package, wait)
    except DeploymentError as error:
        releases.pin(before, f"the release of version {version} failed")
        held = f"version {number_of(before)} is pinned as before" if before else "no version is pinned"
        raise DeploymentError(f"{error}; {held}") from error


def unpin(
    model: Model,
    reason: Reason = "unpinned by `mlops model unpin`",
    environment: Environment = "dev",
    wait: Wait = True,
) -> None:
    """Serve the newest approved version again."""
    releases = releases_of(model, environment)
    if releases.pinned() is None:
        raise DeploymentError(f"no version of {model} is pinned in {environment}")
    newest = releases.newest_approved()
    releases.pin(None, reason)
    typer.echo("no version is pinned any more")
    if newest:
        _follow(releases, newest, wait)


def challenge(
    model: Model,
    version: Annotated[int | None, typer.Argument(help="Its number; the newest version if left out.", min=1)] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Try none any more.")] = False,
    environment: Environment = "dev",
) -> None:
    """Try a version beside the one that serves, as `serving.challenger` says: in its shadow, or for a share."""
    releases = releases_of(model, environment)
    package = None if stop else releases.version(version)
    releases.challenge(package, _teller())
    typer.echo(f"version {number_of(package)} is tried" if package else "no version is tried any more")


def history(
    model: Model,
    environment: Environment = "dev",
    most: Annotated[int, typer.Option("--most", "-n", help="How many to show, the newest ones.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with everything that is known.")] = False,
) -> None:
    """Tell which version served when, why it changed, and which releases failed."""
    releases = releases_of(model, environment)
    found = releases.records(most)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=1))
        return
    pinned = releases.pinned()
    for consumer in releases.consumers():
        serves = f"version {number_of(consumer.serving)}" if consumer.serving else "no version yet"
        held = f", pinned to version {number_of(pinned)}" if pinned else ""
        typer.echo(f"{consumer.stack}: {serves}{held}")
    if not found:
        return
    table = Table(title=f"releases of {model} in {environment}")
    for column in ("ended", "stack", "from", "to", "by", "outcome", "why"):
        table.add_column(column)
    for each in found:
        came = number_of(each.before) if each.before else "-"
        why = each.reason or each.asked
        table.add_row(
            each.ended[:19].replace("T", " "),
            each.stack,
            came,
            number_of(each.package),
            each.trigger,
            each.outcome,
            why,
        )
    local.wide_console().print(table)


def _follow(releases: Releases, package: str, wait: bool) -> None:
    if not wait:
        return
    seconds = releases.follow(package, _teller())
    typer.echo(f"version {number_of(package)} serves, after {seconds:.0f} s")


def _teller() -> Callable[[str], None]:
    """What prints each message once."""
    told: set[str] = set()

    def report(message: str) -> None:
        if message not in told:
            told.add(message)
            typer.echo(message)

    return report


def _serving(model: str, consumers: list[Consumer]) -> str:
    serving = next((each.serving for each in consumers if each.serving), None)
    if serving is None:
        raise DeploymentError(f"no version of {model} serves yet: nothing to go back from")
    if any(each.serving not in ("", serving) for each in consumers):
        told = ", ".join(f"{each.stack} serves version {number_of(each.serving)}" for each in consumers if each.serving)
        raise DeploymentError(
            f"{told}: reject the one that is wrong, as `aws sagemaker update-model-package --model-approval-status "
            "Rejected --model-package-arn <arn>` does"
        )
    return serving


def _earlier(releases: Releases, serving: str) -> str:
    """The version that will serve: the newest approved one but this. Raises DeploymentError when there is none."""
    pages = releases.deployment.client("sagemaker").get_paginator("list_model_packages")
    found = pages.paginate(
        ModelPackageGroupName=releases.group,
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
    )
    others = (each["ModelPackageArn"] for page in found for each in page["ModelPackageSummaryList"])
    earlier = next((arn for arn in others if arn != serving), None)
    if earlier is None:
        raise DeploymentError(
            f"version {number_of(serving)} is the only approved one: there is none to go back to, so it stays"
        )
    if int(number_of(earlier)) > int(number_of(serving)):
        raise DeploymentError(
            f"version {number_of(earlier)} is approved and newer, and doesn't serve: reject it, or see why with "
            f"`mlops model history`, before version {number_of(serving)} is rolled back"
        )
    return str(earlier)
