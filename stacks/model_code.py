"""What a model's code says about itself, read without running it: synth needs no Spark."""

from __future__ import annotations

import ast
from pathlib import Path


def declared_tables(etl: Path) -> list[str] | None:
    """The keys of the dictionary `TABLES` in a model's etl.py; None when there is no such file or dictionary."""
    try:
        module = ast.parse(etl.read_bytes())
    except (OSError, SyntaxError):
        return None
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(t, ast.Name) and t.id == "TABLES" for t in targets):
            return [str(key.value) for key in value.keys if isinstance(key, ast.Constant)]
    return None
