"""Plots of a training as SVG, which any browser and MLflow's pages show; the container has no plotting library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 44, 44
_COLOURS = ("#2166ac", "#b2182b", "#1b7837", "#762a83", "#b35806", "#4d4d4d")
_SHOWN_FEATURES = 20
_POINTS = 600


def learning_curve(title: str, curves: Mapping[str, Sequence[float]]) -> str:
    """A line per metric over the rounds, which are counted from 1. Values that are no numbers leave a gap."""
    numbers = [value for values in curves.values() for value in values if math.isfinite(value)]
    rounds = max((len(values) for values in curves.values()), default=0)
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    if high == low:
        low, high = low - 0.5, high + 0.5

    def x(number: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (number - 1) / max(rounds - 1, 1)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)

    parts = [_text(_LEFT + (WIDTH - _LEFT - _RIGHT) / 2, HEIGHT - 8, "round", anchor="middle")]
    for step in range(5):
        value = low + (high - low) * step / 4
        parts.append(f'<path d="M{_LEFT} {y(value):.1f}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y(value) + 4, f"{value:.4g}", anchor="end"))
    for number in sorted({1, (rounds + 1) // 2, rounds} - {0}):
        parts.append(_text(x(number), HEIGHT - _BOTTOM + 16, str(number), anchor="middle"))
    for index, (name, values) in enumerate(curves.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        for line in _lines(values):
            points = " ".join(f"{x(number):.1f},{y(value):.1f}" for number, value in line)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(_text(WIDTH - _RIGHT + 8, _TOP + 14 + 18 * index, name, colour=colour))
    return _svg(title, parts)


def bars(title: str, values: Mapping[str, float]) -> str:
    """A bar per name, the longest first; of many names the first 20."""
    shown = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_FEATURES]
    longest = max((value for _, value in shown), default=0.0) or 1.0
    height = (HEIGHT - _TOP - 16) / max(len(shown), 1)
    left = 180
    parts = []
    for index, (name, value) in enumerate(shown):
        top = _TOP + index * height
        length = (WIDTH - left - 80) * max(value, 0.0) / longest
        parts.append(_text(left - 6, top + height * 0.7, name, anchor="end"))
        parts.append(
            f'<rect x="{left}" y="{top + height * 0.1:.1f}" width="{length:.1f}" height="{height * 0.8:.1f}" '
            f'fill="{_COLOURS[0]}"/>'
        )
        parts.append(_text(left + length + 6, top + height * 0.7, f"{value:.4g}"))
    return _svg(title, parts)


def _lines(values: Sequence[float]) -> Iterator[list[tuple[int, float]]]:
    """The stretches of a curve without gaps, as (round, value); of many rounds some hundreds are enough."""
    every = max(len(values) // _POINTS, 1)
    line: list[tuple[int, float]] = []
    for number, value in enumerate(values, start=1):
        if not math.isfinite(value):
            if line:
                yield line
            line = []
        elif (number - 1) % every == 0 or number == len(values):
            line.append((number, value))
    if line:
        yield line


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<text x="16" y="26" font-size="15" fill="#111">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )
