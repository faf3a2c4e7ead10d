"""An SCTP association inside DTLS, driven without tasks.

Owns: packets and their checksums, when to acknowledge, the retransmission timer; it binds `SendWindow` and
`ReceiveWindow` to aiortc's association, which still does the set-up (INIT and cookie exchange).
Must not know: sockets, frames, peers.

aiortc's coroutines never wait for anything here, since `DtlsCarrier` sends at once: each is run to its end on
the spot. Every method of it that would start a task is overridden, so that none exists whose error could be
lost. The private names that this relies on are listed in the canary test.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from aiortc import rtcsctptransport as base
from google_crc32c import value as crc32c

from railgun.errors import InvariantViolated, MalformedInput
from railgun.limits import RECEIVE_BYTES_MAX
from railgun.links.sctp_receive import ReceiveWindow
from railgun.links.sctp_send import TIMEOUT_SECONDS_FIRST, SendWindow
from railgun.links.timers import Timers

SCTP_PORT: Final = 5_000
FRAMES_STREAM: Final = 0
PULSE_STREAM: Final = 1
"""Both channels are negotiated beforehand under these ids, so that nothing waits for an announcement."""
ACKNOWLEDGE_DELAY_SECONDS: Final = 0.02
"""A lone packet may wait so long for company before it is acknowledged; far below any sender's timeout."""
PAYLOAD_BINARY: Final = 53
_PAYLOAD_BINARY_EMPTY: Final = 57
_SETUP_RESENDS_MAX: Final = 8

_COMMON: Final = struct.Struct(">HHLL")
_CHUNK: Final = struct.Struct(">BBH")
_DATA: Final = struct.Struct(">BBHLHHL")
_DATA_BODY: Final = struct.Struct(">LHHL")
_SACK: Final = struct.Struct(">BBHLLHH")
_SACK_BODY: Final = struct.Struct(">LLHH")
_GAP: Final = struct.Struct(">HH")
_TYPE_DATA: Final = 0
_TYPE_INIT: Final = 1
_TYPE_SACK: Final = 3
_TYPE_ABORT: Final = 6
_TYPE_FORWARD: Final = 192
_TYPES_OF_SETUP: Final = frozenset({1, 2, 4, 9, 10, 11})
"""INIT, INIT ACK, HEARTBEAT, ERROR, COOKIE ECHO, COOKIE ACK: what aiortc handles for us."""
_TYPES_OF_END: Final = frozenset({_TYPE_ABORT, 7, 8, 14, 130})
"""ABORT, the three of SHUTDOWN, and RE-CONFIG, by which an end resets a channel: all end the link."""
_PARAMETERS_AT: Final = {_TYPE_INIT: 16, 2: 16, 4: 0, 9: 0}
"""Where the parameters of a set-up chunk begin; the chunks of other types have none."""
_TSN_MASK: Final = 0xFFFF_FFFF
_NO_CHECKSUM: Final = bytes(4)


class AssociationObserver(Protocol):
    """What an association tells its owner."""

    def association_up(self) -> None:
        """Messages can be sent."""

    def association_down(self, reason: str) -> None:
        """It ended without our doing."""

    def association_message(self, stream_id: int, message: bytes) -> None:
        """A whole message of one stream."""

    def association_drained(self) -> None:
        """The queue went down, or the last byte was acknowledged."""


class _Nobody:
    """The observer of an association that has ended."""

    def association_up(self) -> None:
        """Ignored."""

    def association_down(self, reason: str) -> None:
        """Ignored."""

    def association_message(self, stream_id: int, message: bytes) -> None:
        """Ignored."""

    def association_drained(self) -> None:
        """Ignored."""


NOBODY: Final = _Nobody()


class DtlsCarrier:
    """What aiortc's association takes for its DTLS transport."""

    def __init__(self, send: Callable[[bytes | bytearray], None], *, is_server: bool) -> None:
        self.send = send
        self.state = "connected"
        self._role = "server" if is_server else "client"

    async def _send_data(self, data: bytes) -> None:
        self.send(data)

    def _register_data_receiver(self, receiver: object) -> None:
        """The session feeds the association itself."""

    def _unregister_data_receiver(self, receiver: object) -> None:
        """See `_register_data_receiver`."""


def run_now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits to its end."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise InvariantViolated("a coroutine of the SCTP library waited")


class Association(base.RTCSctpTransport):
    """See the module. `open`, `receive`, `send_reliable`, `send_unreliable` and `close` are its interface."""

    def __init__(
        self,
        carrier: DtlsCarrier,
        observer: AssociationObserver,
        timers: Timers,
        now: Callable[[], float],
    ) -> None:
        super().__init__(carrier)  # type: ignore[arg-type]
        self._carrier = carrier
        self._observer: AssociationObserver = observer
        self._timers = timers
        self._loop = timers  # type: ignore[assignment] # the library's own timers, guarded alike
        self._now = now
        self._rto = TIMEOUT_SECONDS_FIRST
        self._advertised_rwnd = RECEIVE_BYTES_MAX
        self._sending = SendWindow(self._local_tsn)
        self._receiving: ReceiveWindow | None = None
        self._announced_tsn: int | None = None
        self._ended = False
        self._unacknowledged_packets = 0
        self._acknowledge_handle: asyncio.Handle | None = None
        self._acknowledge_waits = False
        self._resend_handle: asyncio.TimerHandle | None = None

    # --- the interface --------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the association is established."""
        return self._association_state is self.State.ESTABLISHED

    @property
    def buffered_bytes(self) -> int:
        """Bytes queued and not yet sent for the first time (``bufferedAmount``)."""
        return self._sending.queued_bytes

    @property
    def is_idle(self) -> bool:
        """Whether everything sent was acknowledged."""
        return self._sending.idle

    @property
    def progress_bytes(self) -> int:
        """Bytes that the peer has acknowledged so far."""
        return self._sending.progress

    def open(self, *, actively: bool) -> None:
        """Begin: the dialler sends INIT, the listener waits for it."""
        self._remote_port = SCTP_PORT
        if actively:
            run_now(self._init())

    def send_reliable(self, stream_id: int, message: bytes) -> None:
        """Queue a message and send what the window allows."""
        self._sending.queue(stream_id, message)
        if self.is_up:
            self._transmit_window()

    def send_unreliable(self, stream_id: int, message: bytes) -> bool:
        """Send a message once, ahead of queued ones; False when it was dropped."""
        if not self.is_up or not self._sending.queue_unreliable(stream_id, message):
            return False
        self._transmit_window()
        return True

    def close(self) -> None:
        """Abort, silently for the observer. Idempotent."""
        self._observer = NOBODY  # nothing of an ended session may wait for the collector
        if self._ended:
            return
        self._ended = True
        if self._association_state is not self.State.CLOSED and self._remote_port is not None:
            run_now(self._abort())
        self._stop_timers()
        self._set_state(self.State.CLOSED)

    def receive(self, packet: bytes) -> None:
        """Take in one decrypted packet.

        Raises:
            MalformedInput: it is no packet of ours, or breaks the protocol.
        """
        if self._ended:
            return
        length = len(packet)
        if length < 16 or struct.unpack_from("<L", packet, 8)[0] != crc32c(packet[:8] + _NO_CHECKSUM + packet[12:]):
            raise MalformedInput("SCTP packet with a wrong checksum")
        expected = 0 if packet[12] == _TYPE_INIT else self._local_verification_tag
        if struct.unpack_from(">L", packet, 4)[0] != expected:
            raise MalformedInput("SCTP packet of another association")
        position = 12
        got_data = got_forward = False
        while position + 4 <= length and not self._ended:
            kind, flags, size = _CHUNK.unpack_from(packet, position)
            end = position + size
            if size < 4 or end > length:
                raise MalformedInput("SCTP chunk of an impossible length")
            if kind == _TYPE_DATA:
                got_data = True
                self._data(packet, position + 4, end, flags)
            elif kind == _TYPE_SACK:
                self._acknowledged(packet, position + 4, end)
            elif kind == _TYPE_FORWARD:
                if got_forward:  # one says it all, and each costs as much as there is to forget
                    raise MalformedInput("SCTP packet with two FORWARD TSN chunks")
                got_data = got_forward = True
                self._forwarded(packet, position + 4, end)
            elif kind in _TYPES_OF_END:
                self._end("the peer ended the association")
            elif kind in _TYPES_OF_SETUP:
                self._set_up(kind, flags, packet[position + 4 : end])
            position = end + (-size & 3)
        if got_data and not self._ended:
            self._plan_acknowledgement()

    # --- receiving ------------------------------------------------------------------------------

    def _data(self, packet: bytes, start: int, end: int, flags: int) -> None:
        if self._receiving is None:
            return  # before the association is up: it comes again
        if end - start < _DATA_BODY.size:
            raise MalformedInput("truncated DATA chunk")
        tsn, stream_id, _sequence, protocol = _DATA_BODY.unpack_from(packet, start)
        if stream_id > PULSE_STREAM or protocol not in (PAYLOAD_BINARY, _PAYLOAD_BINARY_EMPTY):
            raise MalformedInput("data on an unknown channel")
        message = self._receiving.chunk(tsn, flags, stream_id, packet[start + 12 : end])
        if message is not None:
            self._observer.association_message(*message)

    def _forwarded(self, packet: bytes, start: int, end: int) -> None:
        if end - start < 4:
            raise MalformedInput("truncated FORWARD TSN chunk")
        if self._receiving is not None:
            self._receiving.forward(struct.unpack_from(">L", packet, start)[0])

    def _plan_acknowledgement(self) -> None:
        """Acknowledge at the end of the turn: at once what is disturbed or two packets, a lone packet later."""
        if self._receiving is None:
            return
        self._unacknowledged_packets += 1
        if self._unacknowledged_packets == 1:
            self._acknowledge_handle = self._timers.call_soon(self._end_of_turn)
        elif self._acknowledge_waits and self._acknowledge_handle is not None:
            self._acknowledge_waits = False
            self._acknowledge_handle.cancel()
            self._acknowledge_handle = self._timers.call_soon(self._acknowledge)

    def _end_of_turn(self) -> None:
        if self._unacknowledged_packets > 1 or (self._receiving is not None and self._receiving.disturbed):
            self._acknowledge()
        else:
            self._acknowledge_waits = True
            self._acknowledge_handle = self._timers.call_later(ACKNOWLEDGE_DELAY_SECONDS, self._acknowledge)

    def _acknowledge(self) -> None:
        self._acknowledge_handle = None
        self._acknowledge_waits = False
        self._unacknowledged_packets = 0
        if self._receiving is None or self._ended:
            return
        cumulative, window, gaps, duplicates = self._receiving.acknowledgement()
        size = 16 + 4 * (len(gaps) + len(duplicates))
        chunk = _SACK.pack(_TYPE_SACK, 0, size, cumulative, window, len(gaps), len(duplicates))
        if gaps or duplicates:
            chunk += b"".join(_GAP.pack(*gap) for gap in gaps)
            chunk += b"".join(struct.pack(">L", tsn) for tsn in duplicates)
        self._send_packet(chunk)

    # --- sending --------------------------------------------------------------------------------

    def _acknowledged(self, packet: bytes, start: int, end: int) -> None:
        if end - start < _SACK_BODY.size:
            raise MalformedInput("truncated SACK chunk")
        cumulative, window, gap_count, _duplicates = _SACK_BODY.unpack_from(packet, start)
        gaps: list[tuple[int, int]] = []
        if gap_count:
            if end - start < _SACK_BODY.size + 4 * gap_count:
                raise MalformedInput("truncated SACK chunk")
            gaps = [_GAP.unpack_from(packet, start + 12 + 4 * index) for index in range(gap_count)]
        sending = self._sending
        queued = sending.queued_bytes
        before = sending.progress
        if not sending.acknowledge(cumulative, window, gaps, self._now()):
            return
        if sending.progress != before:
            self._cancel_resend()
        if self.is_up:
            self._transmit_window()
        if sending.queued_bytes < queued or sending.idle:
            self._observer.association_drained()

    def _transmit_window(self) -> None:
        """Send what is due; the timer runs while anything is unacknowledged."""
        sending = self._sending
        if sending.forward_tsn != self._announced_tsn:
            self._announced_tsn = sending.forward_tsn
            if sending.forward_tsn is not None:
                self._send_packet(struct.pack(">BBHL", _TYPE_FORWARD, 0, 8, sending.forward_tsn))
        tag = self._remote_verification_tag
        send = self._carrier.send
        for chunk in sending.take(self._now()):
            payload = chunk.payload
            size = 16 + len(payload)
            padded = -size & 3
            packet = bytearray(12 + size + padded)
            _COMMON.pack_into(packet, 0, SCTP_PORT, SCTP_PORT, tag, 0)
            _DATA.pack_into(packet, 12, _TYPE_DATA, chunk.flags, size, chunk.tsn, chunk.stream_id, 0, PAYLOAD_BINARY)
            packet[28 : 28 + len(payload)] = payload
            struct.pack_into("<L", packet, 8, crc32c(bytes(packet)))
            send(packet)
        if not sending.in_flight:
            self._cancel_resend()
        elif self._resend_handle is None:
            self._resend_handle = self._timers.call_later(sending.timeout_seconds, self._resend_due)

    def _resend_due(self) -> None:
        self._resend_handle = None
        if self._ended:
            return
        self._sending.timed_out()
        self._announced_tsn = None  # it may have been lost
        self._transmit_window()

    def _cancel_resend(self) -> None:
        if self._resend_handle is not None:
            self._resend_handle.cancel()
            self._resend_handle = None

    def _send_packet(self, chunk: bytes) -> None:
        head = struct.pack(">HHL", SCTP_PORT, SCTP_PORT, self._remote_verification_tag)
        self._carrier.send(head + struct.pack("<L", crc32c(head + _NO_CHECKSUM + chunk)) + chunk)

    # --- set-up and end -------------------------------------------------------------------------

    def _set_up(self, kind: int, flags: int, body: bytes) -> None:
        if kind == _TYPE_INIT and self.is_up:
            return  # a late repetition; a restart makes no sense inside one DTLS session
        _check_parameters(body, _PARAMETERS_AT.get(kind, len(body)))
        try:
            chunk = base.CHUNK_TYPES[kind](flags, body)
            run_now(self._receive_chunk(chunk))
        except (struct.error, ValueError, IndexError, AttributeError, TypeError, AssertionError) as error:
            raise MalformedInput("SCTP set-up chunk that does not parse") from error

    def _set_state(self, state: base.RTCSctpTransport.State) -> None:
        if state is self.State.ESTABLISHED:
            if self._association_state is state:
                return
            if self._last_received_tsn is None:
                raise MalformedInput("SCTP cookie before INIT")
            self._association_state = state
            self._receiving = ReceiveWindow(self._last_received_tsn)
            self._observer.association_up()
            self._transmit_window()
            return
        super()._set_state(state)
        if state is self.State.CLOSED:
            self._end("the association could not be set up")

    def _t1_expired(self) -> None:
        """INIT or COOKIE ECHO went unanswered: again, in place, with the timer backed off."""
        self._t1_failures += 1
        self._t1_handle = None
        if self._t1_failures > _SETUP_RESENDS_MAX or self._t1_chunk is None:
            self._set_state(self.State.CLOSED)
            return
        self._rto = min(self._rto * 2, 4.0)
        run_now(self._send_chunk(self._t1_chunk))
        self._t1_handle = self._timers.call_later(self._rto, self._t1_expired)

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._stop_timers()
        if self._association_state is not self.State.CLOSED:
            super()._set_state(self.State.CLOSED)
        self._observer.association_down(reason)

    def _stop_timers(self) -> None:
        self._cancel_resend()
        if self._acknowledge_handle is not None:
            self._acknowledge_handle.cancel()
            self._acknowledge_handle = None


def _check_parameters(body: bytes, position: int) -> None:
    """The library steps from parameter to parameter by their own lengths: at a length of zero it stays for good.

    Raises:
        MalformedInput: a parameter is shorter than its own head.
    """
    while position + 4 <= len(body):
        (size,) = struct.unpack_from(">H", body, position + 2)
        if size < 4:
            raise MalformedInput("SCTP parameter of an impossible length")
        position += size + (-size & 3)
