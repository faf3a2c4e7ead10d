"""A readable account of one seed's run.

Owns: which of a run's records people want to read, and how each is written. Must not know: what any of it means.
"""

from __future__ import annotations

from typing import Final, TextIO

DULL: Final = frozenset({
    "Pulse", "Pulse received", "SetTimer", "TimerFired", "TurnEnded", "ClockRead", "Digest", "Digest received",
    "DirectoryRanges", "DirectoryRanges received", "DirectoryIds", "DirectoryIds received", "SeatExchange",
    "SeatExchange received", "MessagePrepared", "MessageReceived", "MessageReceipted",
    "CommitteeJoined", "EpochOpened",
})  # fmt: skip
"""Kinds of record that are too many to read, or that the scenario tells in better words."""


class Timeline:
    """Writes one line a happening; implements `railgun.ports.Trace` for the world's own records."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def record(self, virtual_seconds: float, node: str, kind: str, message_number: int | None) -> None:
        """One of the world's records; ``message_number`` there is a frame's serial number."""
        if kind not in DULL:
            self._write(virtual_seconds, node, f"  {kind} {message_number or ''}")

    def tell(self, virtual_seconds: float, who: str, what: str) -> None:
        """Something that the scenario knows."""
        self._write(virtual_seconds, who, what)

    def _write(self, at: float, who: str, what: str) -> None:
        self._stream.write(f"{at:10.3f} s  {who:<10}  {what}".rstrip() + "\n")
