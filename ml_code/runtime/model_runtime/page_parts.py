"""Parts of the pages that jobs write: one HTML file each, that needs nothing else and follows the reader's theme."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

TEMPLATE, STYLE = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))


def page(
    *, title: str, heading: str, purpose: str, style: str, figures: Iterable[tuple[str, str]], sections: Iterable[str]
) -> str:
    """Return a page. `style` is its own CSS; `figures` are names with HTML, `sections` HTML, empty ones left out."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        heading=escape(heading),
        purpose=escape(purpose),
        style=STYLE.read_text(encoding="utf-8") + style,
        figures="".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in figures),
        sections="\n".join(each for each in sections if each),
    )


def section(title: str, body: str) -> str:
    """Return a section with its heading; `body` is HTML."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def legend(names: Sequence[tuple[str, str]]) -> str:
    """Return what colours mean: the class of each with its text."""
    items = "".join(f'<li><span class="swatch {kind}"></span>{escape(text)}</li>' for kind, text in names)
    return f'<ul class="legend">{items}</ul>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; a head that starts with # stands over numbers."""
    numeric = [head.startswith("#") for head in heads]
    top = "".join(
        f'<th scope="col"{_number_class(n)}>{escape(head.lstrip("#"))}</th>'
        for head, n in zip(heads, numeric, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{_number_class(n)}>{cell}</td>" for cell, n in zip(row, numeric, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def verdict_class(good: bool) -> str:
    """Return the class of what is good, or bad."""
    return "good" if good else "bad"


def number(value: Any) -> str:
    """Return a number in four digits, a dash for what is none."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return "–"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"


def _number_class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
