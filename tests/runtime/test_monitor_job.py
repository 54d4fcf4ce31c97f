"""The monitor's job on an endpoint: what it calls calm, what it finds, and what it tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.runtime.container import Container
from tests.runtime.monitored import (
    Monitored,
    captures,
    days_before,
    features,
)


@pytest.fixture
def monitored(
    container: Container, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Monitored]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MODEL_NAME", "toy")
    with mock_aws():
        found = Monitored(container, trained, tmp_path)
        found.serve(found.register(), days_before(30), monkeypatch)
        yield found


def test_traffic_as_in_the_training_is_calm(monitored: Monitored) -> None:
    monitored.send(captures(features(1000, seed=5), days_before(2), days_before(0)))
    report = monitored.run()
    assert report["status"] == "calm"
    assert report["rows"] == 1000
    assert report["findings"] == []
