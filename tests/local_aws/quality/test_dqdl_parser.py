"""What rulesets in DQDL mean, and which are refused."""

from __future__ import annotations

import pytest

from local_aws.glue.quality.parser import parse_ruleset
from local_aws.glue.quality.rules import Composite, Date, Duration, Keyword, Number, Rule, Text
from local_aws.glue.quality.tokens import DqdlError


def rule(text: str) -> Rule:
    (parsed,) = parse_ruleset(f"Rules = [ {text} ]")
    assert isinstance(parsed, Rule)
    return parsed


def test_ruleset_is_a_list_of_rules_with_comments() -> None:
    parsed = parse_ruleset(
        """
        # the dataset's own
        Rules = [
            RowCount between 500 and 2000, # a day's flights
            IsComplete "flight # number",
            Uniqueness flight_number "route" = 1.0
        ]
        """
    )
    assert [str(each) for each in parsed] == [
        "RowCount between 500 and 2000",
        'IsComplete "flight # number"',
        'Uniqueness "flight_number" "route" = 1.0',
    ]


@pytest.mark.parametrize(
    ("text", "operator", "operands"),
    [
        ('ColumnValues "x" = 1', "=", (Number("1"),)),
        ('ColumnValues "x" != -1.5', "!=", (Number("-1.5"),)),
        ('ColumnValues "x" not between - 1 and 2', "not between", (Number("-1"), Number("2"))),
        ('ColumnValues "x" in [1, 2.5]', "in", (Number("1"), Number("2.5"))),
        ('ColumnValues "x" NOT IN ["a", NULL, EMPTY, WHITESPACES_ONLY]', "not in", (Text("a"), *Keyword)),
        ('ColumnValues "x" = NULL', "=", (Keyword.NULL,)),
        ('ColumnValues "x" matches "a\\"b\\d+"', "matches", (Text('a"b\\d+'),)),
        ('ColumnValues "x" not matches "a"', "not matches", (Text("a"),)),
        ('ColumnValues "x" > "2013-07-04"', ">", (Date("2013-07-04"),)),
        ('ColumnValues "x" <= now()', "<=", (Date(None),)),
        ('ColumnValues "x" > (now() - 3 days)', ">", (Date(None, "-", Duration(3, "days")),)),
        ('DataFreshness "x" between 2 days and 48 hours', "between", (Duration(2, "days"), Duration(48, "hours"))),
    ],
)
def test_conditions_hold_their_operator_and_operands(text: str, operator: str, operands: tuple[object, ...]) -> None:
    condition = rule(text).condition
    assert condition is not None
    assert (condition.operator, condition.operands) == (operator, operands)
    assert rule(str(rule(text))) == rule(text)


def test_filter_and_threshold_follow_the_condition() -> None:
    parsed = rule('ColumnValues "x" in ["a"] where "y > 1 and z = \'b\'" with threshold >= 0.9')
    assert parsed.where == "y > 1 and z = 'b'"
    assert str(parsed.threshold) == ">= 0.9"


def test_and_binds_closer_than_or_and_parentheses_bind_closest() -> None:
    text = '(RowCount > 0) or (IsComplete "a") and (IsUnique "a")'
    (parsed,) = parse_ruleset(f"Rules = [{text}]")
    assert isinstance(parsed, Composite)
    assert parsed.operator == "or"
    assert [type(part) for part in parsed.rules] == [Rule, Composite]
    (grouped,) = parse_ruleset('Rules = [((RowCount > 0) OR (IsComplete "a")) AND (IsUnique "a")]')
    assert isinstance(grouped, Composite)
    assert grouped.operator == "and"
    assert str(grouped) == '((RowCount > 0) or (IsComplete "a")) and (IsUnique "a")'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "isn't 'Rules = "),
        ("rules = [RowCount > 1]", "'rules' isn't 'Rules = "),
        ("Analyzers = [RowCount]", "'Analyzers' are not evaluated"),
        ("Rules = []", "Rules is empty"),
        ("Rules = [RowCount > 1", "the end of the text stands where a comma"),
        ("Rules = [RowCount > 1,]", "']' stands where the type of a rule"),
        ("Rules = [RowCount > 1] Analyzers = [RowCount]", "the section Rules only"),
        ("Rules = [RowCount > 1\n RowCount < 5]", "line 1: rule RowCount > 1: 'RowCount' stands where a comma"),
        ('Rules = [\n\nIsComplete "x]', "line 3: '\"x]' can't be read: the quoted text has no end"),
        ('Rules = [\nRowCount > 1,\nEntropy "x" > 1]', "line 3: rule Entropy: .* no rules of the type Entropy"),
        ("Rules = [Entropy]", "it evaluates ColumnCount, ColumnDataType"),
        ('Rules = [IsComplete "x" "y"]', "IsComplete takes 1 parameters, not 2"),
        ("Rules = [Uniqueness > 0.9]", "Uniqueness takes 1 or more parameters, not 0"),
        ('Rules = [Completeness "x"]', "Completeness needs a condition on a number"),
        ('Rules = [Completeness "x" = "a"]', "takes a condition on a number, not '= \"a\"'"),
        ('Rules = [IsComplete "x" > 1]', "IsComplete takes no condition"),
        ("Rules = [RowCount > 24 hours]", "takes a condition on a number"),
        ('Rules = [DataFreshness "x" < 24]', "takes a condition on a duration"),
        ('Rules = [ColumnValues "x" in [1, "a"]]', "different kinds: number, string"),
        ('Rules = [ColumnValues "x" > "abc"]', "texts are compared with"),
        ('Rules = [ColumnValues "x" > NULL]', "NULL can be compared with"),
        ('Rules = [ColumnValues "x" in [1, EMPTY]]', "only NULL stands among values that are numbers"),
        ('Rules = [ColumnValues "x" = "2013-02-30"]', "not a day of the calendar"),
        ('Rules = [ColumnValues "x" between 1]', "between needs two values"),
        ('Rules = [Completeness "x" > 0.9 with threshold > 0.5]', "Completeness takes no threshold"),
        ('Rules = [ColumnValues "x" > 1 with tag = "a"]', "'with tag' is not evaluated"),
        ('Rules = [ColumnExists "x" where "y > 1"]', "ColumnExists takes no where clause"),
        ('Rules = [ColumnDataType "x" = "DECIMAL"]', "doesn't know the type 'DECIMAL'"),
        ('Rules = [ReferentialIntegrity "x" "other" = 1.0]', 'needs "alias.{column}"'),
        ('Rules = [ReferentialIntegrity "x,y" "other.{z}" = 1.0]', "compares 2 columns with 1 columns"),
        ("Rules = [RowCount > avg(last(5))]", "'avg\\(...\\)' is dynamic"),
        ("Rules = [RowCount > 5 * 2]", "calculations are not evaluated"),
        ('Rules = [ColumnValues "x" in $countries]', "'\\$' stands where '\\['"),
        ('Rules = [RowCount > 1 labels=["a"="b"]]', "labels of rules are not kept"),
        ('Rules = [IsComplete "x" and IsUnique "x"]', "joined by and stand in parentheses"),
        ("Rules = [RowCount > 1e3]", "can't be read"),
        ('Rules = [RowCount > 1 "," RowCount > 2]', "where a comma, or the end"),
    ],
)
def test_what_is_not_evaluated_is_refused_with_line_and_reason(text: str, reason: str) -> None:
    with pytest.raises(DqdlError, match=reason):
        parse_ruleset(text)
    with pytest.raises(DqdlError, match=r"line [1-9]"):
        parse_ruleset(text)
