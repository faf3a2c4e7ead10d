"""What is printed: one object, nothing that steers a terminal."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.cli.output import Json, Printer, listing, one_line, paragraph, shown, table

HOSTILE = "a\x1b[31mred\x07\x9b2J\r\nfake: hello\u202eevil\u2066\x00\udc80"


def printer(*, as_json: bool) -> tuple[Printer, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Printer(as_json=as_json, stdout=out, stderr=err), out, err


def test_control_characters_are_spelt_out() -> None:
    assert one_line("\x1b]0;owned\x07") == "\\x1b]0;owned\\x07"
    assert one_line("a\nb\r\u202e") == "a\\nb\\r\\u202e"
    assert one_line("\x9b31m\x7f") == "\\x9b31m\\x7f"
    for harmless in ("Grüße 漢字", "👩\u200d🔬", "\u0645\u06cc\u200c\u062e"):
        assert one_line(harmless) == harmless


def test_a_paragraph_keeps_its_lines_and_none_poses_as_anothers() -> None:
    assert paragraph("one\ntwo\x1b[2J") == "one\n    two\\x1b[2J"


@given(st.text())
def test_nothing_that_a_terminal_obeys_gets_through(text: str) -> None:
    for escaped in (one_line(text), *paragraph(text).split("\n")):
        assert all(c.isprintable() or c in "\u200c\u200d" for c in escaped)
    assert "\n" not in one_line(text)


@given(st.text())
def test_every_way_out_escapes(text: str) -> None:
    page, out, err = printer(as_json=False)
    page.tell(text)
    page.note(text)
    page.result({"field": text})
    for stream in (out, err):
        assert all(c.isprintable() or c in "\u200c\u200d\n" for c in stream.getvalue())


def test_with_json_standard_output_holds_the_object_alone() -> None:
    page, out, err = printer(as_json=True)
    page.tell("for people")
    page.note("a warning")
    page.result({"text": HOSTILE, "nothing": None, "many": [1, 2.5]}, "for people too")
    assert err.getvalue() == "for people\na warning\n"
    assert json.loads(out.getvalue()) == {"text": HOSTILE, "nothing": None, "many": [1, 2.5]}
    assert out.getvalue().isascii()
    assert out.getvalue().count("\n") == 1


def test_there_is_one_result_and_no_more() -> None:
    page, _, _ = printer(as_json=True)
    page.result({})
    with pytest.raises(RuntimeError):
        page.result({})


def test_what_is_no_number_is_no_json() -> None:
    page, _, _ = printer(as_json=True)
    with pytest.raises(ValueError, match="JSON"):
        page.result({"latency": float("nan")})


def test_values_for_people() -> None:
    values: list[Json] = [None, True, 0, 1.23456, [], {"p50": 1.0, "p95": None}]
    assert [shown(value) for value in values] == ["-", "yes", "0", "1.235", "-", "p50 1, p95 -"]
    assert listing({"a": 1, "long_name": None}) == "a          1\nlong name  -"
    assert table(["rank", "node"], [[1, "ab"], [10, "c"]]) == "rank  node\n1     ab\n10    c"
