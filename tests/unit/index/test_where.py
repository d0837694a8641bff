"""The grammar of conditions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.errors import UsageError
from labse.index.rows import IndexRow
from labse.index.where import matches, parse_where

ROW = IndexRow("a1", "text", "deu", {"year": 2020, "site": "wiki", "x y": 1.5, "ok": True})


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ("year >= 2020", True),
        ("year>2020", False),
        ("year = 2020.0 AND NOT site != wiki", True),
        ("site in ('wiki', news) and lang in (de, French)", True),
        ("site not in (wiki)", False),
        ("year = '2020'", True),
        ('"x y" < 1.6 and ok = true', True),
        ("ok = 1", False),
        ("city is null and year is not null", True),
        ("city != Rome", True),
        ("year = 1 or year = 2 or id = a1", True),
        ("year = 2020 or year = 1 and year = 2", True),
        ("(year = 2020 or year = 1) and year = 2", False),
        ("site = 'it''s' or text = \"text\"", True),
        ("year < -1e3", False),
    ],
)
def test_a_condition_is_true_for_a_row(condition: str, is_true: bool) -> None:
    assert matches(parse_where(condition), ROW) is is_true


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "the name of a column"),
        ("year", "a comparison of year"),
        ("year >= ", "expected a value, found 'the end'"),
        ("year >= abc", "compares numbers"),
        ("year >= 1 year", "expected and, or"),
        ("(year = 1", r"expected \)"),
        ("site in ()", "expected a value"),
        ("site in (a b)", "expected , or"),
        ("site = 'open", "cannot be read"),
        ("year = 1; drop table rows", "cannot be read at '; drop"),
        ("year is 3", "expected null"),
        ("year = 1e999", "out of range"),
        ("not " * 60 + "year = 1", "more than 50 levels"),
        ("(" * 5000 + "year = 1", "more than 50 levels"),
        ("x" * 10_001, "10,000 at most"),
    ],
)
def test_what_is_no_condition_says_where(condition: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_where(condition)


@given(st.text(alphabet="ab1'\"().,<=>! \\-n\x00é", max_size=30))
def test_any_text_is_a_condition_or_a_usage_error(text: str) -> None:
    try:
        where = parse_where(text)
    except UsageError:
        return
    assert matches(where, ROW) in (True, False)
