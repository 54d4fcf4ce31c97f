"""What a run checks and how strictly: the settings `monitoring` of model.yaml, as the job gets them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_runtime.bias import Facet, parse_facet
from model_runtime.errors import JobError
from model_runtime.metrics import FEWEST_ROWS_WITH_DEVIATION
from model_runtime.monitor.drift_limits import MEASURES, DriftLimits
from model_runtime.paths import ContainerPaths
from model_runtime.problems import Problem

PLACE = "--settings"
MEMBERS = (
    "window_days", "least_rows", "alpha", "drift", "moved_features", "quality", "facets", "attributions", "retrain",
)  # fmt: skip
MOST_FACETS = 64
"""Each has a bit of its own."""


@dataclass(frozen=True, kw_only=True)
class QualityLimit:
    """The metric that is watched, by how much it may be worse than at the training, and from how many labels on."""

    metric: str
    maximum_loss: float
    least_labels: int = 500


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """The sections of the settings; None or nothing for what isn't checked.

    `moved_features` is from how many features on data has drifted. `retrain` says what starts a training: it is told
    here, and done by others.
    """

    window_days: int = 7
    least_rows: int = 200
    drift: DriftLimits | None = None
    moved_features: int = 1
    quality: QualityLimit | None = None
    facets: Sequence[Facet] = ()
    minimum_ndcg: float | None = None
    retrain: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, text: str, problem: Problem) -> MonitorSettings:
        """Read them from JSON; raises JobError that names the member, its value, and the nearest known name."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise JobError(f"--settings must be JSON, got {text[:80]!r}: {error}") from error
        given = _members(document, MEMBERS, PLACE)
        drift = given.get("drift")
        moved = given.get("moved_features", (drift or {}).get("moved_features", 1))
        if drift is not None:
            _members(drift, (*MEASURES, "alpha", "features", "ignore", "moved_features", "usual"), f"{PLACE}: drift")
        facets = [each if isinstance(each, str) else json.dumps(each) for each in given.get("facets") or []]
        if len(facets) > MOST_FACETS:
            raise JobError(f"{PLACE}: facets must be at most {MOST_FACETS}, got {len(facets)}")
        attributions = given.get("attributions")
        if attributions is not None:
            attributions = _members(attributions, ("minimum_ndcg",), f"{PLACE}: attributions")
        return cls(
            window_days=_whole(given.get("window_days", 7), "window_days"),
            least_rows=_whole(given.get("least_rows", 200), "least_rows"),
            drift=None if drift is None else DriftLimits.read(given),
            moved_features=_whole(moved, "moved_features"),
            quality=_quality(given.get("quality"), problem),
            facets=tuple(parse_facet(each, problem) for each in facets),
            minimum_ndcg=None
            if attributions is None
            else _share(attributions.get("minimum_ndcg", 0.9), "attributions: minimum_ndcg"),
            retrain=given.get("retrain"),
        )


def settings_text(given: str) -> str:
    """The JSON that `--settings` gives: itself, or the one file that it names, or the only one in a folder.

    Paths are those of the container, as `/opt/ml/processing/input/settings`.
    """
    if given.lstrip()[:1] in ("{", "["):
        return given
    path = ContainerPaths.from_environment().at(given)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].is_file():
        raise JobError(f"{PLACE} must be JSON, a file of it, or a folder with one such file, got {given!r}")
    return files[0].read_text(encoding="utf-8")


def _quality(given: Any, problem: Problem) -> QualityLimit | None:
    if given is None:
        return None
    place = f"{PLACE}: quality"
    members = _members(given, ("metric", "maximum_loss", "least_labels", "labels_within_hours"), place)
    metric = members.get("metric", problem.headline)
    if metric not in problem.gate_metrics:
        raise JobError(f"{place}: metric must be one of {', '.join(problem.gate_metrics)}, got {metric!r}")
    loss = members.get("maximum_loss")
    if isinstance(loss, bool) or not isinstance(loss, int | float) or loss < 0:
        raise JobError(f"{place}: maximum_loss must be a number of at least 0, got {loss!r}")
    least = _whole(members.get("least_labels", 500), "quality: least_labels")
    if least < FEWEST_ROWS_WITH_DEVIATION:
        raise JobError(
            f"{place}: least_labels must be at least {FEWEST_ROWS_WITH_DEVIATION}: of fewer no interval is told, "
            f"without which nothing is judged, got {least}"
        )
    return QualityLimit(metric=metric, maximum_loss=float(loss), least_labels=least)


def _mapping(given: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise JobError(f"{place} must be an object, got {json.dumps(given)[:80]}")
    return given


def _members(given: Any, known: Sequence[str], place: str) -> Mapping[str, Any]:
    found = _mapping(given, place)
    for name in found:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known are {', '.join(known)}"
            raise JobError(f"{place} has no member {name!r}{hint}")
    return found


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise JobError(f"{PLACE}: {name} must be a whole number of at least 1, got {value!r}")
    return value


def _share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise JobError(f"{PLACE}: {name} must be above 0 and at most 1, got {value!r}")
    return float(value)
