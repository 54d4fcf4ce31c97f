"""What starts a model's training by itself."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from .setting_types import Schedule, Section

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
# name, least and most, names of values, and the forms beside numbers, ranges, steps and lists that the field knows
_FIELDS: tuple[tuple[str, int, int, dict[str, int], str], ...] = (
    ("minutes", 0, 59, {}, r"(?!)"),
    ("hours", 0, 23, {}, r"(?!)"),
    ("day of month", 1, 31, {}, r"L|LW|([1-9]|[12]\d|3[01])W"),
    ("month", 1, 12, _MONTHS, r"(?!)"),
    ("day of week", 1, 7, _WEEKDAYS, r"L|(\w+)L|(\w+)#[1-5]"),
    ("year", 1970, 2199, {}, r"(?!)"),
)
_PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def _checked(expression: str) -> str:
    """Refuse what EventBridge Scheduler refuses: the pattern of a schedule says nothing of the fields of a cron."""
    kind, _, content = expression.removesuffix(")").partition("(")
    if kind == "rate":
        number, unit = content.split()
        if (number == "1") == unit.endswith("s"):
            raise _refused(f"says {content!r}: one {unit.removesuffix('s')}, or several {unit.removesuffix('s')}s")
        return expression
    fields = content.split()
    for text, (name, least, most, names, forms) in zip(fields, _FIELDS, strict=True):
        if text == "?" and name.startswith("day of"):
            continue
        if not all(_is_part(part, least, most, names, forms) for part in text.split(",")):
            raise _refused(f"has the {name} {text!r}; it takes numbers from {least} to {most}, *, lists, ranges, steps")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise _refused("must have a ? as either the day of month or the day of week")
    return expression


def _is_part(part: str, least: int, most: int, names: dict[str, int], forms: str) -> bool:
    if re.fullmatch(forms, part):
        return True
    found = _PART.fullmatch(part)
    if found is None or found[4] == "0":
        return False
    ends = [names.get(end.upper(), int(end) if end.isdigit() else -1) for end in (found[2], found[3]) if end]
    return all(least <= end <= most for end in ends)


def _refused(reason: str) -> PydanticCustomError:
    return PydanticCustomError("schedule", "{reason}", {"reason": reason})


CheckedSchedule = Annotated[Schedule, AfterValidator(_checked)]


class NewData(Section):
    """Training when the model's dataset has published days."""

    at_most_every_hours: Annotated[int, Field(ge=1, le=30 * 24)] = 24
    """Hours from one run's start to the next; what is published meanwhile waits, and is trained on together."""


class Triggers(Section):
    """What starts the training by itself, beside people, alarms and releases; one run at a time."""

    schedule: CheckedSchedule | None = "cron(0 7 * * ? *)"
    """When it runs, whatever has come, in UTC: cron(0 7 * * ? *), every day at seven, or rate(1 day); null for none."""
    new_data: NewData | None = NewData()
    """That it runs when days are published; null for not."""
