"""Charts of the model card's page as inline SVG: colours come from the page's style, so that they follow its theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 460, 340
LEFT, BOTTOM, TOP, RIGHT = 46, 34, 20, 12
BAR_HEIGHT, LABEL_WIDTH, BARS_WIDTH = 24, 190, 1000

Points = Sequence[tuple[float, float]]


def lines(
    series: Mapping[str, Points], *, x: str, y: str, diagonal: bool = False, dots: str | None = None, label: str
) -> str:
    """A line for each series, its name the class of its colour; `dots` is a series to mark point by point.

    `diagonal` draws where x and y are equal. Axes start at the least and end at the greatest value of all series.
    """
    every = [point for points in series.values() for point in points]
    if not every:
        return ""
    xs, ys = [point[0] for point in every], [point[1] for point in every]
    if diagonal:
        xs = ys = [*xs, *ys]
    (x_from, x_to), (y_from, y_to) = _range(xs), _range(ys)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        right = LEFT + (point[0] - x_from) / (x_to - x_from) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (point[1] - y_from) / (y_to - y_from) * (HEIGHT - TOP - BOTTOM)
        return round(right, 1), round(down, 1)

    parts = [_axes(place, (x_from, x_to), (y_from, y_to), x, y)]
    if diagonal:
        (x1, y1), (x2, y2) = place((x_from, x_from)), place((x_to, x_to))
        parts.append(f'<line class="diagonal" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
    for name, points in series.items():
        placed = " ".join(f"{a},{b}" for a, b in map(place, points))
        parts.append(f'<polyline class="series {escape(name)}" points="{placed}"/>')
        if name == dots:
            parts += [
                f'<circle class="dot {escape(name)}" cx="{a}" cy="{b}" r="4"><title>{point[0]:.4g}, {point[1]:.4g}'
                "</title></circle>"
                for point, (a, b) in zip(points, map(place, points), strict=True)
            ]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def bars(values: Mapping[str, float], signs: Mapping[str, float], *, label: str) -> str:
    """A horizontal bar for each value, the first at the top; `signs` says by its sign which way it works."""
    most = max(values.values(), default=0) or 1
    room = BARS_WIDTH - LABEL_WIDTH - 80
    parts = []
    for index, (name, value) in enumerate(values.items()):
        middle = index * BAR_HEIGHT + BAR_HEIGHT / 2
        length = round(value / most * room, 1)
        kind = "raises" if signs.get(name, 0) > 0 else "lowers"
        parts.append(
            f'<text class="name" x="{LABEL_WIDTH - 10}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{middle - 7}" width="{max(length, 1)}" height="14" rx="3"/>'
            f'<text x="{LABEL_WIDTH + length + 8}" y="{middle + 4}">{value:.4f}</text>'
        )
    height = max(len(values), 1) * BAR_HEIGHT
    return f'<svg viewBox="0 0 {BARS_WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _range(values: Sequence[float]) -> tuple[float, float]:
    least, most = min(values), max(values)
    return (least, most) if most > least else (least - 0.5, most + 0.5)


def _axes(place: object, x_range: tuple[float, float], y_range: tuple[float, float], x: str, y: str) -> str:
    assert callable(place)
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        value_x = x_range[0] + share * (x_range[1] - x_range[0])
        value_y = y_range[0] + share * (y_range[1] - y_range[0])
        right, _ = place((value_x, y_range[0]))
        _, down = place((x_range[0], value_y))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>')
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        parts.append(f'<text x="{right}" y="{HEIGHT - BOTTOM + 15}" text-anchor="{anchor}">{value_x:.3g}</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{down + 4}" text-anchor="end">{value_y:.3g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x)}</text>')
    parts.append(f'<text class="axis" x="{LEFT}" y="{TOP - 3}">{escape(y)}</text>')
    return "".join(parts)
