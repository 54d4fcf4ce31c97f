"""The library as a wheel of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_the_library_and_its_type_marker_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build leaves its traces beside the source
    shutil.copytree(
        ROOT / "constructs", source / "constructs", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True, timeout=120)
    (wheel,) = tmp_path.glob("mlops_constructs-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"mlops_constructs/{path.name}" for path in (ROOT / "constructs/mlops_constructs").glob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == {*modules, "mlops_constructs/py.typed"}
