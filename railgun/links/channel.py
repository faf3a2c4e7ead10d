"""One link: a session, the proof on it, frames in messages, a budget, an orderly end.

Owns: a link's states and what is queued on it. Must not know: other links, addresses, who may be linked.

The session below never loses a message silently; the link reports every end exactly once to its owner.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import Protocol

from railgun.errors import ClosedByPeer, ClosedLocally, LinkError, LinkLost, MalformedInput, PeerError, RefusalCode
from railgun.limits import FRAME_BYTES_MAX, PULSE_BYTES_MAX
from railgun.links.handshake import DiallerProof, Instant, ListenerProof, Proved
from railgun.links.session import Session
from railgun.links.settings import LinkCounters, LinkSettings
from railgun.wire.framing import Frame, FrameDecoder, FrameEncoder, Goodbye, goodbye_message, handshake_message

logger = logging.getLogger(__name__)


class State(enum.Enum):
    """Where a link stands."""

    OPENING = 1
    PROVING = 2
    PROVED = 3
    """Listener only: the dialler's proof is good and the owner decides."""
    UP = 4
    CLOSING = 5
    CLOSED = 6


class LinkOwner(Protocol):
    """What a link tells its owner, on the event loop."""

    def link_proved(self, link: Link, proved: Proved) -> None:
        """Listener: call `Link.accept` or `Link.refuse`, now or later. Dialler: the link is up."""

    def link_ended(self, link: Link, error: LinkError) -> None:
        """The link is of no more use; once. Whatever it still has to say it says by itself."""

    def link_gone(self, link: Link) -> None:
        """After `link_ended`: nothing of it is left; its path can be released."""

    def link_frame(self, link: Link, frame: bytes) -> None:
        """A whole frame."""

    def link_pulse(self, link: Link, pulse: bytes) -> None:
        """A pulse."""

    def link_writable(self, link: Link) -> None:
        """There is room again, after `offer_frame` had refused."""


class Link:
    """See the module. `open_session` binds the session, whose observer this is."""

    def __init__(
        self,
        owner: LinkOwner,
        *,
        inbound: bool,
        settings: LinkSettings,
        counters: LinkCounters,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
        instant: Callable[[], Instant],
    ) -> None:
        self.inbound = inbound
        self.state = State.OPENING
        self.proved: Proved | None = None
        self._owner = owner
        self._settings = settings
        self._counters = counters
        self._loop = loop
        self._now = now
        self._instant = instant
        self._session: Session | None = None
        self._make_proof: Callable[[bytes], DiallerProof | ListenerProof] | None = None
        self._proof: DiallerProof | ListenerProof | None = None
        self._encoder = FrameEncoder()
        self._decoder = FrameDecoder()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._refused_frame = False
        self._last_words: bytes | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._told_end = False
        self.active_at = now()
        self.stalled_since: float | None = None
        self._progress_seen = 0

    def open_session(
        self,
        session: Session,
        make_proof: Callable[[bytes], DiallerProof | ListenerProof],
        proved_hello: bytes | None = None,
    ) -> None:
        """Start; ``make_proof`` gets the peer's certificate hash, and may raise PeerError if it is the wrong one."""
        self._session = session
        self._make_proof = make_proof
        session.start(proved_hello)

    def receive(self, datagram: bytes) -> None:
        """Take in a datagram of its path."""
        if self._session is not None:
            self._session.receive(datagram)

    def is_over(self) -> bool:
        """Whether it takes nothing in any more."""
        return self.state in (State.CLOSING, State.CLOSED)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait to be sent for the first time."""
        return self._pending_bytes + (self._session.buffered_bytes if self._session else 0)

    # --- use ------------------------------------------------------------------------------------

    def offer_frame(self, frame: bytes) -> bool:
        """Queue a frame for `flush`; False when the link is not up or its budget is full.

        Raises:
            ValueError: the frame is empty or longer than FRAME_BYTES_MAX.
        """
        size = len(frame)
        if not 1 <= size <= FRAME_BYTES_MAX:
            raise ValueError(f"a frame has 1 to {FRAME_BYTES_MAX} bytes, not {size}")
        if self.state is not State.UP:
            return False
        if self.buffered_bytes + size > self._settings.send_budget_bytes:
            self._refused_frame = True
            self._counters.frames_refused += 1
            return False
        self._pending.append(frame)
        self._pending_bytes += size
        return True

    def flush(self) -> None:
        """Send what is queued, in as few messages as hold it."""
        if not self._pending or self._session is None:
            return
        frames, self._pending, self._pending_bytes = self._pending, [], 0
        self.active_at = self._now()
        self._counters.frames_sent += len(frames)
        for message in self._encoder.encode(frames):
            self._counters.messages_sent += 1
            self._session.send_message(message)

    def offer_pulse(self, pulse: bytes) -> bool:
        """Send a pulse now; False when it was dropped. Raises ValueError beyond PULSE_BYTES_MAX."""
        if not 1 <= len(pulse) <= PULSE_BYTES_MAX:
            raise ValueError(f"a pulse has 1 to {PULSE_BYTES_MAX} bytes")
        if self.state is not State.UP or self._session is None or not self._session.send_pulse(pulse):
            self._counters.pulses_dropped += 1
            return False
        self._counters.pulses_sent += 1
        if self._settings.pulses_keep_alive:
            self.active_at = self._now()
        return True

    def is_stalled(self, now: float) -> bool:
        """Whether bytes wait and the peer has taken none for too long; call it regularly."""
        if self._session is None or self._session.is_idle or self._session.progress_bytes != self._progress_seen:
            self._progress_seen = self._session.progress_bytes if self._session else 0
            self.stalled_since = None
            return False
        if self.stalled_since is None:
            self.stalled_since = now
        return now - self.stalled_since >= self._settings.stall_seconds

    # --- decisions of the owner -----------------------------------------------------------------

    def accept(self) -> None:
        """Listener: let the proved dialler in."""
        if self.state is State.PROVED and isinstance(self._proof, ListenerProof):
            self.state = State.UP
            self.active_at = self._now()
            self._say(self._proof.accepted())

    def refuse(self, code: RefusalCode, retry_after_ms: int | None = None) -> None:
        """Listener: tell the dialler why not, then close. Nothing more is reported but `link_gone`."""
        if isinstance(self._proof, ListenerProof) and self.state in (State.PROVING, State.PROVED):
            self._say(self._proof.refused(code, retry_after_ms))
            self._told_end = True
            self._begin_close(None)

    def close(self, code: RefusalCode, retry_after_ms: int | None = None) -> None:
        """Tell the peer why, after what was queued, and close within `close_seconds`. Idempotent."""
        if self.state is State.UP:
            self.flush()
            self._end(ClosedLocally(f"closed: {code.name.lower()}"))
            self._begin_close(goodbye_message(code, retry_after_ms))
        elif self.state not in (State.CLOSING, State.CLOSED):
            self.abandon(ClosedLocally(f"closed: {code.name.lower()}"))

    def abandon(self, error: LinkError) -> None:
        """Close at once."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._pending, self._pending_bytes = [], 0
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        if self._session is not None:
            self._session.close()
        # A session and its link know each other: apart they are freed at once, not when the collector looks.
        self._session = self._proof = self._make_proof = None
        self._end(error)
        self._owner.link_gone(self)

    # --- from the session -----------------------------------------------------------------------

    def session_up(self) -> None:
        """See `SessionObserver`."""
        if self._make_proof is None or self._session is None:
            return
        try:
            self._proof = self._make_proof(self._session.peer_certificate_hash)
        except PeerError as error:
            self._fault(error)
            return
        self.state = State.PROVING
        if isinstance(self._proof, DiallerProof):
            self._say(self._proof.begin(self._instant()))

    def session_down(self, reason: str, *, malformed: bool) -> None:
        """See `SessionObserver`."""
        if malformed:
            self._counters.refused_malformed += 1
            logger.debug("a peer sent malformed bytes: %s", reason)
        if self.state is State.OPENING:
            reason = f"the connection did not open: {reason}"
        self.abandon(LinkLost(reason))

    def session_message(self, message: bytes) -> None:
        """See `SessionObserver`."""
        if self.is_over():
            return
        self._counters.messages_received += 1
        try:
            items = self._decoder.decode(message)
            self._counters.frames_dropped_unfinished += self._decoder.frames_dropped
            self._decoder.frames_dropped = 0
            for item in items:
                if isinstance(item, Frame):
                    self._frame(item.data)
                elif isinstance(item, Goodbye):
                    self.abandon(ClosedByPeer(item.code, item.retry_after_ms))
                else:
                    self._shake_hands(item.data)
                if self.is_over():
                    return
        except LinkError as error:
            self.abandon(error)
        except PeerError as error:
            self._fault(error)

    def session_pulse(self, pulse: bytes) -> None:
        """See `SessionObserver`."""
        if len(pulse) > PULSE_BYTES_MAX:
            raise MalformedInput("pulse too long")
        if self.state is State.UP:
            self._counters.pulses_received += 1
            self._owner.link_pulse(self, pulse)

    def session_drained(self) -> None:
        """See `SessionObserver`."""
        if self.state is State.CLOSING:
            self._continue_close()
        elif self._refused_frame and self.buffered_bytes <= self._settings.send_budget_bytes // 2:
            self._refused_frame = False
            self._owner.link_writable(self)

    # --- inside ---------------------------------------------------------------------------------

    def _frame(self, frame: bytes) -> None:
        if self.state is State.PROVING and isinstance(self._proof, DiallerProof) and self._proof.accept_implied():
            self._come_up(self._proof)
        if self.state is not State.UP:
            raise MalformedInput("frame before the proof")
        self._counters.frames_received += 1
        self.active_at = self._now()
        self._owner.link_frame(self, frame)

    def _shake_hands(self, data: bytes) -> None:
        proof = self._proof
        if self.state is State.UP and isinstance(proof, DiallerProof):
            proof.receive(data, self._instant())  # Accepted, overtaken by a frame
            return
        if proof is None or self.state is not State.PROVING:
            raise MalformedInput("handshake message out of order")
        answer = proof.receive(data, self._instant())
        if answer is not None:
            self._say(answer)
        if proof.proved is None:
            return
        if isinstance(proof, DiallerProof):
            self._come_up(proof)
        else:
            self.proved = proof.proved
            self.state = State.PROVED
            self._owner.link_proved(self, proof.proved)

    def _come_up(self, proof: DiallerProof) -> None:
        if proof.proved is not None:
            self.proved = proof.proved
            self.state = State.UP
            self.active_at = self._now()
            self._owner.link_proved(self, proof.proved)

    def _say(self, data: bytes) -> None:
        if self._session is not None:
            self._session.send_message(handshake_message(data))

    def _fault(self, error: PeerError) -> None:
        """The peer's fault: tell it, and close."""
        self._count(error.code)
        if self.state in (State.PROVING, State.PROVED) and isinstance(self._proof, ListenerProof):
            self._say(self._proof.refused(error.code))
            self._end(ClosedLocally(str(error)))
            self._begin_close(None)
        elif self.state is State.UP:
            self._end(ClosedLocally(str(error)))
            self._begin_close(goodbye_message(error.code, None))
        else:
            self.abandon(ClosedLocally(str(error)))

    def _count(self, code: RefusalCode) -> None:
        if code is RefusalCode.WRONG_NETWORK:
            self._counters.refused_wrong_network += 1
        elif code is RefusalCode.BAD_PROOF:
            self._counters.refused_bad_proof += 1
        else:
            self._counters.refused_malformed += 1

    def _end(self, error: LinkError) -> None:
        if not self._told_end:
            self._told_end = True
            self._owner.link_ended(self, error)

    def _begin_close(self, last_words: bytes | None) -> None:
        """The last words wait until all before them was acknowledged: the channel keeps no order."""
        self.state = State.CLOSING
        self._last_words = last_words
        self._close_timer = self._loop.call_later(self._settings.close_seconds / 2, self._hurry)
        self._continue_close()

    def _continue_close(self) -> None:
        session = self._session
        if session is None:
            self.abandon(ClosedLocally("closed"))
        elif session.is_idle:
            if self._last_words is None:
                self.abandon(ClosedLocally("closed"))
            else:
                words, self._last_words = self._last_words, None
                session.send_message(words)

    def _hurry(self) -> None:
        """Half the time is over: say the last words regardless, and give up at its end."""
        words, self._last_words = self._last_words, None
        if words is not None and self._session is not None:
            self._session.send_message(words)
        self._close_timer = self._loop.call_later(
            self._settings.close_seconds / 2, self.abandon, ClosedLocally("closed")
        )
