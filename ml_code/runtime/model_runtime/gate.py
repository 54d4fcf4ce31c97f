"""The gate: whether a model may be registered, and why, in one sentence.

Three things decide, in this order: the metric must meet its bound; no limit on fairness that rejects may be broken; and
the model must not be worse than the champion by more than the margin, both judged on the same rows, of which there must
be enough that the champion doesn't know. The measured
difference decides, not its confidence interval, so that the same figures always give the same answer; the interval is
reported beside it and says how much of the difference may be chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model_runtime.comparison import Difference


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What the metric must reach (`minimum`) or stay within (`maximum`); exactly one of them is given."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value passes; NaN never does."""
        return value <= self.maximum if self.maximum is not None else value >= (self.minimum or 0.0)

    def told(self, value: float) -> str:
        """How a value stands to the bound, as a part of a sentence."""
        limit = self.minimum if self.maximum is None else self.maximum
        name = "minimum" if self.maximum is None else "maximum"
        missed = "below" if self.maximum is None else "above"
        verb = "meets" if self.holds(value) else f"is {missed}"
        return f"{self.metric} {_figure(value)} {verb} the {name} of {limit:g}"


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What came of the comparison with the champion: the difference, or the reason why there is none.

    `rows` is on how many rows it was judged. A contest without a difference is won, unless it is `lost` since there was
    a champion that could have been asked, and no rows to ask it about.
    """

    version: int | None = None
    arn: str | None = None
    difference: Difference | None = None
    rows: int | None = None
    reason: str | None = None
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate says. `summary` is what a registry's metadata takes: no brackets, signs of percent or commas."""

    passed: bool
    reason: str
    summary: str


def decide(bound: Bound, value: float, contest: Contest | None, margin: float, broken_limits: Sequence[str]) -> Verdict:
    """Judge a model by its metric, the comparison (None: not asked for), and sentences on the limits that it breaks."""
    parts = [bound.told(value)]
    summary = [f"{bound.metric} {_figure(value)}"]
    passed = bound.holds(value) and not broken_limits
    parts += broken_limits
    if contest is not None:
        told, good = _told(contest, margin)
        parts.append(told)
        passed = passed and good
        if contest.difference is not None:
            summary.append(f"champion version {contest.version} {_figure(contest.difference.champion)}")
        elif contest.lost:
            summary.append(f"too few rows that champion version {contest.version} does not know")
        else:
            summary.append("no champion to compare with")
    summary.insert(0, "passed" if passed else "rejected")
    return Verdict(passed=passed, reason="; ".join(parts), summary=" - ".join(summary))


def verdict_json(verdict: Verdict, bound: Bound, margin: float | None) -> dict[str, Any]:
    """The section `gate` of the evaluation report."""
    limit = {"minimum": bound.minimum} if bound.maximum is None else {"maximum": bound.maximum}
    return {**asdict(verdict), "metric": bound.metric, **limit, "margin": margin}


def contest_json(contest: Contest) -> dict[str, Any]:
    """The section `champion` of the evaluation report; members that have no value are left out."""
    found = {name: value for name, value in asdict(contest).items() if value is not None and name != "lost"}
    found["compared"] = contest.difference is not None
    return found


def _told(contest: Contest, margin: float) -> tuple[str, bool]:
    difference = contest.difference
    if difference is None:
        return f"not compared with {'the' if contest.lost else 'a'} champion: {contest.reason}", not contest.lost
    good = difference.better_by >= -margin
    side = "better" if difference.better_by >= 0 else "worse"
    allowed = "" if side == "better" else f", {'within' if good else 'more than'} the margin of {margin:g}"
    if difference.better_by == 0:
        told = f"as good as the champion, version {contest.version}, on the same {contest.rows} rows"
        return told, good
    told = (
        f"{side} than the champion, version {contest.version} with {_figure(difference.champion)}, by "
        f"{_figure(abs(difference.better_by))} on the same {contest.rows} rows{allowed} (better by "
        f"{_figure(difference.low)} to {_figure(difference.high)} with 95 % confidence)"
    )
    return told, good


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"
