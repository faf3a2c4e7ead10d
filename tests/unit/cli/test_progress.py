"""How far something has come, in words and bars."""

from __future__ import annotations

import io

from railgun.cli.progress import ProgressLine, bar, percent, size_text


def test_bars_and_sizes() -> None:
    assert [size_text(size) for size in (0, 1, 999, 1_400_000, 3 * 10**9)] == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "1.4 MB",
        "3.0 GB",
    ]
    assert bar(25, 100) == "[#####...............] 25 % of 100 bytes"
    assert percent(999_999, 1_000_000) == 99, "100 only when all is done"
    assert percent(0, 0) == 100


def test_without_a_terminal_each_quarter_is_a_line() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for done in (0, 10, 30, 40, 100, 100):
        line.show(done, 100)
    line.end()
    assert [text.split("] ")[1] for text in stream.getvalue().splitlines()] == [
        "0 % of 100 bytes",
        "30 % of 100 bytes",
        "100 % of 100 bytes",
    ]


def test_on_a_terminal_one_line_is_drawn_anew() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    line = ProgressLine(stream)
    for done in (0, 50, 100):
        line.show(done, 100)
    line.end()
    assert stream.getvalue().count("\r") == 3
    assert stream.getvalue().count("\n") == 1
