"""The layout's own rules, beside the import contracts in pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import constructs

ROOT = Path(__file__).resolve().parents[2]


def test_constructs_is_the_published_package_not_our_source_root() -> None:
    assert "site-packages" in Path(constructs.__file__).parts
    assert not (ROOT / "constructs" / "__init__.py").exists()


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    roots = os.pathsep.join(str(ROOT / each) for each in ("", "ml_code/runtime", "ml_code/models"))
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


def test_lock_files_carry_no_registry_addresses() -> None:
    locks = [*ROOT.glob("requirements*.txt"), ROOT / "ml_code/runtime/requirements.txt", ROOT / "package-lock.json"]
    for lock in locks:
        assert "://" not in lock.read_text(), f"{lock.name} names a registry"


def test_pinned_runtime_is_the_same_locally_and_in_the_container() -> None:
    def pins(path: Path) -> set[str]:
        return {line.rstrip(" \\") for line in path.read_text().splitlines() if "==" in line}

    missing = pins(ROOT / "ml_code/runtime/requirements.txt") - pins(ROOT / "requirements-dev.txt")
    assert not missing, f"the local environment would run other versions than the container: {sorted(missing)}"
