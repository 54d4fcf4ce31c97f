"""What has landed: the raw files of each day, which days are complete, and whether their files changed since."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from dataset_job.declaration import Dataset, RawTable
from dataset_job.storage import Storage, StoredObject

_DAY = re.compile(r"^day=(\d{4}-\d{2}-\d{2})/")
FINGERPRINT_CHARACTERS = 16


@dataclass(frozen=True)
class Landing:
    """The raw objects of a dataset: of daily tables by day, of reference tables all together.

    `strays` are objects of daily tables that lie in no folder day=YYYY-MM-DD: nobody knows which day they belong to.
    """

    dataset: Dataset
    daily: Mapping[str, Mapping[date, Sequence[StoredObject]]]
    reference: Mapping[str, Sequence[StoredObject]]
    strays: Sequence[StoredObject] = ()

    def days(self) -> list[date]:
        """Every day of which anything has landed, in order."""
        return sorted({day for days in self.daily.values() for day in days})

    def missing(self, day: date) -> list[str]:
        """The tables without which the day can't be prepared."""
        absent = [name for name, days in self.daily.items() if day not in days]
        return absent + [name for name, objects in self.reference.items() if not objects]

    def objects(self, table: RawTable, day: date) -> dict[date, Sequence[StoredObject]]:
        """What the preparation of a day reads of a daily table: the day's objects and those of the days before."""
        days = (day - timedelta(days=back) for back in range(table.days_before + 1))
        landed = self.daily[table.name]
        return {each: landed[each] for each in days if each in landed}

    def fingerprint(self, day: date) -> str:
        """Changes when a file that the day is made from is added, replaced or removed.

        Reference tables don't count: a new plane in the register is no reason to prepare all days again.
        """
        lines = [
            f"{table.name}/{each.key} {each.size} {each.tag}"
            for table in self.dataset.daily_tables
            for objects in self.objects(table, day).values()
            for each in objects
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:FINGERPRINT_CHARACTERS]


def look(storage: Storage, dataset: Dataset, raw: str) -> Landing:
    """List the raw tables below the URI `raw`."""
    daily: dict[str, dict[date, list[StoredObject]]] = {}
    reference: dict[str, Sequence[StoredObject]] = {}
    strays = []
    for table in dataset.tables.values():
        objects = [each for each in storage.list(f"{raw}/{table.name}") if not _is_hidden(each.key)]
        if not table.daily:
            reference[table.name] = objects
            continue
        days = daily.setdefault(table.name, {})
        for each in objects:
            day = folder_day(each.key)
            if day is None:
                strays.append(each)
            else:
                days.setdefault(day, []).append(each)
    return Landing(dataset, daily, reference, strays)


def folder_day(key: str) -> date | None:
    """The day of the folder that a key begins with, None when there is none."""
    found = _DAY.match(key)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _is_hidden(key: str) -> bool:
    return key.rpartition("/")[2].startswith(("_", "."))
