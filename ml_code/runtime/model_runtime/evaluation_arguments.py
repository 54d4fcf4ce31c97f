"""What `evaluate` is asked to do, read from its command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

from model_runtime.bias import Facet, parse_facet
from model_runtime.errors import JobError
from model_runtime.gate import Bound
from model_runtime.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The gate's bound (None: no gate), the group whose champion contends (None: no comparison), and the facets.

    `asks_containers` says that the job's role may ask a champion which has a container of its own, by a transform job.
    """

    bound: Bound | None = None
    champions: str | None = None
    margin: float = 0.0
    facets: tuple[Facet, ...] = ()
    asks_containers: bool = False


def parse_arguments(argv: Sequence[str], problem: Problem) -> Asked:
    """Read the command line; raises JobError for a metric that the problem hasn't, and for what is no number."""
    parser = argparse.ArgumentParser(prog="evaluate", exit_on_error=False, allow_abbrev=False)
    for name in ("--metric", "--minimum", "--maximum", "--champions"):
        parser.add_argument(name)
    parser.add_argument("--margin", default="0")
    parser.add_argument("--facet", action="append", default=[])
    parser.add_argument("--ask-containers", action="store_true")
    known, unknown = parser.parse_known_args(list(argv))
    if unknown:
        raise JobError(f"evaluate doesn't know the arguments {' '.join(unknown)}")
    margin = _number("--margin", known.margin)
    if margin < 0:
        raise JobError(f"--margin must be at least 0, got {known.margin}")
    facets = tuple(parse_facet(text, problem) for text in known.facet)
    return Asked(
        bound=_bound(known, problem),
        champions=known.champions,
        margin=margin,
        facets=facets,
        asks_containers=known.ask_containers,
    )


def _bound(known: argparse.Namespace, problem: Problem) -> Bound | None:
    if known.metric is None:
        if (known.minimum or known.maximum or known.champions) is not None:
            raise JobError("--minimum, --maximum and --champions need --metric, which they are about")
        return None
    if known.metric not in problem.gate_metrics:
        raise JobError(f"--metric must be one of {', '.join(problem.gate_metrics)}, got {known.metric!r}")
    if (known.minimum is None) == (known.maximum is None):
        raise JobError("give either --minimum or --maximum, the bound of --metric")
    minimum = None if known.minimum is None else _number("--minimum", known.minimum)
    maximum = None if known.maximum is None else _number("--maximum", known.maximum)
    return Bound(metric=known.metric, minimum=minimum, maximum=maximum)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise JobError(f"{name} must be a number, got {text!r}")
    return value
