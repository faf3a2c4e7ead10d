"""Lines for a terminal: none too wide, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from railgun.cli.chat.wrapping import COLUMNS_MIN, wrap
from railgun.cli.output import paragraph

TEXTS = st.text(st.sampled_from("ab 漢👍e\u0301\n\u200d-"), max_size=80)


@given(TEXTS.map(paragraph), st.integers(0, 90))
def test_no_line_is_wider_than_the_terminal_and_no_letter_is_lost(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert all(get_cwidth(line) <= max(columns, COLUMNS_MIN) for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two three", ["one two", "    three"]),
        ("one\ntwo", ["one", "two"]),
        ("abcdefghijklmnop", ["abcdefghi", "    jklmn", "    op"]),
        ("漢漢漢漢漢漢", ["漢漢漢漢", "    漢漢"]),
    ],
)
def test_lines_break_at_blanks_where_there_are_some(text: str, lines: list[str]) -> None:
    assert wrap(text, 9) == lines
