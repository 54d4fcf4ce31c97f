"""Metric math: expressions over the values that metrics have in one period.

There are numbers, ids, `+ - * / ^`, comparisons, AND and OR, IF, FILL with a value, ABS, CEIL, FLOOR, and MAX, MIN, SUM
and AVG of a list. A period without data makes a value that is missing, as does a division by zero.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

Value = float | None
Values = Mapping[str, Value]
Term = Callable[[Values], Value]

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|(<=|>=|==|!=|&&|\|\||[-+*/^()<>,\[\]]))")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_LISTS: Mapping[str, Callable[[list[float]], float]] = {"MAX": max, "MIN": min, "SUM": math.fsum, "AVG": fmean}
_SINGLES: Mapping[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}


class ExpressionError(ValueError):
    """An expression that isn't understood here; the message says what and where."""


@dataclass(frozen=True)
class Expression:
    """An expression that was understood, and the ids that it names."""

    names: frozenset[str]
    _term: Term

    def value(self, values: Values) -> Value:
        """Return its value in a period in which the ids have these values; None when it is missing."""
        return self._term(values)


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """Understand an expression; ExpressionError when it says something that this module doesn't know."""
    parser = _Parser(text)
    term = parser.whole()
    return Expression(frozenset(parser.names), term)


class _Parser:
    """Recursive descent: each method reads what binds tighter than the one before it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.names: set[str] = set()
        self._tokens: list[tuple[str, int]] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise ExpressionError(f"{text!r}: nothing is known that begins with {text[position:].strip()[:10]!r}")
            self._tokens.append((found.group(found.lastindex or 0), found.start(found.lastindex or 0)))
            position = found.end()
        self._next = 0

    def whole(self) -> Term:
        term = self._either()
        if self._peek():
            raise self._unexpected()
        return term

    def _either(self) -> Term:
        term = self._both()
        while self._take("||", "OR"):
            term = _combined(lambda a, b: float(bool(a) or bool(b)), term, self._both())
        return term

    def _both(self) -> Term:
        term = self._comparison()
        while self._take("&&", "AND"):
            term = _combined(lambda a, b: float(bool(a) and bool(b)), term, self._comparison())
        return term

    def _comparison(self) -> Term:
        term = self._sum()
        while sign := self._take(*_COMPARISONS):
            compare = _COMPARISONS[sign]
            term = _combined(lambda a, b, compare=compare: float(compare(a, b)), term, self._sum())  # type: ignore[misc]
        return term

    def _sum(self) -> Term:
        term = self._product()
        while sign := self._take("+", "-"):
            term = _combined(operator.add if sign == "+" else operator.sub, term, self._product())
        return term

    def _product(self) -> Term:
        term = self._negation()
        while sign := self._take("*", "/"):
            term = _combined(operator.mul if sign == "*" else operator.truediv, term, self._negation())
        return term

    def _negation(self) -> Term:
        if self._take("-"):
            return _applied(operator.neg, self._negation())
        self._take("+")
        return self._power()

    def _power(self) -> Term:
        term = self._primary()
        return _combined(operator.pow, term, self._negation()) if self._take("^") else term

    def _primary(self) -> Term:
        word = self._peek()
        if not word or not (word[0].isalnum() or word[0] in "._("):
            raise self._unexpected()
        self._next += 1
        if word == "(":
            term = self._either()
            self._expect(")")
            return term
        if word[0].isdigit() or word[0] == ".":
            number = float(word)
            return lambda _: number
        if self._take("("):
            return self._call(word)
        self.names.add(word)
        return lambda values: values.get(word)

    def _call(self, name: str) -> Term:
        if name in _LISTS:
            self._expect("[")
            terms = self._terms("]")
            self._expect(")")
            return _listed(_LISTS[name], terms)
        terms = self._terms(")")
        if name in _SINGLES and len(terms) == 1:
            return _applied(_SINGLES[name], terms[0])
        if name == "FILL" and len(terms) == 2 and not {"REPEAT", "LINEAR"} & self.names:
            filled, filler = terms
            return lambda values: filler(values) if (value := filled(values)) is None else value
        if name == "IF" and len(terms) in (2, 3):
            return _chosen(terms)
        raise ExpressionError(f"{self._text!r}: {name} isn't known with {len(terms)} arguments of this kind")

    def _terms(self, end: str) -> list[Term]:
        terms = [self._either()]
        while self._take(","):
            terms.append(self._either())
        self._expect(end)
        return terms

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        token = self._peek()
        if token not in wanted:
            return ""
        self._next += 1
        return token

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._unexpected(f", {wanted!r} was expected")

    def _unexpected(self, expected: str = "") -> ExpressionError:
        if self._next < len(self._tokens):
            token, position = self._tokens[self._next]
            return ExpressionError(f"{self._text!r}: {token!r} at {position} isn't understood{expected}")
        return ExpressionError(f"{self._text!r} ends too early{expected}")


def _combined(combine: Callable[[float, float], float], left: Term, right: Term) -> Term:
    def value(values: Values) -> Value:
        first, second = left(values), right(values)
        if first is None or second is None:
            return None
        return _real(lambda: combine(first, second))

    return value


def _applied(apply: Callable[[float], float], term: Term) -> Term:
    return lambda values: None if (value := term(values)) is None else float(apply(value))


def _listed(combine: Callable[[list[float]], float], terms: Sequence[Term]) -> Term:
    def value(values: Values) -> Value:
        found = [each for term in terms if (each := term(values)) is not None]
        return float(combine(found)) if found else None

    return value


def _chosen(terms: Sequence[Term]) -> Term:
    def value(values: Values) -> Value:
        condition = terms[0](values)
        if condition is None:
            return None
        if condition:
            return terms[1](values)
        return terms[2](values) if len(terms) == 3 else None

    return value


def _real(compute: Callable[[], float]) -> Value:
    try:
        found = compute()
    except (ZeroDivisionError, OverflowError):
        return None
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None
