"""What has been sent and not yet acknowledged: the sending half of an SCTP association.

Owns: cutting messages into chunks, the congestion window, retransmission, giving up unreliable chunks.
Must not know: packets, encryption, timers (it says when one is due), data channels.
Spec: RFC 9260 sections 6 and 7, RFC 3758. Pure: time is passed in.

It replaces aiortc's, which costs several times as much a packet, ignores the receiver's window, does not back
off its timer, and expands gap reports without a bound.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from railgun.limits import FLIGHT_BYTES_MAX, PULSES_WAITING_MAX

CHUNK_BYTES: Final = 1_160
"""User data of one chunk: with all headers it fits the smallest IPv6 path (1,280 bytes)."""
WINDOW_BYTES_FIRST: Final = 10 * CHUNK_BYTES
BURST_BYTES: Final = 16 * CHUNK_BYTES
"""Most new bytes at one go, or twice what was just acknowledged if that is more. Acknowledgements come once a batch,
not once a packet: a fixed burst would hold the whole flow to one burst a round trip."""
TIMEOUT_SECONDS_FIRST: Final = 0.5
TIMEOUT_SECONDS_MIN: Final = 0.4
TIMEOUT_SECONDS_MAX: Final = 10.0
_MISSES_BEFORE_RESEND: Final = 3
_TSN_MASK: Final = 0xFFFF_FFFF
_HALF: Final = 0x8000_0000

FLAG_LAST: Final = 1
FLAG_FIRST: Final = 2
FLAG_UNORDERED: Final = 4


@dataclass(slots=True, eq=False)
class OutboundChunk:
    """One DATA chunk; ``payload`` is 1 to CHUNK_BYTES bytes."""

    tsn: int
    flags: int
    stream_id: int
    payload: bytes
    reliable: bool
    sent_at: float = 0.0
    sent_count: int = 0
    misses: int = 0
    acknowledged: bool = False
    lost: bool = False
    abandoned: bool = False


@dataclass(slots=True)
class SendWindow:
    """Queue, window and retransmission of one association.

    Attributes:
        next_tsn: the number of the next chunk.
        queued_bytes: bytes not yet handed out by `take`.
        flight_bytes: bytes handed out and neither acknowledged nor given up.
        forward_tsn: a cumulative number to announce, since chunks up to it were given up; None for none.
        timeout_seconds: the retransmission timeout as measured and backed off.
    """

    next_tsn: int
    queued_bytes: int = 0
    flight_bytes: int = 0
    forward_tsn: int | None = None
    timeout_seconds: float = TIMEOUT_SECONDS_FIRST
    progress: int = 0
    """Bytes acknowledged so far: a peer that takes nothing leaves it unchanged."""
    _messages: deque[tuple[int, bytes]] = field(default_factory=deque)
    _unreliable: deque[tuple[int, bytes]] = field(default_factory=deque)
    _ready: deque[OutboundChunk] = field(default_factory=deque)
    _sent: deque[OutboundChunk] = field(default_factory=deque)
    _window: int = WINDOW_BYTES_FIRST
    _burst: int = BURST_BYTES
    _threshold: int = FLIGHT_BYTES_MAX
    _partial: int = 0
    _peer_window: int = FLIGHT_BYTES_MAX
    _recovery_until: int | None = None
    _lost_count: int = 0
    _smoothed: float | None = None
    _variation: float = 0.0
    _acked_tsn: int = 0

    def __post_init__(self) -> None:
        self._acked_tsn = (self.next_tsn - 1) & _TSN_MASK

    @property
    def idle(self) -> bool:
        """Nothing queued and nothing unacknowledged."""
        return not (self._sent or self._ready or self._messages or self._unreliable)

    @property
    def in_flight(self) -> bool:
        """Whether the retransmission timer has to run."""
        return bool(self._sent)

    def queue(self, stream_id: int, message: bytes) -> None:
        """Queue a reliable, unordered message (not empty)."""
        self._messages.append((stream_id, message))
        self.queued_bytes += len(message)

    def queue_unreliable(self, stream_id: int, message: bytes) -> bool:
        """Queue a message that is sent once, ahead of all queued reliable ones; False when dropped."""
        if len(self._unreliable) >= PULSES_WAITING_MAX or len(message) > CHUNK_BYTES:
            return False
        self._unreliable.append((stream_id, message))
        self.queued_bytes += len(message)
        return True

    def take(self, now: float) -> list[OutboundChunk]:
        """The chunks to send now: what was lost first, then new ones as the window allows."""
        allowed = min(self.flight_bytes + self._burst, self._window, max(self._peer_window, CHUNK_BYTES))
        self._burst = BURST_BYTES
        chunks: list[OutboundChunk] = []
        if self._lost_count:
            for chunk in self._sent:
                if chunk.lost:
                    if self.flight_bytes >= allowed:
                        return chunks
                    chunk.lost = False
                    chunk.misses = 0
                    self._lost_count -= 1
                    self._launch(chunk, now)
                    chunks.append(chunk)
                    if not self._lost_count:
                        break
        while self.flight_bytes < allowed:
            if not self._ready and not self._cut_next():
                break
            chunk = self._ready.popleft()
            self._sent.append(chunk)
            self.queued_bytes -= len(chunk.payload)
            self._launch(chunk, now)
            chunks.append(chunk)
        return chunks

    def acknowledge(self, cumulative: int, peer_window: int, gaps: list[tuple[int, int]], now: float) -> bool:
        """Take in a SACK; ``gaps`` are offsets from ``cumulative``, ascending. False where it is stale or impossible.

        An acknowledgement of what was never sent is ignored.
        """
        advance = (cumulative - self._acked_tsn) & _TSN_MASK
        if advance >= _HALF or advance > len(self._sent):
            return False
        window_was_full = self.flight_bytes + CHUNK_BYTES > self._window
        self._acked_tsn = cumulative
        done_bytes = 0
        newest_sent_at: float | None = None
        for _ in range(advance):
            chunk = self._sent.popleft()
            if not chunk.acknowledged and not chunk.abandoned:
                done_bytes += self._land(chunk)
                if chunk.sent_count == 1:
                    newest_sent_at = chunk.sent_at
        if newest_sent_at is not None:
            self._measure(now - newest_sent_at)
        lost = False
        if gaps and self._sent:
            gap_bytes, lost = self._apply_gaps(cumulative, gaps)
            done_bytes += gap_bytes
        self.progress += done_bytes
        self._burst = max(BURST_BYTES, 2 * done_bytes)
        self._adjust(cumulative, done_bytes if advance else 0, window_was_full, lost)
        self._peer_window = peer_window
        self._skip_abandoned()
        return True

    def timed_out(self) -> None:
        """The retransmission timer ran out: everything unacknowledged is lost, and the window starts small."""
        for chunk in self._sent:
            if not (chunk.acknowledged or chunk.lost or chunk.abandoned):
                self.flight_bytes -= len(chunk.payload)
                self._lose(chunk)
        self._recovery_until = None
        self._partial = 0
        self._threshold = max(self._window // 2, 4 * CHUNK_BYTES)
        self._window = CHUNK_BYTES
        self.timeout_seconds = min(self.timeout_seconds * 2, TIMEOUT_SECONDS_MAX)
        self._skip_abandoned()

    # --- inside ---------------------------------------------------------------------------------

    def _cut_next(self) -> bool:
        """Number the chunks of the next message; a message's numbers are consecutive."""
        if self._unreliable:
            stream_id, message = self._unreliable.popleft()
            reliable = False
        elif self._messages:
            stream_id, message = self._messages.popleft()
            reliable = True
        else:
            return False
        total = len(message)
        for start in range(0, total, CHUNK_BYTES):
            flags = FLAG_UNORDERED
            if start == 0:
                flags |= FLAG_FIRST
            if start + CHUNK_BYTES >= total:
                flags |= FLAG_LAST
            payload = message[start : start + CHUNK_BYTES]
            self._ready.append(OutboundChunk(self.next_tsn, flags, stream_id, payload, reliable))
            self.next_tsn = (self.next_tsn + 1) & _TSN_MASK
        return True

    def _launch(self, chunk: OutboundChunk, now: float) -> None:
        chunk.sent_at = now
        chunk.sent_count += 1
        self.flight_bytes += len(chunk.payload)

    def _land(self, chunk: OutboundChunk) -> int:
        """Stop counting an acknowledged chunk; its bytes."""
        size = len(chunk.payload)
        if chunk.lost:
            chunk.lost = False
            self._lost_count -= 1
        else:
            self.flight_bytes -= size
        chunk.acknowledged = True
        return size

    def _lose(self, chunk: OutboundChunk) -> None:
        if chunk.reliable:
            chunk.lost = True
            self._lost_count += 1
        else:
            chunk.abandoned = True

    def _apply_gaps(self, cumulative: int, gaps: list[tuple[int, int]]) -> tuple[int, bool]:
        """Mark what the gap blocks report; (bytes newly acknowledged, whether something counts as lost)."""
        done_bytes = 0
        highest_new = 0
        block = 0
        offsets = [((chunk.tsn - cumulative) & _TSN_MASK, chunk) for chunk in self._sent]
        reported: list[bool] = []
        for offset, chunk in offsets:
            while block < len(gaps) and gaps[block][1] < offset:
                block += 1
            inside = block < len(gaps) and gaps[block][0] <= offset
            reported.append(inside)
            if inside and not chunk.acknowledged and not chunk.abandoned:
                done_bytes += self._land(chunk)
                highest_new = offset
        lost = False
        for (offset, chunk), inside in zip(offsets, reported, strict=True):
            if offset > highest_new:
                break
            if inside or chunk.acknowledged or chunk.lost or chunk.abandoned:
                continue
            chunk.misses += 1
            if chunk.misses >= _MISSES_BEFORE_RESEND:
                self.flight_bytes -= len(chunk.payload)
                self._lose(chunk)
                lost = True
        return done_bytes, lost

    def _adjust(self, cumulative: int, done_bytes: int, window_was_full: bool, lost: bool) -> None:
        """Slow start, congestion avoidance and fast recovery (RFC 9260 section 7.2)."""
        if self._recovery_until is not None:
            if (cumulative - self._recovery_until) & _TSN_MASK < _HALF:
                self._recovery_until = None
            return
        if done_bytes and window_was_full:
            if self._window <= self._threshold:
                self._window += done_bytes
            else:
                self._partial += done_bytes
                if self._partial >= self._window:
                    self._partial -= self._window
                    self._window += CHUNK_BYTES
            self._window = min(self._window, FLIGHT_BYTES_MAX)
        if lost:
            self._threshold = max(self._window // 2, 4 * CHUNK_BYTES)
            self._window = self._threshold
            self._partial = 0
            self._recovery_until = self._sent[-1].tsn

    def _skip_abandoned(self) -> None:
        """Announce that the peer need not wait for chunks that were given up (RFC 3758 section 3.5)."""
        forward = None
        for chunk in self._sent:
            if not chunk.abandoned:
                break
            forward = chunk.tsn
        self.forward_tsn = forward

    def _measure(self, round_trip: float) -> None:
        if self._smoothed is None:
            self._smoothed, self._variation = round_trip, round_trip / 2
        else:
            self._variation += (abs(self._smoothed - round_trip) - self._variation) / 4
            self._smoothed += (round_trip - self._smoothed) / 8
        wanted = self._smoothed + 4 * self._variation
        self.timeout_seconds = min(max(wanted, TIMEOUT_SECONDS_MIN), TIMEOUT_SECONDS_MAX)
