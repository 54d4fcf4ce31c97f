"""The texts of a column in bounded memory: exact while few are distinct, then the frequent ones.

Then they are counted by a frequent items sketch, and how many are distinct is estimated by HyperLogLog. Source: Apache
DataSketches.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from typing import Any

import datasketches
import polars as pl

MOST_EXACT = 1024
"""Up to so many distinct texts each is counted by itself."""
LONGEST = 100
"""Letters of a text that are kept."""
_LOG_ITEMS = 12
_LOG_REGISTERS = 12


class TextSketch:
    """Texts: how many, how many distinct ones, and how often the frequent ones are there."""

    def __init__(self) -> None:
        self.count = 0
        self._counts: Counter[str] = Counter()
        self._frequent: Any = None
        self._distinct: Any = None

    @property
    def exact(self) -> bool:
        """Whether each text was counted."""
        return self._frequent is None

    @property
    def distinct(self) -> int:
        """How many different texts there are; an estimate (2 % off) where not each was counted."""
        return len(self._counts) if self._distinct is None else round(self._distinct.get_estimate())

    def counts(self) -> dict[str, int]:
        """How often each text is there, the most frequent first; where not each was counted, those that surely are."""
        found = dict(self._counts)
        if self._frequent is not None:
            surely = datasketches.frequent_items_error_type.NO_FALSE_POSITIVES
            found = {text: int(estimate) for text, estimate, *_ in self._frequent.get_frequent_items(surely)}
        return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))

    def update(self, texts: pl.Series) -> None:
        """Take texts in: no null. Of a long one the beginning is kept."""
        if len(texts):
            table = texts.str.slice(0, LONGEST).rename("value").value_counts(name="count")
            self._add(dict(zip(table["value"].to_list(), table["count"].to_list(), strict=True)))

    def merge(self, other: TextSketch) -> None:
        """Take in what another has seen."""
        if other._frequent is None:
            self._add(other._counts)
            return
        self._overflow()
        self.count += other.count
        self._frequent.merge(other._frequent)
        both = datasketches.hll_union(_LOG_REGISTERS)
        both.update(self._distinct)
        both.update(other._distinct)
        self._distinct = both.get_result()

    def _add(self, counts: Mapping[str, int]) -> None:
        self.count += sum(counts.values())
        if self._frequent is None:
            self._counts.update(counts)
            if len(self._counts) > MOST_EXACT:
                self._overflow()
            return
        for text, count in counts.items():
            self._frequent.update(text, count)
            self._distinct.update(text)

    def _overflow(self) -> None:
        if self._frequent is not None:
            return
        self._frequent = datasketches.frequent_strings_sketch(_LOG_ITEMS)
        self._distinct = datasketches.hll_sketch(_LOG_REGISTERS)
        for text, count in self._counts.items():
            self._frequent.update(text, count)
            self._distinct.update(text)
        self._counts.clear()

    def to_json(self) -> dict[str, Any]:
        """All of it, for `from_json`."""
        if self._frequent is None:
            return {"counts": dict(self._counts)}
        sketches = (self._frequent.serialize(), self._distinct.serialize_compact())
        return {"count": self.count, "sketches": [base64.b64encode(each).decode() for each in sketches]}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> TextSketch:
        """What `to_json` wrote."""
        found = cls()
        if "counts" in said:
            found._add(said["counts"])
        else:
            found.count = said["count"]
            frequent, distinct = (base64.b64decode(each) for each in said["sketches"])
            found._frequent = datasketches.frequent_strings_sketch.deserialize(frequent)
            found._distinct = datasketches.hll_sketch.deserialize(distinct)
        return found
