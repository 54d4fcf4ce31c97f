"""Declarations of datasets and models in a copy of the repository, which a test spoils."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from stacks.configuration import ConfigurationError, load
from stacks.settings import Repository

Change = Callable[[str, str, str], None]
"""Replaces a match of a pattern in a file: path below the root, pattern, new text."""


def problems(repository: Repository) -> list[str]:
    """Everything that is found to be wrong; fails when nothing is."""
    with pytest.raises(ConfigurationError) as raised:
        load(repository)
    return raised.value.problems


def replace_in(repository: Repository, path: str, pattern: str, new: str, *, only: bool) -> None:
    """Replace the first match of a pattern in a file; with `only` there must be no other."""
    file = repository.root / path
    text, count = re.subn(pattern, new, file.read_text(), count=0 if only else 1, flags=re.MULTILINE)
    assert count == 1, f"{pattern} stands {count} times in {path}"
    file.write_text(text)
