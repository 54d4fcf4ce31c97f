"""Turns what pydantic finds wrong in a file into findings: file, line, key, value and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .nearest import nearest
from .setting_types import EXAMPLES, Section
from .yaml_source import KeyPath, Place, YamlSource, dotted

S = TypeVar("S", bound=Section)

_WANTED = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be one of {expected}",
}


def validate(section: type[S], source: YamlSource, problems: list[str]) -> S | None:
    """A section made of a source, or None with everything that is wrong added to the problems."""
    problems += source.problems
    if not source.readable:
        return None
    try:
        return section.model_validate(source.data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            # a check of the whole file may find fault in several places
            places: Mapping[KeyPath, str] = detail.get("ctx", {}).get("places", {})
            for path, message in places.items():
                place = source.place((*detail["loc"], *path))
                problems.append(f"{place}: {dotted(place.key)}: {message}")
            if not places:
                problems.append(_describe(section, source, detail))
        return None


def _describe(section: type[Section], source: YamlSource, error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    in_dictionary = error["loc"][-1:] == ("[key]",)
    path: KeyPath = (*(error["loc"][:-1] if in_dictionary else error["loc"]), *context.get("at", ()))
    place = source.place(path)
    start = f"{place}: {dotted(place.key)}"
    if kind == "extra_forbidden":
        known = _known_keys(section, path[:-1])
        return f"{start} is not a known key{nearest(str(path[-1]), known)}; known here: {', '.join(known)}"
    if kind == "missing":
        return f"{start} is missing; add it"
    if kind == "string_pattern_mismatch":
        wanted = f"must be as {EXAMPLES[context['pattern']]}"
    elif kind in _WANTED:
        wanted = _WANTED[kind].format(**context)
    else:
        return f"{start}: {error['msg']}"
    return f"{start} {wanted}, got {_shown(error['input'], place)}{_hint(kind, error, place)}"


def _shown(value: Any, place: Place) -> str:
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    return repr(value) if isinstance(value, str) or place.written is None else place.written


def _hint(kind: str, error: ErrorDetails, place: Place) -> str:
    value = error["input"]
    if kind == "string_type" and place.written and not isinstance(value, Mapping | list):
        return f'; put it in quotes, as "{place.written}"'
    if kind == "literal_error" and isinstance(value, str):
        return nearest(value, error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if kind in {"int_type", "float_type"} and isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return "; take the quotes off"
    return ""


def _known_keys(section: type[BaseModel], path: KeyPath) -> list[str]:
    model: type[BaseModel] = section
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        options = [inner, *get_args(inner)]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return sorted(model.model_fields)
