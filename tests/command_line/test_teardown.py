"""Emptying an environment whose workflow is at work."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli import teardown
from mlops_cli.deployment import DeploymentError
from tests.command_line.conftest import Account

WORKFLOW = teardown.Store("dev-data", "AWS::Glue::Workflow", "dev-flights")
BUCKET = teardown.Store("dev-data", "AWS::S3::Bucket", "raw")


def test_runs_are_stopped_before_buckets_are_emptied(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teardown, "STOP_POLL_SECONDS", 0)
    account.land("2013-01-01")
    account.glue.add_run("run-b", "RUNNING")
    told: list[str] = []

    def stop(*, Name: str, RunId: str) -> dict[str, Any]:
        assert account.s3.list_objects_v2(Bucket="raw").get("Contents"), "the bucket is emptied later"
        account.glue.runs[RunId]["Status"] = "STOPPED"
        return {}

    account.glue.stop_workflow_run = stop  # type: ignore[attr-defined]
    teardown.empty(account.deployment, [BUCKET, WORKFLOW], told.append)
    assert told == ["dev-flights: 1 stopped", "raw: 3 deleted"]
    assert not account.s3.list_objects_v2(Bucket="raw").get("Contents")


def test_run_that_does_not_stop_is_named(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teardown, "STOP_SECONDS", -1)
    account.glue.add_run("run-b", "STOPPING")
    with pytest.raises(DeploymentError, match="the run run-b of dev-flights hasn't stopped"):
        teardown.empty(account.deployment, [WORKFLOW], lambda _: None)
