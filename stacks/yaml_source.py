"""YAML files read together with the line of every value, so that errors can point at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A line of a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class YamlSource:
    """Plain data and where each of its keys stands; `problems` are those that reading already finds."""

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """The line of a key, or of the nearest key around it that is written down."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return Place(self.file, 1)

    def overridden_by(self, overrides: YamlSource, at: KeyPath) -> YamlSource:
        """This source with the values that another one holds under a key laid over its own."""
        values: Any = overrides.data
        for key in at:
            values = values.get(key, {}) if isinstance(values, Mapping) else {}
        places = dict(self.places)
        if not isinstance(values, Mapping):
            return self
        data = _merged(self.data, values, (), places)
        for path, place in overrides.places.items():
            if path[: len(at)] == at and len(path) > len(at):
                places[path[len(at) :]] = place
        return YamlSource(self.file, data, places, list(self.problems))


def read(path: Path, shown_as: str) -> YamlSource:
    """Read a file whose top level is a mapping. Broken syntax and keys written twice become problems."""
    source = YamlSource(shown_as)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        source.problems.append(f"{shown_as}: the file is missing; create it")
        return source
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        reason = getattr(error, "problem", None) or str(error)
        source.problems.append(f"{shown_as}:{line}: not valid YAML: {reason}")
        return source
    if node is None:
        return source
    if not isinstance(node, yaml.MappingNode):
        source.problems.append(f"{shown_as}:1: the file must hold keys and values, as `name: value`")
        return source
    source.data = _plain(node, (), source)
    return source


def _plain(node: yaml.Node, path: KeyPath, source: YamlSource) -> Any:
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value)
            if key in result:
                first = source.places[(*path, key)].line
                where = ".".join(map(str, (*path, key)))
                source.problems.append(
                    f"{source.file}:{line}: {where} is written twice, first in line {first}; remove one"
                )
            source.places[(*path, key)] = Place(source.file, line)
            result[key] = _plain(value_node, (*path, key), source)
        return result
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            source.places[(*path, index)] = Place(source.file, item.start_mark.line + 1)
            items.append(_plain(item, (*path, index), source))
        return items
    return _scalar(node)


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


def keys(paths: Mapping[KeyPath, Place]) -> Iterator[str]:
    """Every key as dotted text."""
    for path in paths:
        yield ".".join(map(str, path))
