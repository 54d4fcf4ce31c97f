"""The arguments that intrinsic functions take, checked when a template is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def _is_attribute(argument: Any) -> bool:
    if isinstance(argument, str):
        return all(argument.partition("."))
    # the attribute's name may be a Ref
    return isinstance(argument, list) and len(argument) == 2 and isinstance(argument[0], str)


def _is_substitution(argument: Any) -> bool:
    return isinstance(argument, str) or (
        isinstance(argument, list)
        and len(argument) == 2
        and isinstance(argument[0], str)
        and isinstance(argument[1], dict)
    )


def _of_length(*lengths: int) -> Callable[[Any], bool]:
    return lambda argument: isinstance(argument, list) and len(argument) in lengths


def _text_and_value(argument: Any) -> bool:
    return isinstance(argument, list) and len(argument) == 2 and isinstance(argument[0], str)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "Ref": (
        lambda argument: isinstance(argument, str),
        "Template format error: every Ref object must have a single String value.",
    ),
    "Fn::GetAtt": (
        _is_attribute,
        "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource "
        "attribute",
    ),
    "Fn::Sub": (
        _is_substitution,
        "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as "
        "first argument, and an optional second argument to specify a mapping of values to replace in the string",
    ),
    "Fn::If": (
        lambda argument: isinstance(argument, list) and len(argument) == 3 and isinstance(argument[0], str),
        "Template error: Fn::If requires a list argument with three elements, the first of them a condition's name",
    ),
    "Fn::Join": (
        _text_and_value,
        "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of "
        "strings to be joined or a function that returns a list of strings",
    ),
    "Fn::Split": (
        _text_and_value,
        "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be "
        "split or a function that returns a string to be split.",
    ),
    "Fn::Select": (
        _of_length(2),
        "Template error: every Fn::Select object requires two parameters, an index and a list",
    ),
    "Fn::Equals": (_of_length(2), "Template error: every Fn::Equals object requires a list of 2 string parameters."),
    "Fn::Not": (_of_length(1), "Template error: every Fn::Not object requires one boolean parameter."),
    "Fn::And": (
        _of_length(*range(2, 11)),
        "Template error: every Fn::And object requires a list of 2 to 10 conditions.",
    ),
    "Fn::Or": (_of_length(*range(2, 11)), "Template error: every Fn::Or object requires a list of 2 to 10 conditions."),
    "Fn::FindInMap": (
        _of_length(3, 4),
        "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute",
    ),
    "Fn::Cidr": (_of_length(2, 3), "Template error: every Fn::Cidr object requires a block, a count and optional bits"),
}


def argument_problems(value: Any) -> Iterator[str]:
    """Yield what is wrong with the arguments of the functions in a value."""
    if isinstance(value, list):
        for item in value:
            yield from argument_problems(item)
    elif isinstance(value, dict):
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name in _CHECKS and not _CHECKS[name][0](argument):
                yield _CHECKS[name][1]
                return
        for item in value.values():
            yield from argument_problems(item)
