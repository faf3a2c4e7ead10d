"""``railgun-signaling serve`` that writes down, when told by SIGUSR1, everything that it holds.

Must not know: what is looked for. Run as a program; RAILGUN_WITNESS_FILE names the file.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

from railgun_signaling.cli import main


def held() -> bytes:
    """Every byte string, text and large number that any object of this process leads to, a line each."""
    gc.collect()
    seen: set[int] = set()
    waiting: list[object] = list(gc.get_objects())
    lines: list[bytes] = []
    while waiting:
        one = waiting.pop()
        if id(one) in seen or one is seen or one is waiting or one is lines:
            continue
        seen.add(id(one))
        if isinstance(one, (bytes, bytearray, memoryview)):
            lines.append(bytes(one))
        elif isinstance(one, str):
            lines.append(one.encode(errors="replace"))
        elif isinstance(one, int):
            lines.append(str(int(one)).encode())
        else:
            waiting.extend(gc.get_referents(one))
    return b"\n".join(lines)


def write(number: int, frame: object) -> None:
    """Write it down; the file appears at once and whole."""
    path = Path(os.environ["RAILGUN_WITNESS_FILE"])
    part = path.with_suffix(".part")
    part.write_bytes(held())
    part.rename(path)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, write)
    sys.exit(main())
