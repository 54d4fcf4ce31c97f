"""What an endpoint's server counts: requests, their time, and the predictions, as CloudWatch metrics once a minute.

A request costs two appends to lists. What they hold becomes a distribution: bounds that grow by a twelfth from one to
the next, so that a percentile is right to one in twenty-five, in any range of numbers.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model_runtime.embedded_metrics import MOST_VALUES, metric_line
from model_runtime.errors import JobError
from model_runtime.prediction_baseline import LEAST_ROWS, PredictionBaseline, count_in
from model_runtime.rule_metrics import ENVIRONMENT_VARIABLE, MODEL_VARIABLE, NAMESPACE_VARIABLE

ENDPOINT_VARIABLE, VARIANT_VARIABLE, FLEET_VARIABLE = "ENDPOINT_NAME", "VARIANT_NAME", "FLEET_NAME"
INTERVAL_VARIABLE = "METRICS_INTERVAL_SECONDS"
DEFAULT_INTERVAL = 60
STEPS_AN_OCTAVE = 8
HELD_VALUES = 4096

Floats = npt.NDArray[np.floating[Any]]


class Distribution:
    """Counts of numbers by size. Adding is an append; a negative number and zero have places of their own.

    `counted` is called with the numbers when they are counted, many at a time.
    """

    def __init__(self, counted: Callable[[npt.NDArray[np.float64]], None] | None = None) -> None:
        self._held: list[float] = []
        self._counted = counted
        self._clear()

    def _clear(self) -> None:
        self._counts: Counter[tuple[int, int]] = Counter()
        self._sum, self._lowest, self._highest = 0.0, math.inf, -math.inf

    def add(self, value: float) -> None:
        """Count a finite number."""
        self._held.append(value)
        if len(self._held) >= HELD_VALUES:
            self._fold()

    def add_all(self, values: Floats) -> None:
        """Count finite numbers."""
        if len(values) > HELD_VALUES:
            self._count(values.astype(np.float64))
            return
        self._held.extend(values.tolist())
        if len(self._held) >= HELD_VALUES:
            self._fold()

    def _fold(self) -> None:
        held, self._held = self._held, []
        if held:
            self._count(np.array(held))

    def _count(self, values: npt.NDArray[np.float64]) -> None:
        if self._counted is not None:
            self._counted(values)
        signs = np.sign(values).astype(int)
        sizes = np.log2(np.abs(np.where(signs == 0, 1.0, values)))
        places = np.floor(sizes * STEPS_AN_OCTAVE).astype(int)
        found, counts = np.unique(np.stack([signs, places]), axis=1, return_counts=True)
        for sign, place, count in zip(*found.tolist(), counts.tolist(), strict=True):
            self._counts[sign, place] += count
        self._sum += float(values.sum())
        self._lowest = min(self._lowest, float(values.min()))
        self._highest = max(self._highest, float(values.max()))

    def taken(self) -> Iterator[dict[str, Any]]:
        """What was counted, in parts of as many values as a line may hold; counts from zero afterwards."""
        self._fold()
        counts, total, lowest, highest = self._counts, self._sum, self._lowest, self._highest
        self._clear()
        middle = {
            place: min(max(place[0] * 2 ** ((place[1] + 0.5) / STEPS_AN_OCTAVE), lowest), highest) for place in counts
        }
        places = sorted(counts, key=middle.__getitem__)
        every = counts.total()
        for start in range(0, len(places), MOST_VALUES):
            part = places[start : start + MOST_VALUES]
            number = sum(counts[place] for place in part)
            whole = number == every
            values = [_rounded(middle[place]) for place in part]
            yield {
                "Values": values,
                "Counts": [counts[place] for place in part],
                "Min": lowest if start == 0 else values[0],
                "Max": highest if start + MOST_VALUES >= len(places) else values[-1],
                "Sum": total if whole else sum(middle[place] * counts[place] for place in part),
                "Count": number,
            }


class ServingMetrics:
    """Counts of one server process; `lines` gives them and begins anew.

    Requests, Rows, Refused (4xx) and Failed (5xx) are counts, Latency (milliseconds from the first byte of a request
    to its answer) and Prediction are distributions. PredictionShift, by Endpoint and Fleet, is how far the
    predictions are from those of the training (see prediction_baseline), told once there are 200 since the last time.
    """

    def __init__(
        self,
        namespace: str,
        dimensions: list[dict[str, str]],
        interval: int = DEFAULT_INTERVAL,
        fleet: dict[str, str] | None = None,
    ) -> None:
        self.interval = interval
        self._namespace, self._dimensions, self._fleet = namespace, dimensions, fleet
        self._baseline: PredictionBaseline | None = None
        self._latency, self._prediction = Distribution(), Distribution(self._compare)
        self._requests = self._rows = self._refused = self._failed = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServingMetrics:
        """By Environment and Model, and by Endpoint and Variant where ENDPOINT_NAME and VARIANT_NAME are set.

        `lines` gives none unless METRICS_NAMESPACE and one of the pairs are set.
        """
        pairs = (
            {"Environment": ENVIRONMENT_VARIABLE, "Model": MODEL_VARIABLE},
            {"Endpoint": ENDPOINT_VARIABLE, "Variant": VARIANT_VARIABLE},
        )
        sets = [
            {name: environment[variable] for name, variable in pair.items()}
            for pair in pairs
            if all(environment.get(variable) for variable in pair.values())
        ]
        text = environment.get(INTERVAL_VARIABLE) or str(DEFAULT_INTERVAL)
        if not text.isdecimal() or not 1 <= int(text) <= 3600:
            raise JobError(f"{INTERVAL_VARIABLE} must be a number of seconds from 1 to 3600, got {text!r}")
        names = {"Endpoint": ENDPOINT_VARIABLE, "Fleet": FLEET_VARIABLE}
        fleet = {name: environment.get(variable, "") for name, variable in names.items()}
        namespace = environment.get(NAMESPACE_VARIABLE) or ""
        return cls(namespace, sets, int(text), fleet if all(fleet.values()) else None)

    def compare_with(self, baseline: PredictionBaseline | None) -> None:
        """Tell from now on how far predictions have shifted from those of the training; None for not."""
        self._baseline = baseline
        self._ranges = np.zeros(len(baseline.counts) if baseline else 0, dtype=np.int64)

    def _compare(self, values: Floats) -> None:
        if self._baseline is not None:
            self._ranges += count_in(self._baseline.edges, values)

    def answered(self, status: int, seconds: float) -> None:
        """Count a request by its answer's status."""
        self._requests += 1
        if status < 400:
            self._latency.add(seconds * 1000)
        elif status < 500:
            self._refused += 1
        else:
            self._failed += 1

    def predicted(self, predictions: Floats) -> None:
        """Count predictions, one for each row; anything but a list of finite numbers counts as rows only."""
        self._rows += len(predictions)
        self._prediction.add_all(predictions)

    def lines(self) -> Iterator[str]:
        """The lines of what was counted since the last time; none when nothing was."""
        requests, rows, refused, failed = self._requests, self._rows, self._refused, self._failed
        self._requests = self._rows = self._refused = self._failed = 0
        latencies, predictions = list(self._latency.taken()), list(self._prediction.taken())
        if not (self._namespace and self._dimensions and requests):
            return
        counts = {"Requests": requests, "Rows": rows, "Refused": refused, "Failed": failed}
        metrics: dict[str, tuple[str, Any]] = {name: ("Count", value) for name, value in counts.items()}
        for number in range(max(len(latencies), len(predictions), 1)):
            if number < len(latencies):
                metrics["Latency"] = ("Milliseconds", latencies[number])
            if number < len(predictions):
                metrics["Prediction"] = ("None", predictions[number])
            yield metric_line(self._namespace, self._dimensions, metrics)
            metrics = {}
        if self._fleet and self._baseline and self._ranges.sum() >= LEAST_ROWS:
            shift = _rounded(self._baseline.shift(self._ranges))
            self._ranges[:] = 0
            yield metric_line(self._namespace, [self._fleet], {"PredictionShift": ("None", shift)})


def _rounded(value: float) -> float:
    """Four digits are more than a bound's middle is good for."""
    return float(f"{value:.4g}")
