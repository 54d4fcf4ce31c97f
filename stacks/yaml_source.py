"""YAML files read together with the place of every value, so that errors can point at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where a key stands: file, line counted from 1, its full name in that file, and its value as it is written."""

    file: str
    line: int
    key: KeyPath = ()
    written: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class YamlSource:
    """Plain data and where each of its keys stands.

    `problems` are those that reading already finds; with `readable` False they leave nothing to validate.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    readable: bool = True

    def place(self, path: KeyPath) -> Place:
        """The place of a key, or, for one that isn't written down, the line of the nearest key around it."""
        if path in self.places:
            return self.places[path]
        for end in range(len(path) - 1, 0, -1):
            around = self.places.get(path[:end])
            if around:
                return Place(around.file, around.line, (*around.key, *path[end:]))
        return Place(self.file, 1, path)

    def overridden_by(self, overrides: YamlSource, at: KeyPath) -> YamlSource:
        """This source with the values that another one holds under a key laid over its own."""
        values: Any = overrides.data
        for key in at:
            values = values.get(key) if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping):
            return self
        places = dict(self.places)
        data = _merged(self.data, values, (), places)
        for path, place in overrides.places.items():
            if path[: len(at)] == at and len(path) > len(at):
                places[path[len(at) :]] = place
        return YamlSource(self.file, data, places, readable=self.readable)

    def _refuse(self, reason: str, line: int | None = None) -> YamlSource:
        self.problems.append(f"{self.file}:{line}: {reason}" if line else f"{self.file}: {reason}")
        self.readable = False
        return self


def read(path: Path, shown_as: str) -> YamlSource:
    """Read a file whose top level is a mapping. What can't be read, and keys written twice, become problems."""
    source = YamlSource(shown_as)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return source._refuse("the file is missing; create it")
    except OSError as error:
        return source._refuse(f"can't be read: {error.strerror}")
    try:
        node = yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return source._refuse(f"byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8", line)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        fix = "; indent with spaces, not tabs" if "'\\t'" in reason else ""
        return source._refuse(f"not valid YAML: {reason}{fix}", mark.line + 1 if mark else 1)
    if isinstance(node, yaml.MappingNode):
        source.data = _plain(node, (), source, ())
    elif node is not None:
        source._refuse("the file must hold keys and values, as `name: value`", 1)
    return source


def _plain(node: yaml.Node, path: KeyPath, source: YamlSource, around: tuple[yaml.Node, ...]) -> Any:
    line = node.start_mark.line + 1
    if any(node is each for each in around):
        source._refuse(f"{dotted(path)} holds itself; write its value out", line)
        return None
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                source._refuse(f"{dotted(path)}: a key must be plain text", line)
                continue
            here = (*path, key_node.value)
            if key_node.value in result:
                first = source.places[here].line
                source.problems.append(
                    f"{source.file}:{line}: {dotted(here)} is written twice, first in line {first}; remove one"
                )
            source.places[here] = Place(source.file, line, here, _written(value_node))
            result[key_node.value] = _plain(value_node, here, source, (*around, node))
        return result
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            here = (*path, index)
            source.places[here] = Place(source.file, item.start_mark.line + 1, here, _written(item))
            items.append(_plain(item, here, source, (*around, node)))
        return items
    return _scalar(node)


def dotted(path: KeyPath) -> str:
    """A key as people write it: `models.flight_delay.serving`, `environments[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the file"


def _written(node: yaml.Node) -> str | None:
    return node.value if isinstance(node, yaml.ScalarNode) else None


def _scalar(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, yaml.YAMLError):
        return node.value
    finally:
        loader.dispose()


def _merged(
    base: Mapping[str, Any], over: Mapping[str, Any], path: KeyPath, places: dict[KeyPath, Place]
) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(below, value, (*path, key), places)
        else:
            for stale in [place for place in places if place[: len(path) + 1] == (*path, key)]:
                del places[stale]
            merged[key] = value
    return merged
