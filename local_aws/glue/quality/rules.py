"""What a ruleset says: rules with their conditions, as DQDL's grammar has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Keyword(Enum):
    """Operands that stand for kinds of missing values."""

    NULL = "NULL"
    EMPTY = "EMPTY"
    WHITESPACES_ONLY = "WHITESPACES_ONLY"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Number:
    """A number, with the text that it was written as."""

    text: str

    @property
    def value(self) -> float:
        return float(self.text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Text:
    """A quoted string."""

    value: str

    def __str__(self) -> str:
        return quoted(self.value)


@dataclass(frozen=True)
class Duration:
    """An amount of time. `unit` is days, hours or minutes."""

    amount: int
    unit: str

    @property
    def hours(self) -> float:
        return self.amount * {"days": 24.0, "hours": 1.0, "minutes": 1 / 60}[self.unit]

    def __str__(self) -> str:
        return f"{self.amount} {self.unit}"


@dataclass(frozen=True)
class Date:
    """A day: `"2013-07-04"`, or the current time moved by `offset` when `day` is None."""

    day: str | None
    sign: Literal["+", "-", ""] = ""
    offset: Duration | None = None

    def __str__(self) -> str:
        if self.day is not None:
            return quoted(self.day)
        return f"(now() {self.sign} {self.offset})" if self.offset else "now()"


Operand = Number | Text | Duration | Date | Keyword
Kind = Literal["number", "string", "date", "duration"]


@dataclass(frozen=True)
class Condition:
    """A comparison. `operator` is one of = != > >= < <= between, in, matches, and the last three with `not` before."""

    kind: Kind
    operator: str
    operands: tuple[Operand, ...]

    def __str__(self) -> str:
        if self.operator.endswith("between"):
            return f"{self.operator} {self.operands[0]} and {self.operands[1]}"
        if self.operator.endswith("in"):
            return f"{self.operator} [{','.join(str(operand) for operand in self.operands)}]"
        return f"{self.operator} {self.operands[0]}"


@dataclass(frozen=True)
class Rule:
    """One check of a data set. `where` is a filter in SQL; `threshold` is the share of rows that has to comply."""

    type: str
    parameters: tuple[str, ...]
    condition: Condition | None = None
    where: str | None = None
    threshold: Condition | None = None

    def __str__(self) -> str:
        words = [self.type, *(quoted(parameter) for parameter in self.parameters)]
        if self.condition is not None:
            words.append(str(self.condition))
        if self.where is not None:
            words.append(f"where {quoted(self.where)}")
        if self.threshold is not None:
            words.append(f"with threshold {self.threshold}")
        return " ".join(words)


@dataclass(frozen=True)
class Composite:
    """Rules joined by `and` or `or`."""

    operator: Literal["and", "or"]
    rules: tuple[AnyRule, ...]

    def __str__(self) -> str:
        return f" {self.operator} ".join(f"({rule})" for rule in self.rules)


AnyRule = Rule | Composite


def simple_rules(rule: AnyRule) -> list[Rule]:
    """Return the rules that a rule is made of."""
    if isinstance(rule, Rule):
        return [rule]
    return [simple for part in rule.rules for simple in simple_rules(part)]


def quoted(text: str) -> str:
    """Return a text as DQDL quotes it."""
    return '"' + text.replace('"', '\\"') + '"'
