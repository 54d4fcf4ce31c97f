"""The words of DQDL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

TokenKind = Literal["text", "number", "word", "sign", "end"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
    | (?P<text>"(?:\\"|\\\\|[^"])*")
    | (?P<number>\d+\.\d+|\d+)(?![\w.])
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign>!=|>=|<=|[=<>()\[\],+*/$-])
    """,
    re.VERBOSE,
)


class DqdlError(ValueError):
    """A ruleset that can't be used; the message names line, rule and what would be right."""


@dataclass(frozen=True)
class Token:
    """A word of a ruleset. Of quoted texts `value` is what stands between the quotes."""

    kind: TokenKind
    value: str
    line: int

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end of the text"
        return f'"{self.value}"' if self.kind == "text" else f"'{self.value}'"


def tokenise(text: str) -> list[Token]:
    """Split a ruleset into its words, the last being its end; comments run from # to the end of the line."""
    tokens: list[Token] = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            excerpt = text[position:].split("\n", 1)[0][:30]
            hint = ": the quoted text has no end" if excerpt.startswith('"') else ""
            raise DqdlError(f"line {line}: {excerpt!r} can't be read{hint}")
        kind, value = str(match.lastgroup), match.group()
        if kind == "text":
            tokens.append(Token("text", value[1:-1].replace('\\"', '"'), line))
        elif kind == "number":
            tokens.append(Token("number", value, line))
        elif kind == "word":
            tokens.append(Token("word", value, line))
        elif kind == "sign":
            tokens.append(Token("sign", value, line))
        line += value.count("\n")
        position = match.end()
    return [*tokens, Token("end", "", line)]
