"""The example in the library's README is an app that synthesizes as it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_example_of_the_readme_synthesizes(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "constructs/README.md").read_text(), re.DOTALL)
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "Dockerfile").write_text("FROM scratch\n")
    run = subprocess.run(
        [sys.executable, "-c", example.replace("App()", 'App(outdir="out")')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    template = json.loads((tmp_path / "out" / "models.template.json").read_text())
    types = {resource["Type"] for resource in template["Resources"].values()}
    assert {"AWS::SageMaker::Pipeline", "AWS::SageMaker::ModelPackageGroup", "AWS::S3::Bucket"} <= types
