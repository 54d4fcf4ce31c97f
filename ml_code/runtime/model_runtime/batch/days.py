"""Which days are predicted: those that somebody asks for, or those that are due.

A day is due when it is among the newest published ones and its predictions are missing, or are of rows that have been
published anew since. So a run takes up whatever the one before didn't come to, and has nothing to do when nothing has
changed. Another version of the model makes no day due: what it would have said of the past is no prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from model_runtime.batch.plan import LOAD, predictions_uri
from model_runtime.batch.store import Store
from model_runtime.errors import JobError

DUE, LATEST = "due", "latest"
SHOWN_DAYS = 5


@dataclass(frozen=True)
class PublishedDay:
    """The files of a day: their URIs, and the folder of the load that they came with."""

    load: str
    files: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The first day, None for those that are due, and the last one, None for the newest that is published."""

    first: date | None
    last: date | None
    catch_up_days: int = 7

    @property
    def is_due(self) -> bool:
        """Whether nobody has named days."""
        return self.first is None

    @classmethod
    def parse(cls, first: str, last: str, catch_up_days: str) -> Wanted:
        """Read the values of a command line; raises JobError for what is no day or number, or the wrong way round."""
        if not catch_up_days.isdecimal() or int(catch_up_days) < 1:
            raise JobError(f"--catch-up-days must be a number of days, at least 1, got {catch_up_days!r}")
        found = cls(
            first=_day("--first-day", first, DUE),
            last=_day("--last-day", last, LATEST),
            catch_up_days=int(catch_up_days),
        )
        if found.first and found.last and found.first > found.last:
            raise JobError(f"--first-day {found.first} is after --last-day {found.last}")
        return found


def _day(name: str, text: str, other: str) -> date | None:
    if text == other:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise JobError(f"{name} must be YYYY-MM-DD or {other!r}, got {text!r}") from None


def published_days(manifest: Any, uri: str) -> dict[date, PublishedDay]:
    """The days of a dataset's manifest, in their order; raises JobError for what is none, nothing for None."""
    if manifest is None:
        return {}
    files: dict[date, dict[str, list[str]]] = {}
    try:
        head, *keys = manifest
        for key in keys:
            folder, _, rest = key.rpartition("day=")
            load = f"{folder}day={rest.partition('/')[0]}"
            day = date.fromisoformat(rest.partition("/")[0])
            files.setdefault(day, {}).setdefault(load, []).append(f"{head['prefix']}{key}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(f"{uri} is no manifest of published days: {error}") from error
    twice = [str(day) for day, loads in files.items() if len(loads) > 1]
    if twice:
        raise JobError(f"{uri} lists {', '.join(twice)} from more than one load")
    return {day: PublishedDay(*next(iter(files[day].items()))) for day in sorted(files)}


def wanted_days(
    published: Mapping[date, PublishedDay], wanted: Wanted, table: str, store: Store
) -> dict[date, PublishedDay]:
    """The days to predict; `table` is the URI of the predictions.

    Raises JobError for days that are asked for and aren't published. Days that are due may be none.
    """
    if wanted.first is None:
        newest = [day for day in published if wanted.last is None or day <= wanted.last][-wanted.catch_up_days :]
        return {day: published[day] for day in newest if _is_due(day, published[day], table, store)}
    if not published:
        raise JobError(f"no day is published yet, {wanted.first} for one: see `mlops data status`")
    last = wanted.last or max(max(published), wanted.first)
    asked = [wanted.first + timedelta(days=offset) for offset in range((last - wanted.first).days + 1)]
    missing = [str(day) for day in asked if day not in published]
    if missing:
        shown = ", ".join(missing[:SHOWN_DAYS]) + (", ..." if len(missing) > SHOWN_DAYS else "")
        raise JobError(
            f"no rows of {shown} are published: `mlops data status` tells why; "
            f"there are days from {min(published)} to {max(published)}"
        )
    return {day: published[day] for day in asked}


def _is_due(day: date, published: PublishedDay, table: str, store: Store) -> bool:
    notes = store.notes(predictions_uri(table, str(day)))
    return notes is None or notes.get(LOAD) != published.load
