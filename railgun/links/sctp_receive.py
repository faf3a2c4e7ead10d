"""What has arrived and what is missing: the receiving half of an SCTP association.

Owns: duplicate and gap tracking, putting messages together, the fields of an acknowledgement.
Must not know: packets, encryption, timers, data channels, what a message says.
Spec: RFC 9260 section 6, RFC 3758. Pure.

All messages are delivered as soon as they are whole: both of a link's channels are unordered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from railgun.errors import MalformedInput
from railgun.limits import CHUNKS_AHEAD_MAX, MESSAGE_BYTES_MAX, RECEIVE_BYTES_MAX
from railgun.links.sctp_send import FLAG_FIRST, FLAG_LAST

PARTS_SLACK: Final = 64
PIECES_MAX: Final = 64
"""Chunks of one message. An honest sender fills them and needs about 15; looking for a message's ends costs this much
a chunk.
"""
GAPS_MAX: Final = 128
DUPLICATES_MAX: Final = 16
_TSN_MASK: Final = 0xFFFF_FFFF
_HALF: Final = 0x8000_0000
_WHOLE: Final = FLAG_FIRST | FLAG_LAST


@dataclass(slots=True)
class ReceiveWindow:
    """Sequence numbers and unfinished messages of one association; ``last_tsn`` is the last without a gap."""

    last_tsn: int
    _ahead: set[int] = field(default_factory=set)
    _duplicates: list[int] = field(default_factory=list)
    _run: list[bytes] = field(default_factory=list)
    _run_bytes: int = 0
    _run_first: int = 0
    _parts: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    _parts_bytes: int = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of unfinished messages."""
        return self._run_bytes + self._parts_bytes

    @property
    def disturbed(self) -> bool:
        """Something is missing or came twice: the sender should hear at once."""
        return bool(self._ahead or self._duplicates)

    def chunk(self, tsn: int, flags: int, stream_id: int, payload: bytes) -> tuple[int, bytes] | None:
        """Take in one DATA chunk; the message that it completes as (stream id, bytes), if any.

        Raises:
            MalformedInput: a chunk is empty, a message grows beyond MESSAGE_BYTES_MAX, or too many stay unfinished.
        """
        if not payload:
            raise MalformedInput("empty chunk")
        if tsn == (self.last_tsn + 1) & _TSN_MASK and not self._ahead:
            self.last_tsn = tsn
        elif not self._mark(tsn, len(payload)):
            return None
        flags &= _WHOLE
        if flags == _WHOLE:
            return stream_id, payload
        if self._parts:
            return self._out_of_order(tsn, flags, stream_id, payload)
        if flags & FLAG_FIRST and not self._run:
            self._run.append(payload)
            self._run_bytes, self._run_first = len(payload), tsn
            return None
        if self._run and not flags & FLAG_FIRST and tsn == (self._run_first + len(self._run)) & _TSN_MASK:
            self._run.append(payload)
            self._run_bytes += len(payload)
            if self._run_bytes > MESSAGE_BYTES_MAX or len(self._run) > PIECES_MAX:
                raise MalformedInput("message too long")
            if flags & FLAG_LAST:
                message = b"".join(self._run)
                self._run, self._run_bytes = [], 0
                return stream_id, message
            return None
        return self._out_of_order(tsn, flags, stream_id, payload)

    def forward(self, cumulative: int) -> None:
        """The sender gave up everything to ``cumulative`` that has not come (FORWARD-TSN)."""
        step = (cumulative - self.last_tsn) & _TSN_MASK
        if not 0 < step <= CHUNKS_AHEAD_MAX:
            return
        self._spill()
        self.last_tsn = cumulative
        self._ahead = {tsn for tsn in self._ahead if 0 < (tsn - cumulative) & _TSN_MASK < _HALF}
        for tsn in [tsn for tsn in self._parts if (cumulative - tsn) & _TSN_MASK < _HALF]:
            self._parts_bytes -= len(self._parts.pop(tsn)[2])
        self._advance()

    def acknowledgement(self) -> tuple[int, int, list[tuple[int, int]], list[int]]:
        """(cumulative number, window in bytes, gap blocks, duplicates) of a SACK; duplicates are forgotten."""
        gaps: list[tuple[int, int]] = []
        if self._ahead:
            first = last = 0
            for offset in sorted((tsn - self.last_tsn) & _TSN_MASK for tsn in self._ahead):
                if offset == last + 1 and last:
                    last = offset
                    continue
                if last:
                    gaps.append((first, last))
                first = last = offset
            gaps.append((first, last))
        duplicates, self._duplicates = self._duplicates, []
        return self.last_tsn, max(0, RECEIVE_BYTES_MAX - self.held_bytes), gaps[:GAPS_MAX], duplicates

    # --- inside ---------------------------------------------------------------------------------

    def _mark(self, tsn: int, size: int) -> bool:
        """Record a chunk that is not simply the next one; False for a duplicate or one that finds no room."""
        ahead = (tsn - self.last_tsn) & _TSN_MASK
        if ahead == 0 or ahead >= _HALF or tsn in self._ahead:
            if len(self._duplicates) < DUPLICATES_MAX:
                self._duplicates.append(tsn)
            return False
        if ahead > CHUNKS_AHEAD_MAX or (ahead > 1 and self.held_bytes + size > RECEIVE_BYTES_MAX):
            return False  # not acknowledged, so it comes again
        self._ahead.add(tsn)
        self._advance()
        return True

    def _advance(self) -> None:
        following = (self.last_tsn + 1) & _TSN_MASK
        while following in self._ahead:
            self._ahead.discard(following)
            self.last_tsn = following
            following = (following + 1) & _TSN_MASK

    def _spill(self) -> None:
        """Move the message that was growing in order to where chunks wait in any order."""
        for index, payload in enumerate(self._run):
            tsn = (self._run_first + index) & _TSN_MASK
            self._parts[tsn] = (FLAG_FIRST if index == 0 else 0, -1, payload)
        self._parts_bytes += self._run_bytes
        self._run, self._run_bytes = [], 0

    def _out_of_order(self, tsn: int, flags: int, stream_id: int, payload: bytes) -> tuple[int, bytes] | None:
        self._spill()
        self._parts[tsn] = (flags, stream_id, payload)
        self._parts_bytes += len(payload)
        # An honest sender keeps to the window; what arrives in order is not checked against it before.
        too_large = self._parts_bytes > RECEIVE_BYTES_MAX + MESSAGE_BYTES_MAX
        if too_large or len(self._parts) > CHUNKS_AHEAD_MAX + PARTS_SLACK:
            raise MalformedInput("too many unfinished messages")
        first = tsn
        size = len(payload)
        pieces = 1
        while not self._parts[first][0] & FLAG_FIRST:
            first = (first - 1) & _TSN_MASK
            part = self._parts.get(first)
            if part is None or part[0] & FLAG_LAST:
                return None
            size += len(part[2])
            pieces += 1
            if size > MESSAGE_BYTES_MAX or pieces > PIECES_MAX:
                raise MalformedInput("message too long")
        last = tsn
        while not self._parts[last][0] & FLAG_LAST:
            last = (last + 1) & _TSN_MASK
            part = self._parts.get(last)
            if part is None or part[0] & FLAG_FIRST:
                return None
            size += len(part[2])
            pieces += 1
            if size > MESSAGE_BYTES_MAX or pieces > PIECES_MAX:
                raise MalformedInput("message too long")
        count = ((last - first) & _TSN_MASK) + 1
        parts = [self._parts.pop((first + index) & _TSN_MASK) for index in range(count)]
        self._parts_bytes -= size
        return stream_id, b"".join(part[2] for part in parts)
