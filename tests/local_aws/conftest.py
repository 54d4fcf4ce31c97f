"""A local AWS in the test's own process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_aws_settings() -> Iterator[None]:
    """Keep a developer's own AWS settings out of the tests."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    os.environ.update(dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull))
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    yield
    os.environ.update(kept)
