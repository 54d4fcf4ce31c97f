"""Notebooks as they are stored: valid, without outputs, and importing only what the notebooks' environment has.

`make test-sdk` executes them.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "ml_code/notebooks").glob("*.ipynb"))
KEYS = {"code": {"cell_type", "execution_count", "id", "metadata", "outputs", "source"}}
KEYS["markdown"] = KEYS["code"] - {"execution_count", "outputs"}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(json.loads(request.param.read_text(encoding="utf-8")))


def code_of(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def imported(code: str) -> set[str]:
    """The packages that code imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a notebook has no package to import from"
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names}


def test_there_is_a_first_notebook() -> None:
    assert "first_steps" in {path.stem for path in NOTEBOOKS}


def test_notebook_is_valid(notebook: dict[str, Any]) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert set(cell) == KEYS[cell["cell_type"]]
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", cell["id"])
    identifiers = [cell["id"] for cell in notebook["cells"]]
    assert len(set(identifiers)) == len(identifiers)


def test_notebook_is_stored_as_nobody_has_run_it(notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], f"{cell['id']} has outputs: clear them"
            assert cell["execution_count"] is None, f"{cell['id']} has a count: clear the outputs"
            assert cell["metadata"] == {}


def test_notebook_imports_what_its_environment_names(notebook: dict[str, Any]) -> None:
    named = {
        re.split(r"[<>=\[-]", line)[0]
        for line in (ROOT / "requirements/sdk.in").read_text().splitlines()
        if line and not line.startswith("#")
    }
    others = {name for code in code_of(notebook) for name in imported(code)} - sys.stdlib_module_names - named
    assert not others, f"requirements/sdk.in names no {others}"


def test_notebook_names_no_account_bucket_or_address(notebook: dict[str, Any]) -> None:
    text = json.dumps(notebook["cells"])
    assert not re.search(r"\b\d{12}\b|arn:aws|s3://[a-z]|https?://", text)


def test_notebook_s_code_is_read(notebook: dict[str, Any]) -> None:
    with pytest.raises(SyntaxError):
        imported("import =")
    assert imported("import os.path\nfrom sagemaker.mlops import x") == {"os", "sagemaker"}
    assert len(code_of(notebook)) > 5
