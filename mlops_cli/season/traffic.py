"""What an endpoint is asked during a season: a share of the flights one by one, as clients ask, the rest in batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_cli import scoring

BATCH_ROWS = 2000
AT_ONCE = 4
"""So many single requests are under way at a time."""
SEED = 7

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Asks endpoints for flights.

    `singly` is the share, 0 to 1, that is asked for one by one under its inference id, which ground truth is joined by;
    it is made of the columns `key`. What goes in batches has none, so that the monitor sees it and can't judge it.
    """

    runtime: Any
    features: Sequence[str]
    key: Sequence[str]
    singly: float

    def ask(self, endpoint: str, rows: pl.DataFrame) -> Floats:
        """Return the predictions of an endpoint, a share of them asked for one by one."""
        chosen = np.random.default_rng(SEED).random(rows.height) < self.singly
        found = np.empty(rows.height)
        found[~chosen] = self.ask_in_batches(endpoint, rows.filter(~chosen))
        found[chosen] = self._ask_singly(endpoint, rows.filter(chosen))
        return found

    def ask_in_batches(self, endpoint: str, rows: pl.DataFrame) -> Floats:
        """Return the predictions of an endpoint, many rows a request."""
        if not rows.height:
            return np.empty(0)
        parts = rows.select(self.features).iter_slices(BATCH_ROWS)
        return np.array([value for part in parts for value in scoring.invoke_csv(self.runtime, endpoint, part)])

    def _ask_singly(self, endpoint: str, rows: pl.DataFrame) -> Floats:
        ids, features = scoring.inference_ids(rows, self.key).to_list(), rows.select(self.features)

        def ask(index: int) -> float:
            (answer,) = scoring.invoke_csv(self.runtime, endpoint, features.slice(index, 1), inference_id=ids[index])
            return answer

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return np.array(list(pool.map(ask, range(rows.height))))
