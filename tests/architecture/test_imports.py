"""The layout's own rules, beside the import contracts in pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import constructs
import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_constructs_is_the_published_package_not_our_source_root() -> None:
    assert "site-packages" in Path(constructs.__file__).parts
    assert not (ROOT / "constructs" / "__init__.py").exists()


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    folders = ("", "ml_code/runtime", "ml_code/models", "ml_code/datasets", "ml_code/glue")
    roots = os.pathsep.join(str(ROOT / each) for each in folders)
    run = subprocess.run(
        [linter, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_tests_are_not_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


LOCKS = [*ROOT.glob("requirements*.txt"), ROOT / "requirements/build.txt", ROOT / "ml_code/runtime/requirements.txt"]


def versions(lock: Path) -> dict[str, str]:
    """Return the version of each pinned package; a package has one, whatever the Python."""
    pins = [line.split()[0].split("==") for line in lock.read_text().splitlines() if "==" in line.split(" ;")[0]]
    names = [name for name, _ in pins]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"{lock.name} pins several versions of {', '.join(twice)}"
    return dict(pins)


def test_lock_files_carry_no_registry_addresses() -> None:
    for lock in [*LOCKS, ROOT / "package-lock.json"]:
        assert "://" not in lock.read_text(), f"{lock.name} names a registry"


def test_one_version_of_each_package_serves_every_lock_file() -> None:
    everything = versions(ROOT / "requirements-dev.txt")
    for lock in LOCKS:
        others = {name: version for name, version in versions(lock).items() if everything.get(name) != version}
        assert not others, f"{lock.relative_to(ROOT)} pins other versions than the local environment: {others}"


def test_every_model_is_known_to_the_app_and_to_the_import_rules() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    platform = yaml.safe_load((ROOT / "config/platform.yaml").read_text())
    models = {each.parent.name for each in (ROOT / "ml_code/models").glob("*/model.yaml")}
    assert models == set(platform["models"])
    assert models <= set(project["tool"]["importlinter"]["root_packages"])
