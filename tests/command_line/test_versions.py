"""`mlops model versions`: where each version comes from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops_cli import versions
from mlops_cli.deployment import DeploymentError
from mlops_cli.models import app

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATA = "s3://curated/flights/manifests/5f2c9a.json"
NOTED = {"Gate": "passed - auc 0.71", "Commit": f"{COMMIT}-dirty", "Data": DATA, "FirstDay": "earliest"}


class Registry:
    """A group with as many versions as are described."""

    def __init__(self, *packages: dict[str, Any]) -> None:
        self._packages = {f"arn/{index}": each for index, each in enumerate(packages, 1)}
        self.most = 0

    def get_paginator(self, name: str) -> Registry:
        assert name == "list_model_packages"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        assert (asked["ModelPackageGroupName"], asked["SortOrder"]) == ("dev-flight-delay", "Descending")
        self.most = asked["PaginationConfig"]["MaxItems"]
        return [{"ModelPackageSummaryList": [{"ModelPackageArn": arn}]} for arn in reversed(self._packages)]

    def describe_model_package(self, *, ModelPackageName: str) -> dict[str, Any]:
        made = datetime(2026, 11, 1, 7, tzinfo=UTC)
        version = int(ModelPackageName.rpartition("/")[2])
        found = {"ModelPackageArn": ModelPackageName, "ModelPackageVersion": version, "CreationTime": made}
        return {**found, "ModelApprovalStatus": "Approved", **self._packages[ModelPackageName]}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    staged = {"ModelLifeCycle": {"Stage": "Development", "StageStatus": "PendingApproval"}}
    found = Registry({}, {"CustomerMetadataProperties": NOTED, **staged})

    class Deployed:
        def __init__(self, *_: Any) -> None:
            pass

        def outputs(self, stack: str) -> dict[str, str]:
            assert stack == "flight-delay-training"
            return {"ModelPackageGroupName": "dev-flight-delay"}

        def client(self, _: str) -> Registry:
            return found

    monkeypatch.setattr(versions, "Deployment", Deployed)
    return found


def test_the_newest_version_comes_first_with_its_commit_data_and_stage(registry: Registry) -> None:
    done = CliRunner().invoke(app, ["versions", "flight_delay", "--json", "--most", "3"])
    assert done.exit_code == 0, done.output
    newest, oldest = json.loads(done.output)
    assert (newest["version"], newest["commit"], newest["data"]) == (2, f"{COMMIT}-dirty", DATA)
    assert (newest["stage"], newest["gate"]) == ("Development PendingApproval", "passed - auc 0.71")
    assert (oldest["version"], oldest["commit"], oldest["stage"]) == (1, "", "")
    assert registry.most == 3


def test_the_table_shortens_hashes_and_still_says_that_a_checkout_was_dirty(registry: Registry) -> None:
    done = CliRunner().invoke(app, ["versions", "flight_delay"])
    assert f"{COMMIT[:12]}-dirty" in done.output
    assert COMMIT not in done.output
    assert "5f2c9a" in done.output


def test_a_model_without_versions_is_told_what_to_do() -> None:
    with pytest.raises(DeploymentError, match="dev-flight-delay has no version yet: train the model first"):
        versions.versions_of(Registry(), "dev-flight-delay", 10)
