"""What the tests of the deployment share: the app, synthesized once a session for each configuration."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from app import use_packaged_node

use_packaged_node()  # before the CDK is imported

from stacks.configuration import load  # noqa: E402
from stacks.settings import Repository  # noqa: E402
from tests.deployment.assemblies import (  # noqa: E402
    CONTEXT,
    REPOSITORY,
    Templates,
    everything_set,
    settings_of,
    synthesize,
    templates_of,
)
from tests.deployment.declarations import Change, replace_in  # noqa: E402
from tests.deployment.security_pack import Audit, audit  # noqa: E402


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud assembly of the repository's own configuration, made in a process of its own."""
    outdir = tmp_path_factory.mktemp("assembly") / "cdk.out"
    synthesize(outdir, PYTHONHASHSEED="0", TZ="UTC")
    return outdir


@pytest.fixture(scope="session")
def templates(assembly: Path) -> Templates:
    return templates_of(assembly)


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The security pack's findings on the repository's environments and on one that has everything set."""
    from app import build

    outdir = tmp_path_factory.mktemp("audited") / "cdk.out"
    environments = (*load(REPOSITORY).environments, everything_set())
    return audit(lambda: build(settings_of(*environments), REPOSITORY, context=CONTEXT, outdir=str(outdir)))


@pytest.fixture(scope="session")
def full(audited: Audit) -> Templates:
    """The stacks of the environment that has everything set, as `full/data`."""
    return {name: template for name, template in templates_of(audited.assembly).items() if name.startswith("full/")}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A copy of the configuration, the datasets and the models."""
    for folder in ("config", "ml_code/models", "ml_code/datasets"):
        shutil.copytree(REPOSITORY.root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Repository(root=tmp_path)


@pytest.fixture
def change(repository: Repository) -> Change:
    """Replaces the only match."""
    return partial(replace_in, repository, only=True)


@pytest.fixture
def change_first(repository: Repository) -> Change:
    """Replaces the first match."""
    return partial(replace_in, repository, only=False)
