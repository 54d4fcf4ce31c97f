"""JSONata in state machines: text between `{%` and `%}`, wherever a value may stand."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from jsonata import Jsonata
from jsonata.jexception import JException

_EXPRESSION = re.compile(r"\s*\{%(.*)%\}\s*", re.DOTALL)


class QueryError(Exception):
    """An expression can't be evaluated, or leads to nothing."""


def check_syntax(value: Any) -> Iterator[str]:
    """Yield what is wrong with the expressions in a value."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from check_syntax(each)
    elif isinstance(value, list):
        for each in value:
            yield from check_syntax(each)
    elif isinstance(value, str) and (found := _EXPRESSION.fullmatch(value)):
        try:
            _check(found[1])
        except JException as error:
            yield f"{value}: {error}"


def evaluate(value: Any, variables: Mapping[str, Any], now: datetime) -> Any:
    """Return a value with its expressions replaced by what they mean.

    `variables` are by their names without the dollar sign; `now` is what `$now()` and `$millis()` say. Of the functions
    that Step Functions adds to JSONata, there are `$parse` and `$uuid`. QueryError names the expression.
    """
    if isinstance(value, Mapping):
        return {key: evaluate(item, variables, now) for key, item in value.items()}
    if isinstance(value, list):
        return [evaluate(item, variables, now) for item in value]
    if not isinstance(value, str) or not (found := _EXPRESSION.fullmatch(value)):
        return value
    # an object leaves out what doesn't exist, which would be None otherwise, as null is
    query = Jsonata(f'{{"value": ({found[1]})}}')
    moment = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    query.register_lambda("now", lambda: moment)
    query.register_lambda("millis", lambda: int(now.timestamp() * 1000))
    query.register_lambda("parse", json.loads)
    query.register_lambda("uuid", lambda: str(uuid.uuid4()))
    try:
        answer = query.evaluate(None, variables)
    except (JException, ValueError, TypeError) as error:
        raise QueryError(f"The JSONata expression '{found[1].strip()}' can't be evaluated: {error}") from error
    if not answer or "value" not in answer:
        raise QueryError(f"The JSONata expression '{found[1].strip()}' returned nothing (undefined).")
    # lists and numbers of JSONata's own become JSON's
    return json.loads(json.dumps(answer["value"]))


@lru_cache(maxsize=256)
def _check(expression: str) -> None:
    Jsonata(f'{{"value": ({expression})}}')
