"""Draws docs/images/demo.svg: the last picture of a real demo, as a terminal shows it.

Owns: running a short demo and making the drawing self-contained. Must not know: how the demo runs or counts.
Usage: `.venv/bin/python tools/demo_image.py`; the options of the run are written above the picture.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from railgun.runtime.demo.display import render, summary
from railgun.runtime.demo.options import DemoOptions
from railgun.runtime.demo.run import Progress, run_demo

IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "demo.svg"
COLUMNS = 116
OPTIONS = DemoOptions(messages=20, duration_seconds=45)
COMMAND = "$ railgun demo --messages 20 --duration-seconds 45"
FONT_FACE = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def without_fonts(drawing: str) -> str:
    """The drawing without fonts from elsewhere: readers of a README fetch nothing by looking at it."""
    return COMMENT.sub("", FONT_FACE.sub("", drawing)).replace("Fira Code", "ui-monospace")


def main() -> int:
    last = Progress()

    def keep(progress: Progress) -> None:
        nonlocal last
        last = progress

    result = asyncio.run(run_demo(OPTIONS, keep))
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(COMMAND, style="bold", highlight=False)
        console.print()
        console.print(render(last))
        console.print()
        console.print(summary(result), highlight=False)
        drawing = console.export_svg(title="make demo", theme=MONOKAI)
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    # One trailing newline, no trailing blanks: the file is under version control.
    lines = (line.rstrip() for line in without_fonts(drawing).splitlines())
    IMAGE.write_text("\n".join(lines).strip() + "\n", encoding="utf-8")
    print(summary(result), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
