"""Charts of the monitor's report as inline SVG: then and now, day by day, and how near a limit something is.

Colours are classes of the page's style: `then` is the baseline, `now` the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 220, 48
SPARK_WIDTH, SPARK_HEIGHT = 150, 40
WIDE, WIDE_HEIGHT, WIDE_LEFT, WIDE_BOTTOM, WIDE_TOP = 920, 190, 44, 26, 12
INTERVAL_WIDTH, INTERVAL_HEIGHT, INTERVAL_MARGIN = 920, 74, 26
MARGIN = 4

Shares = Sequence[float]


def histogram(
    then: Shares, now: Shares, names: Sequence[str], *, label: str, width: int = HISTOGRAM_WIDTH, height: int = 48
) -> str:
    """Two distributions over the same bins: the baseline as bars, the window as a stepped line over them.

    Each bin is as wide as any other, whatever it spans: `names` say what, to those who point at it.
    """
    if not then or len(then) != len(now):
        return ""
    most = max(*then, *now) or 1
    room = (width - 2) / len(then)

    def top(share: float) -> float:
        return round(height - 1 - share / most * (height - 4), 1)

    bars, steps = [], []
    for index, (before, after) in enumerate(zip(then, now, strict=True)):
        left, right = round(1 + index * room, 1), round(1 + (index + 1) * room, 1)
        name = names[index] if index < len(names) else ""
        told = f"<title>{escape(name)}: {before:.1%} in the baseline, {after:.1%} now</title>"
        bars.append(
            f'<rect class="then" x="{left}" y="{top(before)}" width="{round(max(room - 1, 0.6), 1)}" '
            f'height="{round(height - 1 - top(before), 1)}"/>'
            f'<rect class="touch" x="{left}" y="0" width="{round(room, 1)}" height="{height}">{told}</rect>'
        )
        steps += [f"{left},{top(after)}", f"{right},{top(after)}"]
    base = f'<line class="grid" x1="0" x2="{width}" y1="{height - 0.5}" y2="{height - 0.5}"/>'
    line = f'<polyline class="series now" points="{" ".join(steps)}"/>'
    # the line first, so that the bins under it can be pointed at
    parts = [each.partition('<rect class="touch"') for each in bars]
    under = "".join(before for before, _, _ in parts)
    over = "".join(f"{mark}{rest}" for _, mark, rest in parts)
    return _svg(f"{under}{base}{line}{over}", width, height, label)


def spark(days: Sequence[str], values: Sequence[float | None], threshold: float | None, *, label: str) -> str:
    """A score by day, with a dashed line at its threshold; days without a score are gaps."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    most = max(*known, threshold or 0, 0) or 1
    step = (SPARK_WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)

    def place(index: int, value: float) -> tuple[float, float]:
        right = SPARK_WIDTH / 2 if len(values) == 1 else MARGIN + index * step
        return round(right, 1), round(SPARK_HEIGHT - MARGIN - value / most * (SPARK_HEIGHT - 2 * MARGIN), 1)

    parts = []
    if threshold:
        _, down = place(0, threshold)
        parts.append(f'<line class="limit" x1="0" x2="{SPARK_WIDTH}" y1="{down}" y2="{down}"/>')
    parts += [f'<polyline class="series now" points="{" ".join(run)}"/>' for run in _runs(values, place)]
    for index, value in enumerate(values):
        if value is not None:
            right, down = place(index, value)
            kind = "over" if threshold and value > threshold else "under"
            parts.append(
                f'<circle class="point {kind}" cx="{right}" cy="{down}" r="2.6">'
                f"<title>{escape(days[index])}: {value:.3g}</title></circle>"
            )
    return _svg("".join(parts), SPARK_WIDTH, SPARK_HEIGHT, label)


def by_day(
    days: Sequence[str], values: Sequence[float | None], lines: Sequence[tuple[str, str, float]], *, label: str
) -> str:
    """A value by day, with lines across: the class of each, what it is called, and where it is."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    every = [*known, *(value for _, _, value in lines)]
    least, most = min(every), max(every)
    spread = (most - least) or abs(most) or 1
    least, most = least - spread * 0.12, most + spread * 0.12
    right_edge = WIDE - 130
    step = (right_edge - WIDE_LEFT) / max(len(days) - 1, 1)

    def place(index: int, value: float) -> tuple[float, float]:
        right = (WIDE_LEFT + right_edge) / 2 if len(days) == 1 else WIDE_LEFT + index * step
        share = (value - least) / (most - least)
        return round(right, 1), round(WIDE_HEIGHT - WIDE_BOTTOM - share * (WIDE_HEIGHT - WIDE_BOTTOM - WIDE_TOP), 1)

    parts = []
    for share in (0.0, 0.5, 1.0):
        mark = least + share * (most - least)
        _, down = place(0, mark)
        parts.append(f'<line class="grid" x1="{WIDE_LEFT}" x2="{right_edge}" y1="{down}" y2="{down}"/>')
        parts.append(f'<text x="{WIDE_LEFT - 8}" y="{down + 4}" text-anchor="end">{mark:.3g}</text>')
    for (kind, name, bound), text_y in zip(lines, _apart([place(0, each)[1] for _, _, each in lines]), strict=True):
        _, down = place(0, bound)
        parts.append(f'<line class="{kind}" x1="{WIDE_LEFT}" x2="{right_edge}" y1="{down}" y2="{down}"/>')
        parts.append(f'<text x="{right_edge + 10}" y="{text_y + 4}">{escape(name)} {bound:.3f}</text>')
    parts += [f'<polyline class="series now" points="{" ".join(run)}"/>' for run in _runs(values, place)]
    every_nth = max(1, -(-len(days) // 8))
    for index, (day, value) in enumerate(zip(days, values, strict=True)):
        if index % every_nth == 0:
            right, _ = place(index, least)
            parts.append(
                f'<text x="{right}" y="{WIDE_HEIGHT - 6}" text-anchor="middle">{escape(day[5:] or day)}</text>'
            )
        if value is not None:
            right, down = place(index, value)
            parts.append(
                f'<circle class="dot now" cx="{right}" cy="{down}" r="4"><title>{escape(day)}: {value:.4f}</title>'
                "</circle>"
            )
    return _svg("".join(parts), WIDE, WIDE_HEIGHT, label)


def interval(
    value: float, low: float | None, high: float | None, marks: Sequence[tuple[str, str, float]], *, label: str
) -> str:
    """A value with its interval on a line, and marks beside it: the class of each, what it is called, where it is."""
    low, high = (value if low is None else low), (value if high is None else high)
    every = [low, high, *(at for _, _, at in marks)]
    least, most = min(every), max(every)
    spread = (most - least) or abs(most) or 1
    least, most = least - spread * 0.15, most + spread * 0.15
    middle = INTERVAL_HEIGHT / 2 - 2

    def right(at: float) -> float:
        share = (at - least) / (most - least)
        return round(INTERVAL_MARGIN + share * (INTERVAL_WIDTH - 2 * INTERVAL_MARGIN), 1)

    ends = f'x1="{INTERVAL_MARGIN}" x2="{INTERVAL_WIDTH - INTERVAL_MARGIN}"'
    parts = [f'<line class="grid" {ends} y1="{middle}" y2="{middle}"/>']
    for index, (kind, name, at) in enumerate(marks):
        text_y = 11 if index % 2 == 0 else INTERVAL_HEIGHT - 4
        parts.append(
            f'<line class="{kind}" x1="{right(at)}" x2="{right(at)}" y1="16" y2="{INTERVAL_HEIGHT - 18}"/>'
            f'<text x="{right(at)}" y="{text_y}" text-anchor="{_anchor(right(at))}">{escape(name)} {at:.3f}</text>'
        )
    parts.append(
        f'<line class="span now" x1="{right(low)}" x2="{right(high)}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="dot now" cx="{right(value)}" cy="{middle}" r="6"><title>{value:.4f}, between {low:.4f} and '
        f"{high:.4f}</title></circle>"
    )
    return _svg("".join(parts), INTERVAL_WIDTH, INTERVAL_HEIGHT, label)


def _anchor(right: float) -> str:
    if right < 140:
        return "start"
    return "end" if right > INTERVAL_WIDTH - 140 else "middle"


def _apart(heights: Sequence[float], least: float = 13) -> list[float]:
    """Move texts down from each other that would cover each other."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = list(heights)
    for upper, lower in pairwise(order):
        moved[lower] = max(moved[lower], moved[upper] + least)
    return moved


def _runs(values: Sequence[float | None], place: object) -> list[list[str]]:
    """The points of each stretch without a gap."""
    assert callable(place)
    found: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            right, down = place(index, value)
            found[-1].append(f"{right},{down}")
    return [run for run in found if len(run) > 1]


def _svg(parts: str, width: int, height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{parts}</svg>'
