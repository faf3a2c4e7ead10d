"""The in-band proof: both ends show that they hold the key they are known by, on this very connection.

Owns: the messages, what is signed, the two state machines. Pure: time, nonces and fingerprints are passed in.
Must not know: channels, sockets, what a node does with a proved peer.
Spec: docs/spec/links.md. ::

    dialler                                              listener
    Hello{version, network id, nonce}              ->
                                                   <-    Proof{node key, nonce, now, signature}
    ProofReply{key, is relay, now, signature}      ->
                                                   <-    Accepted, or Refused{code, retry, network id}

A signature covers ``dialler nonce || listener nonce || dialler certificate hash || listener certificate hash ||
network id || now (u64, Unix ms) || signer's key || is relay (u8)`` under a label for each role: it can be neither
replayed nor carried over to a connection that ends in another certificate.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.crypto.signing import public_key_of, sign, verify
from railgun.errors import ClosedByPeer, LinkError, MalformedInput, PeerError, RefusalCode
from railgun.limits import HANDSHAKE_BYTES_MAX
from railgun.links.settings import VERSION
from railgun.types import NetworkId, NodeKey, PeerKey
from railgun.wire.framing import RETRY_MILLISECONDS_MAX
from railgun.wire.schema import Bool, Bytes, Codec, Optional, Uint

LISTENER_LABEL: Final = "railgun/link/v1/listener"
DIALLER_LABEL: Final = "railgun/link/v1/dialler"
NONCE_BYTES: Final = 32


@dataclass(frozen=True)
class Hello:
    """The dialler's first message."""

    version: Annotated[int, Uint(255)]
    network_id: Annotated[bytes, Bytes(32)]
    nonce: Annotated[bytes, Bytes(NONCE_BYTES)]


@dataclass(frozen=True)
class Proof:
    """The listener's answer."""

    node_key: Annotated[bytes, Bytes(32)]
    nonce: Annotated[bytes, Bytes(NONCE_BYTES)]
    now_ms: Annotated[int, Uint()]
    signature: Annotated[bytes, Bytes(64)]


@dataclass(frozen=True)
class ProofReply:
    """The dialler's proof."""

    key: Annotated[bytes, Bytes(32)]
    is_relay: Annotated[bool, Bool()]
    now_ms: Annotated[int, Uint()]
    signature: Annotated[bytes, Bytes(64)]


@dataclass(frozen=True)
class Accepted:
    """Frames may flow."""


@dataclass(frozen=True)
class Refused:
    """They may not. ``network_id`` is the listener's, where that is the reason."""

    code: Annotated[RefusalCode, Uint(255, RefusalCode)]
    retry_after_ms: Annotated[int | None, Optional(Uint(RETRY_MILLISECONDS_MAX))]
    network_id: Annotated[bytes | None, Optional(Bytes(32))]


Message = Hello | Proof | ProofReply | Accepted | Refused
CODEC: Final[Codec[Message]] = Codec(
    {1: Hello, 2: Proof, 3: ProofReply, 4: Accepted, 5: Refused}, bytes_max=HANDSHAKE_BYTES_MAX
)


class WrongNetwork(ClosedByPeer):
    """The listener belongs to another network; the text names both."""

    def __init__(self, ours: bytes, theirs: bytes | None) -> None:
        super().__init__(RefusalCode.WRONG_NETWORK)
        other = "another network" if theirs is None else f"network {theirs.hex()[:16]}"
        self.args = (f"closed by peer: wrong_network: it serves {other}, this peer is of network {ours.hex()[:16]}",)


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """What one end brings to a proof. The seed never shows in ``repr``."""

    network_id: NetworkId
    signing_seed: bytes
    is_relay: bool
    nonce: bytes
    certificate_hash: bytes

    def __repr__(self) -> str:
        return f"LocalEnd(is_relay={self.is_relay})"


@dataclass(frozen=True, slots=True)
class Proved:
    """Whom the remote proved to be, as whom we did, and what the exchange measured (see `railgun.ports.LinkUp`)."""

    peer: PeerKey
    local_key: PeerKey
    is_relay: bool
    clock_offset_seconds: float
    round_trip_seconds: float


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks: monotonic seconds and Unix seconds."""

    monotonic: float
    wall: float

    @property
    def wall_ms(self) -> int:
        """Unix milliseconds, never negative."""
        return max(0, int(self.wall * 1000))


@dataclass(frozen=True, slots=True)
class _Transcript:
    """What both signatures share."""

    dialler_nonce: bytes
    listener_nonce: bytes
    dialler_certificate: bytes
    listener_certificate: bytes
    network_id: bytes

    def content(self, now_ms: int, key: bytes, *, is_relay: bool) -> bytes:
        return b"".join(
            (
                self.dialler_nonce,
                self.listener_nonce,
                self.dialler_certificate,
                self.listener_certificate,
                self.network_id,
                struct.pack(">Q", now_ms),
                key,
                bytes([is_relay]),
            )
        )


def _measure(now_ms: int, sent: Instant, got: Instant) -> tuple[float, float]:
    """(clock offset, round trip), both in seconds."""
    round_trip = max(0.0, got.monotonic - sent.monotonic)
    return now_ms / 1000 + round_trip / 2 - got.wall, round_trip


class DiallerProof:
    """The dialler's half. `begin`, then `receive` each handshake message until `proved` is set."""

    def __init__(self, local: LocalEnd, expected: NodeKey, listener_certificate_hash: bytes) -> None:
        self._local = local
        self._expected = expected
        self._listener_certificate = listener_certificate_hash
        self._sent_at: Instant | None = None
        self._pending: Proved | None = None
        self.proved: Proved | None = None

    def begin(self, now: Instant) -> bytes:
        """The first message."""
        self._sent_at = now
        return CODEC.encode(Hello(VERSION, self._local.network_id, self._local.nonce))

    def receive(self, data: bytes, now: Instant) -> bytes | None:
        """Take in a message; returns the one to send, if any.

        Raises:
            LinkError: the listener refused.
            PeerError: the listener's proof fails (BAD_PROOF), or its message makes no sense here (MALFORMED).
        """
        message = CODEC.decode(data)
        if isinstance(message, Refused):
            raise self._refusal(message)
        if isinstance(message, Proof) and self._pending is None and self._sent_at is not None:
            return self._check(message, self._sent_at, now)
        if isinstance(message, Accepted) and self._pending is not None:
            self.proved = self._pending
            return None
        raise MalformedInput("handshake message out of order")

    def accept_implied(self) -> bool:
        """The listener sent a frame: on an unordered channel that may overtake Accepted. False if it may not yet."""
        if self._pending is None:
            return False
        self.proved = self._pending
        return True

    def _check(self, proof: Proof, sent_at: Instant, now: Instant) -> bytes:
        local = self._local
        transcript = _Transcript(
            local.nonce, proof.nonce, local.certificate_hash, self._listener_certificate, local.network_id
        )
        if not hmac.compare_digest(proof.node_key, self._expected):
            raise PeerError(RefusalCode.BAD_PROOF, "the listener holds another node key than the one dialled")
        content = transcript.content(proof.now_ms, proof.node_key, is_relay=True)
        if not verify(proof.node_key, LISTENER_LABEL, content, proof.signature):
            raise PeerError(RefusalCode.BAD_PROOF, "the listener's signature does not fit")
        key = public_key_of(local.signing_seed)
        self._pending = Proved(PeerKey(proof.node_key), PeerKey(key), True, *_measure(proof.now_ms, sent_at, now))
        content = transcript.content(now.wall_ms, key, is_relay=local.is_relay)
        signature = sign(local.signing_seed, DIALLER_LABEL, content)
        return CODEC.encode(ProofReply(key, local.is_relay, now.wall_ms, signature))

    def _refusal(self, message: Refused) -> LinkError:
        if message.code is RefusalCode.WRONG_NETWORK:
            return WrongNetwork(self._local.network_id, message.network_id)
        return ClosedByPeer(message.code, message.retry_after_ms)


class ListenerProof:
    """The listener's half. `receive` each message until `proved` is set; then send `accepted` or `refused`."""

    def __init__(self, local: LocalEnd, dialler_certificate_hash: bytes) -> None:
        self._local = local
        self._dialler_certificate = dialler_certificate_hash
        self._transcript: _Transcript | None = None
        self._sent_at: Instant | None = None
        self.proved: Proved | None = None

    def receive(self, data: bytes, now: Instant) -> bytes | None:
        """Take in a message; returns the one to send, if any.

        Raises:
            PeerError: tell the dialler its code in `refused` and close.
        """
        message = CODEC.decode(data)
        if isinstance(message, Hello) and self._transcript is None:
            return self._answer(message, now)
        if isinstance(message, ProofReply) and self.proved is None and self._transcript and self._sent_at:
            content = self._transcript.content(message.now_ms, message.key, is_relay=message.is_relay)
            if not verify(message.key, DIALLER_LABEL, content, message.signature):
                raise PeerError(RefusalCode.BAD_PROOF, "the dialler's signature does not fit")
            own_key = PeerKey(public_key_of(self._local.signing_seed))
            measured = _measure(message.now_ms, self._sent_at, now)
            self.proved = Proved(PeerKey(message.key), own_key, message.is_relay, *measured)
            return None
        raise MalformedInput("handshake message out of order")

    def accepted(self) -> bytes:
        """The message that opens the link."""
        return CODEC.encode(Accepted())

    def refused(self, code: RefusalCode, retry_after_ms: int | None = None) -> bytes:
        """The message that refuses it."""
        ours = self._local.network_id if code is RefusalCode.WRONG_NETWORK else None
        return CODEC.encode(Refused(code, retry_after_ms, ours))

    def _answer(self, hello: Hello, now: Instant) -> bytes:
        local = self._local
        if hello.version != VERSION:
            raise PeerError(RefusalCode.UNSUPPORTED_VERSION, f"version {hello.version}")
        if not hmac.compare_digest(hello.network_id, local.network_id):
            raise PeerError(RefusalCode.WRONG_NETWORK, "the dialler is of another network")
        self._transcript = _Transcript(
            hello.nonce, local.nonce, self._dialler_certificate, local.certificate_hash, local.network_id
        )
        self._sent_at = now
        key = public_key_of(local.signing_seed)
        content = self._transcript.content(now.wall_ms, key, is_relay=True)
        signature = sign(local.signing_seed, LISTENER_LABEL, content)
        return CODEC.encode(Proof(key, local.nonce, now.wall_ms, signature))
