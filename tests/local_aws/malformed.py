"""Documents with one node replaced by something that doesn't belong there."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any


def malformed(document: dict[str, Any], replacements: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every document that differs from the given one in a single node, with a note on what is where."""
    for path in list(_paths(document)):
        for replacement in replacements:
            changed = copy.deepcopy(document)
            parent: Any = changed
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = replacement
            yield f"{'/'.join(map(str, path))}: {replacement!r}", changed


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*path, key))
