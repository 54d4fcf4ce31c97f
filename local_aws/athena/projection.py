"""Partition projection: the values of partition keys, computed from a table's properties instead of registered."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from local_aws.athena.catalog import Table
from local_aws.athena.failures import QueryFailure

MOST_VALUES = 1_000_000
_LETTERS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "DDD": "%j"}
_FORMAT_PART = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_NOW = re.compile(r"NOW(?:\s*([+-])\s*(\d+)\s*([A-Z]+))?")
_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")
_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400, "WEEK": 7 * 86400}


def key_values(table: Table, wanted: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return the values of each partition key, in the keys' order.

    `wanted` holds the values that the query's own predicates name for a key, which is where those of an injected key
    come from. QueryFailure says which property is missing or wrong.
    """
    return [_values(table, key.name, wanted.get(key.name)) for key in table.keys]


def location(table: Table, values: tuple[str, ...]) -> str:
    """Return where the files of a projected partition lie."""
    named = dict(zip((key.name for key in table.keys), values, strict=True))
    template = table.parameters.get("storage.location.template")
    if template is None:
        parts = "/".join(f"{name}={value}" for name, value in named.items())
        return f"{table.location.rstrip('/')}/{parts}/"
    unknown = [name for name in _PLACEHOLDER.findall(template) if name.lower() not in named]
    if unknown:
        raise _wrong(table, "storage.location.template", template, f"{unknown[0]} is no partition key")
    return _PLACEHOLDER.sub(lambda found: named[found[1].lower()], template)


def _values(table: Table, key: str, wanted: Collection[str] | None) -> list[str]:
    kind = _property(table, key, "type").lower()
    if kind == "injected":
        if not wanted:
            raise QueryFailure(
                f"CONSTRAINT_VIOLATION: For the injected projected partition column {key}, the WHERE clause must "
                "contain only static equality conditions, and at least one such condition must be present."
            )
        return sorted(wanted)
    if kind == "enum":
        return [value.strip() for value in _property(table, key, "values").split(",")]
    if kind == "integer":
        return _integers(table, key)
    if kind == "date":
        return _dates(table, key)
    raise _wrong(table, f"projection.{key}.type", kind, "use enum, integer, date or injected")


def _integers(table: Table, key: str) -> list[str]:
    first, last = _bounds(table, key)
    digits = table.parameters.get(f"projection.{key}.digits", "0")
    step = table.parameters.get(f"projection.{key}.interval", "1")
    try:
        numbers = range(int(first), int(last) + 1, int(step))
        width = int(digits)
    except ValueError as error:
        raise _wrong(table, f"projection.{key}.range", f"{first},{last}", str(error)) from error
    if len(numbers) > MOST_VALUES:
        raise _wrong(table, f"projection.{key}.range", f"{first},{last}", f"more than {MOST_VALUES} values")
    return [str(number).zfill(width) for number in numbers]


def _dates(table: Table, key: str) -> list[str]:
    pattern = _property(table, key, "format")
    try:
        form = strftime_format(pattern)
    except ValueError as error:
        raise _wrong(table, f"projection.{key}.format", pattern, str(error)) from error
    step = _step(table, key, form)
    first, last = (_moment(table, key, text, form) for text in _bounds(table, key))
    return list(dict.fromkeys(moment.strftime(form) for moment in _moments(first, last, step)))


@dataclass(frozen=True)
class _Step:
    count: int
    unit: str

    def after(self, moment: datetime, times: int = 1) -> datetime:
        count = self.count * times
        if self.unit in _SECONDS:
            return moment + timedelta(seconds=count * _SECONDS[self.unit])
        months = moment.year * 12 + moment.month - 1 + count * (12 if self.unit == "YEAR" else 1)
        return moment.replace(year=months // 12, month=months % 12 + 1, day=min(moment.day, 28))


def _moments(first: datetime, last: datetime, step: _Step) -> Iterator[datetime]:
    moment, count = first, 0
    while moment <= last:
        yield moment
        moment, count = step.after(moment), count + 1
        if count > MOST_VALUES:
            raise QueryFailure(f"INVALID_TABLE_PROPERTY: a date projection has more than {MOST_VALUES} values")


def _step(table: Table, key: str, form: str) -> _Step:
    count = table.parameters.get(f"projection.{key}.interval")
    unit = table.parameters.get(f"projection.{key}.interval.unit")
    finer = [letter for letter in ("%H", "%M", "%S") if letter in form]
    if unit is None:
        if finer:
            raise _wrong(table, f"projection.{key}.interval.unit", "", "needed for a format finer than days")
        unit = "DAYS" if "%d" in form or "%j" in form else "MONTHS" if "%m" in form else "YEARS"
    word = unit.upper().removesuffix("S")
    try:
        number = int(count or 1)
    except ValueError as error:
        raise _wrong(table, f"projection.{key}.interval", str(count), "must be a number") from error
    if number < 1 or word not in {*_SECONDS, "MONTH", "YEAR"}:
        raise _wrong(table, f"projection.{key}.interval.unit", unit, "use YEARS, MONTHS, WEEKS, DAYS, HOURS, ...")
    return _Step(number, word)


def _moment(table: Table, key: str, text: str, form: str) -> datetime:
    relative = _NOW.fullmatch(text.upper())
    if relative is None:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError as error:
            raise _wrong(table, f"projection.{key}.range", text, str(error)) from error
    now = datetime.now(UTC)
    # values begin where the format's finest unit begins
    now = datetime.strptime(now.strftime(form), form).replace(tzinfo=UTC)
    if relative[1] is None:
        return now
    unit = relative[3].removesuffix("S")
    if unit not in {*_SECONDS, "MONTH", "YEAR"}:
        raise _wrong(table, f"projection.{key}.range", text, f"{relative[3]} is no unit")
    return _Step(int(relative[2]), unit).after(now, -1 if relative[1] == "-" else 1)


def strftime_format(pattern: str) -> str:
    """Return the strftime format for a Java date pattern; ValueError names letters that have none."""
    parts = []
    for found in _FORMAT_PART.finditer(pattern):
        if found[1] is not None:
            parts.append((found[1] or "'").replace("''", "'").replace("%", "%%"))
        elif found[2]:
            if found[0] not in _LETTERS:
                raise ValueError(f"the local AWS doesn't know {found[0]!r} in a date format")
            parts.append(_LETTERS[found[0]])
        else:
            parts.append(found[0].replace("%", "%%"))
    return "".join(parts)


def _bounds(table: Table, key: str) -> tuple[str, str]:
    text = _property(table, key, "range")
    first, comma, last = text.partition(",")
    if not comma:
        raise _wrong(table, f"projection.{key}.range", text, "must be two values with a comma between them")
    return first.strip(), last.strip()


def _property(table: Table, key: str, name: str) -> str:
    value = table.parameters.get(f"projection.{key}.{name}")
    if value is None:
        raise _wrong(table, f"projection.{key}.{name}", "", "is missing")
    return value


def _wrong(table: Table, name: str, value: str, why: str) -> QueryFailure:
    shown = f" {value!r}" if value else ""
    return QueryFailure(f"INVALID_TABLE_PROPERTY: {table.database}.{table.name}: {name}{shown}: {why}")
