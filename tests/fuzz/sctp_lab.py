"""Two SCTP associations joined by lists instead of a network, one of them at a fuzzer's mercy.

Owns: bringing them up, wrapping chunks into packets that pass checksum and tag. Must not know: DTLS, sockets.
"""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType

from google_crc32c import value as crc32c

from railgun.errors import MalformedInput
from railgun.links.sctp import SCTP_PORT, Association, DtlsCarrier
from railgun.links.sctp_send import SendWindow

FIRST_TSN = 1_000
"""The sequence number that a victim which is up expects first."""


class Ends:
    """Implements `AssociationObserver`, and may be as strict as a link is."""

    def __init__(self) -> None:
        self.ups = 0
        self.downs: list[str] = []
        self.messages: list[tuple[int, bytes]] = []

    def association_up(self) -> None:
        self.ups += 1

    def association_down(self, reason: str) -> None:
        self.downs.append(reason)

    def association_message(self, stream_id: int, message: bytes) -> None:
        self.messages.append((stream_id, message))

    def association_drained(self) -> None: ...


class SctpLab:
    """A context manager: `victim` is the end that takes hostile packets; ``up`` brings both ends up first."""

    def __init__(self, *, up: bool = True, is_listener: bool = True) -> None:
        self._up = up
        self._is_listener = is_listener

    def __enter__(self) -> SctpLab:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self.to_victim: list[bytes] = []
        self.to_other: list[bytes] = []
        self.observer, self.other_observer = Ends(), Ends()
        self.now = 0.0
        self.victim = self._association(self.to_other, self.observer, is_listener=self._is_listener)
        self.other = self._association(self.to_victim, self.other_observer, is_listener=not self._is_listener)
        for association, is_listener in ((self.victim, self._is_listener), (self.other, not self._is_listener)):
            association.open(actively=not is_listener)
        if self._up:
            self.settle()
            assert self.victim.is_up
            assert self.other.is_up
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for association in (self.victim, self.other):
            association.close()
        asyncio.set_event_loop(None)
        self._loop.close()

    def _association(self, wire: list[bytes], observer: Ends, *, is_listener: bool) -> Association:
        carrier = DtlsCarrier(lambda data: wire.append(bytes(data)), is_server=is_listener)
        made = Association(carrier, observer, self._loop, lambda: self.now)
        made._local_tsn = FIRST_TSN
        made._sending = SendWindow(FIRST_TSN)
        return made

    def settle(self) -> None:
        """Carry packets until none is under way."""
        while self.to_victim or self.to_other:
            for wire, association in ((self.to_victim, self.victim), (self.to_other, self.other)):
                packets, wire[:] = wire[:], []
                for packet in packets:
                    association.receive(packet)
            self.turn()

    def turn(self) -> None:
        """Run what the associations put off to the end of the turn."""
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    @property
    def next_tsn(self) -> int:
        """The sequence number that the victim expects."""
        receiving = self.victim._receiving
        return 0 if receiving is None else (receiving.last_tsn + 1) & 0xFFFF_FFFF

    def packet(self, chunks: bytes) -> bytes:
        """Chunks as a packet that the victim takes for its peer's."""
        tag = 0 if chunks[:1] == b"\x01" else self.victim._local_verification_tag
        head = struct.pack(">HHL", SCTP_PORT, SCTP_PORT, tag)
        return head + struct.pack("<L", crc32c(head + bytes(4) + chunks)) + chunks

    def feed(self, chunks: bytes) -> bool:
        """Give the victim a packet; whether it took it. Raises whatever is not documented."""
        try:
            self.victim.receive(self.packet(chunks))
        except MalformedInput:
            return False
        finally:
            self.turn()
            self.to_other.clear()
        return True


def chunk(kind: int, flags: int, body: bytes) -> bytes:
    """One chunk, padded."""
    return struct.pack(">BBH", kind, flags, len(body) + 4) + body + bytes(-len(body) & 3)


def data_chunk(tsn: int, payload: bytes, flags: int = 7, stream_id: int = 0, protocol: int = 53) -> bytes:
    """A DATA chunk: flags 7 are unordered, first and last."""
    return chunk(0, flags, struct.pack(">LHHL", tsn & 0xFFFF_FFFF, stream_id, 0, protocol) + payload)
