"""Stacks deployed to a local AWS in the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local_aws.server import running
from local_aws.service import LocalContext
from tests.local_aws.cloudformation.deployer import Deployer


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalContext]:
    with running(tmp_path_factory.mktemp("local-aws")) as server:
        yield server.context


@pytest.fixture
def stack(context: LocalContext, request: pytest.FixtureRequest) -> Deployer:
    """A stack of the test's own."""
    return Deployer(context, request.node.name.replace("_", "-").split("[")[0][:100])


@pytest.fixture
def other_stack(context: LocalContext, request: pytest.FixtureRequest) -> Deployer:
    """A second stack beside `stack`."""
    return Deployer(context, f"other-{request.node.name}".replace("_", "-").split("[")[0][:100])


@pytest.fixture
def parameter() -> Callable[..., dict[str, Any]]:
    """A resource that is quick to make: an SSM parameter."""

    def make(value: Any, **extra: Any) -> dict[str, Any]:
        properties = {"Type": "String", "Value": value, **extra.pop("properties", {})}
        return {"Type": "AWS::SSM::Parameter", "Properties": properties, **extra}

    return make
