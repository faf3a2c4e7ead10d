"""A listener serves a plain WebRTC connection, given an answer that the dialler wrote itself.

This is all that a browser has; here aiortc's RTCPeerConnection stands for it, untouched.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from railgun.errors import ClosedByPeer, RefusalCode
from railgun.links.handshake import DiallerProof, Instant, LocalEnd
from railgun.links.sctp import FRAMES_STREAM, PULSE_STREAM, SCTP_PORT
from railgun.links.stun import LISTENER_CANDIDATE_PRIORITY, LISTENER_PASSWORD, LISTENER_UFRAG
from railgun.types import RelayContact
from railgun.wire.framing import Frame, FrameDecoder, FrameEncoder, Goodbye, Handshake, Item, handshake_message
from tests.support.links_lab import NETWORK, relay


def answer_for(contact: RelayContact) -> RTCSessionDescription:
    """The answer that a relay would have sent, had it been asked."""
    address = contact.addresses[0]
    fingerprint = ":".join(f"{byte:02X}" for byte in contact.certificate_hash)
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        "a=group:BUNDLE 0",
        f"m=application {address.port} UDP/DTLS/SCTP webrtc-datachannel",
        f"c=IN IP4 {address.host}",
        "a=mid:0",
        f"a=ice-ufrag:{LISTENER_UFRAG}",
        f"a=ice-pwd:{LISTENER_PASSWORD}",
        f"a=fingerprint:sha-256 {fingerprint}",
        "a=setup:passive",
        f"a=sctp-port:{SCTP_PORT}",
        "a=max-message-size:16384",
        f"a=candidate:1 1 udp {LISTENER_CANDIDATE_PRIORITY} {address.host} {address.port} typ host",
        "a=end-of-candidates",
        "",
    ]
    return RTCSessionDescription(sdp="\r\n".join(lines), type="answer")


class StandardDialler:
    """An RTCPeerConnection with the two channels, and the proof done by hand."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames: RTCDataChannel = self.connection.createDataChannel(
            "frames", negotiated=True, id=FRAMES_STREAM, ordered=False
        )
        self.pulse: RTCDataChannel = self.connection.createDataChannel(
            "pulse", negotiated=True, id=PULSE_STREAM, ordered=False, maxRetransmits=0
        )
        self.items: asyncio.Queue[Item] = asyncio.Queue()
        self.pulses: asyncio.Queue[bytes] = asyncio.Queue()
        decoder = FrameDecoder()

        def take(message: bytes) -> None:
            for item in decoder.decode(message):
                self.items.put_nowait(item)

        self.frames.on("message", take)
        self.pulse.on("message", self.pulses.put_nowait)

    async def open(self, contact: RelayContact) -> DiallerProof:
        up = asyncio.Event()
        self.frames.on("open", up.set)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self.connection.setRemoteDescription(answer_for(contact))
        await asyncio.wait_for(up.wait(), 10)
        sctp = self.connection.sctp
        if sctp is None:
            raise AssertionError("no data channels were negotiated")
        prints = {item.algorithm: item.value for item in sctp.transport.getLocalParameters().fingerprints}
        own_hash = bytes.fromhex(prints["sha-256"].replace(":", ""))
        local = LocalEnd(NETWORK, os.urandom(32), False, os.urandom(32), own_hash)
        proof = DiallerProof(local, contact.node_key, contact.certificate_hash)
        now = Instant(time.monotonic(), time.time())
        self.frames.send(handshake_message(proof.begin(now)))
        while proof.proved is None:
            item = await asyncio.wait_for(self.items.get(), 5)
            if isinstance(item, Handshake):
                reply = proof.receive(item.data, now)
                if reply is not None:
                    self.frames.send(handshake_message(reply))
        return proof

    async def frame(self) -> bytes:
        item = await asyncio.wait_for(self.items.get(), 5)
        if not isinstance(item, Frame):
            raise AssertionError(f"expected a frame, not {item!r}")
        return item.data


@pytest.fixture
async def dialler(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandardDialler]:
    # aioice leaves the loopback interface out
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    made = StandardDialler()
    yield made
    await made.connection.close()


async def test_a_plain_connection_proves_and_talks(dialler: StandardDialler) -> None:
    async with relay() as server:
        proof = await dialler.open(server.links.local_contact())
        await server.seen.until(lambda: bool(server.seen.ups))
        if proof.proved is None:
            raise AssertionError("unproved")
        peer = server.seen.ups[0].peer
        assert peer == proof.proved.local_key
        frames = [os.urandom(length) for length in (1, 256, 4_096, 70_000)]
        for message in FrameEncoder().encode(frames):
            dialler.frames.send(message)
        await server.seen.until(lambda: len(server.seen.frames) == 4)
        assert sorted(server.seen.frames) == sorted(frames)
        for frame in frames:
            assert server.links.send_frame(peer, frame)
        assert sorted([await dialler.frame() for _ in frames]) == sorted(frames)
        dialler.pulse.send(b"ping")
        await server.seen.until(lambda: server.seen.pulses == [b"ping"])
        server.links.send_pulse(peer, b"pong")
        assert await asyncio.wait_for(dialler.pulses.get(), 5) == b"pong"
        server.links.close_link(peer, RefusalCode.BUSY, 10)
        assert await asyncio.wait_for(dialler.items.get(), 5) == Goodbye(RefusalCode.BUSY, 10)


@asynccontextmanager
async def talking(dialler: StandardDialler) -> AsyncIterator[None]:
    async with relay() as server:
        await dialler.open(server.links.local_contact())
        await server.seen.until(lambda: bool(server.seen.ups))
        yield
        await server.seen.until(lambda: bool(server.seen.downs))
        assert not isinstance(server.seen.downs[0][1], ClosedByPeer)
        assert server.links.counters.internal_errors == 0


async def test_its_end_is_noticed(dialler: StandardDialler) -> None:
    async with talking(dialler):
        await dialler.connection.close()


async def test_the_end_of_a_channel_ends_the_link(dialler: StandardDialler) -> None:
    async with talking(dialler):
        dialler.frames.close()
