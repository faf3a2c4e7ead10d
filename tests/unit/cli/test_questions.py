"""Questions on a terminal: what was typed before one was asked is no answer to it."""

from __future__ import annotations

import asyncio
import io
import os
import tty
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from railgun.cli.output import Printer
from railgun.cli.questions import read_answer

if TYPE_CHECKING:
    from railgun.cli.context import Context


async def test_what_was_typed_before_the_question_is_no_answer() -> None:
    far, near = os.openpty()
    tty.setraw(far)  # no echo; the near side keeps its lines
    shown = io.StringIO()
    with os.fdopen(near, "r", encoding="utf-8") as stdin:
        try:
            context = SimpleNamespace(stdin=stdin, printer=Printer(as_json=False, stdout=shown, stderr=shown))
            os.write(far, b"yes\n")
            asking = asyncio.ensure_future(read_answer(cast("Context", context), "The same numbers?"))
            await asyncio.sleep(0)
            assert "The same numbers?" in shown.getvalue()
            os.write(far, b"No\n")
            assert await asking == "no"
        finally:
            os.close(far)


async def test_a_pipe_answers_as_it_did() -> None:
    shown = io.StringIO()
    context = SimpleNamespace(stdin=io.StringIO("YES \n"), printer=Printer(as_json=False, stdout=shown, stderr=shown))
    assert await read_answer(cast("Context", context), "The same numbers?") == "yes"
