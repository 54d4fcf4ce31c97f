"""Reads rulesets in Glue's Data Quality Definition Language (DQDL).

What the local AWS can't evaluate (dynamic rules, analyzers, constants, labels, further types of rules) is refused
here, when a ruleset is made, instead of being left out of a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Literal

from local_aws.glue.quality.rule_types import check_form, check_type_known
from local_aws.glue.quality.rules import (
    AnyRule,
    Composite,
    Condition,
    Date,
    Duration,
    Keyword,
    Kind,
    Number,
    Operand,
    Rule,
    Text,
)
from local_aws.glue.quality.tokens import DqdlError, Token, tokenise

COMPARISONS = ("=", "!=", ">", ">=", "<", "<=")
_LINE = re.compile(r"^line \d+: ")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# these are written in small or in capital letters
_EITHER_CASE = frozenset({"and", "or", "between", "in", "not"})


def parse_ruleset(text: str) -> list[AnyRule]:
    """Return the rules of a ruleset `Rules = [ ... ]` in order; DqdlError for what isn't DQDL or isn't evaluated."""
    return _Parser(tokenise(text)).ruleset()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def ruleset(self) -> list[AnyRule]:
        head = self._next
        if head.value != "Rules":
            sections = ("Analyzers", "DataSources", "Metadata")
            hint = "are not evaluated by the local AWS" if head.value in sections else "isn't 'Rules = [...]'"
            raise DqdlError(f"line {head.line}: {head} {hint}")
        self._take()
        self._expect("=")
        self._expect("[")
        if self._is_sign("]"):
            raise DqdlError(f"line {self._next.line}: Rules is empty: it needs at least one rule")
        rules = [self._any_rule()]
        while self._is_sign(","):
            self._take()
            rules.append(self._any_rule())
        self._expect("]")
        if self._next.kind != "end":
            raise self._unexpected("the end: a ruleset of the local AWS has the section Rules only")
        return rules

    def _any_rule(self) -> AnyRule:
        """Read rules joined by `or`, of which `and` binds the closer."""
        return self._joined("or", lambda: self._joined("and", self._operand_rule))

    def _joined(self, operator: Literal["and", "or"], part: Callable[[], AnyRule]) -> AnyRule:
        first = self._at
        rules = [part()]
        while self._is_word(operator):
            for start in (first, self._at + 1):
                if self._tokens[start].value != "(":
                    raise DqdlError(f"line {self._next.line}: rules joined by {operator} stand in parentheses")
            self._take()
            rules.append(part())
        return rules[0] if len(rules) == 1 else Composite(operator, tuple(rules))

    def _operand_rule(self) -> AnyRule:
        if not self._is_sign("("):
            return self._rule()
        self._take()
        rule = self._any_rule()
        self._expect(")")
        return rule

    def _rule(self) -> Rule:
        head = self._next
        if head.kind != "word":
            raise self._unexpected("the type of a rule, such as IsComplete")
        start = self._at
        try:
            check_type_known(head.value)
            self._take()
            parameters = self._parameters()
            condition = self._condition()
            where = threshold = None
            if self._is_word("where"):
                self._take()
                where = self._text("the filter in quotes")
            if self._is_word("with"):
                threshold = self._threshold()
            if self._is_word("labels"):
                raise DqdlError("labels of rules are not kept by the local AWS")
            if not (self._is_sign(",", "]", ")") or self._is_word("and") or self._is_word("or")):
                raise self._unexpected("a comma, or the end of the rule")
            rule = Rule(head.value, tuple(parameters), condition, where, threshold)
            check_form(rule)
        except DqdlError as error:
            written = " ".join(_written(token) for token in self._tokens[start : max(self._at, start + 1)])
            reason = _LINE.sub("", str(error))
            raise DqdlError(f"line {head.line}: rule {written}: {reason}") from None
        return rule

    def _parameters(self) -> list[str]:
        parameters = []
        while self._next.kind == "text" or (self._next.kind == "word" and not self._ends_parameters()):
            parameters.append(self._take().value)
        return parameters

    def _ends_parameters(self) -> bool:
        words = ("and", "or", "between", "in", "not", "matches", "where", "with", "labels")
        return any(self._is_word(word) for word in words)

    def _threshold(self) -> Condition:
        self._take()
        if not self._is_word("threshold"):
            raise DqdlError(f"'with {self._next.value}' is not evaluated by the local AWS: it knows 'with threshold'")
        self._take()
        condition = self._condition()
        if condition is None or condition.kind != "number":
            raise DqdlError("a threshold is a condition on a number, such as '> 0.9'")
        return condition

    def _condition(self) -> Condition | None:
        negated = self._is_word("not")
        if negated:
            self._take()
        if self._is_sign(*COMPARISONS) and not negated:
            operator = self._take().value
            operands = [self._operand()]
        elif self._is_word("between"):
            self._take()
            operator, operands = "between", [self._operand()]
            if not self._is_word("and"):
                raise DqdlError("between needs two values: 'between 1 and 2'")
            self._take()
            operands.append(self._operand())
        elif self._is_word("in"):
            self._take()
            operator, operands = "in", self._list()
        elif self._is_word("matches"):
            self._take()
            operator, operands = "matches", [Text(self._text("a regular expression in quotes"))]
        elif negated:
            raise self._unexpected("between, in or matches after not")
        else:
            return None
        operator = f"not {operator}" if negated else operator
        return Condition(_kind(operator, operands), operator, tuple(operands))

    def _list(self) -> list[Operand]:
        self._expect("[")
        operands = [self._operand()]
        while self._is_sign(","):
            self._take()
            operands.append(self._operand())
        self._expect("]")
        return operands

    def _operand(self) -> Operand:
        token = self._next
        if token.kind == "text":
            return _text_or_day(self._take().value)
        if token.kind == "word" and token.value in Keyword.__members__:
            return Keyword[self._take().value]
        if token.value == "now" or (token.value == "(" and self._tokens[self._at + 1].value == "now"):
            return self._now()
        if token.kind == "number" or self._is_sign("-"):
            return self._number_or_duration()
        if token.kind == "word" and self._tokens[self._at + 1].value == "(":
            raise DqdlError(f"'{token.value}(...)' is dynamic: dynamic rules are evaluated by Glue jobs only")
        if self._is_sign("$"):
            raise DqdlError("constants are not evaluated by the local AWS")
        raise self._unexpected("a number, a quoted text, a date, NULL, EMPTY or WHITESPACES_ONLY")

    def _number_or_duration(self) -> Number | Duration:
        sign = "-" if self._is_sign("-") else ""
        if sign:
            self._take()
        if self._next.kind != "number":
            raise self._unexpected("a number")
        text = self._take().value
        if self._is_sign("+", "-", "*", "/"):
            raise DqdlError("calculations are not evaluated by the local AWS: write the number")
        if self._next.value in ("days", "hours", "minutes"):
            if sign or "." in text:
                raise DqdlError(f"a duration is a whole number, not {sign}{text}")
            return Duration(int(text), self._take().value)
        return Number(sign + text)

    def _now(self) -> Date:
        bracketed = self._is_sign("(")
        if bracketed:
            self._take()
        for part in ("now", "(", ")"):
            self._expect(part)
        if not bracketed:
            return Date(None)
        if not self._is_sign("+", "-"):
            raise self._unexpected("+ or - after now()")
        sign: Literal["+", "-"] = "+" if self._take().value == "+" else "-"
        offset = self._number_or_duration()
        if not isinstance(offset, Duration):
            raise DqdlError("now() is moved by days, hours or minutes: '(now() - 3 days)'")
        self._expect(")")
        return Date(None, sign, offset)

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _text(self, wanted: str) -> str:
        if self._next.kind != "text":
            raise self._unexpected(wanted)
        return self._take().value

    def _expect(self, sign: str) -> None:
        if self._next.kind == "text" or self._next.value != sign:
            raise self._unexpected(f"'{sign}'")
        self._take()

    def _is_sign(self, *signs: str) -> bool:
        return self._next.kind == "sign" and self._next.value in signs

    def _is_word(self, word: str) -> bool:
        token = self._next
        return token.kind == "word" and (token.value == word or (word in _EITHER_CASE and token.value == word.upper()))

    def _unexpected(self, wanted: str) -> DqdlError:
        return DqdlError(f"line {self._next.line}: {self._next} stands where {wanted} is expected")


def _text_or_day(text: str) -> Text | Date:
    if not _DAY.fullmatch(text):
        return Text(text)
    try:
        date.fromisoformat(text)
    except ValueError:
        raise DqdlError(f'"{text}" is not a day of the calendar') from None
    return Date(text)


def _kind(operator: str, operands: list[Operand]) -> Kind:
    """Return what a condition compares; keywords fit any kind but durations."""
    kinds: dict[type, Kind] = {Number: "number", Text: "string", Date: "date", Duration: "duration"}
    found = {kinds[type(operand)] for operand in operands if not isinstance(operand, Keyword)}
    if len(found) > 1:
        raise DqdlError(f"the values of '{operator}' are of different kinds: {', '.join(sorted(found))}")
    kind: Kind = found.pop() if found else "string"
    keywords = {operand for operand in operands if isinstance(operand, Keyword)}
    if keywords and operator not in ("=", "!=", "in", "not in"):
        raise DqdlError(f"{next(iter(keywords))} can be compared with =, !=, in and not in only")
    if kind != "string" and keywords - {Keyword.NULL}:
        raise DqdlError(f"of the keywords only NULL stands among values that are {kind}s")
    if kind == "string" and operator not in ("=", "!=", "in", "not in", "matches", "not matches"):
        raise DqdlError(f"texts are compared with =, !=, in, not in, matches and not matches, not with {operator}")
    return kind


def _written(token: Token) -> str:
    return f'"{token.value}"' if token.kind == "text" else token.value
