"""What the inside needs from the outside, as Protocol classes.

Owns: the seams. Must not know: any implementation.
Implementations: `railgun.links` (Links), `railgun.storage` (Store), `railgun.crypto.sessions`
(Sessions), `railgun.runtime` (Clock, Entropy, Trace), and `railgun.sim` (all of them, virtual).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from railgun.types import Address, MessageId, PeerKey, RelayContact, RoomId

if TYPE_CHECKING:
    from railgun.errors import LinkError


class Clock(Protocol):
    """Two readings. Wall time serves epochs only."""

    def monotonic(self) -> float:
        """Seconds; never goes back."""

    def wall(self) -> float:
        """Unix seconds as this machine believes them."""


class Entropy(Protocol):
    """Source of key material and nonces."""

    def random_bytes(self, count: int) -> bytes:
        """``count`` uniformly random bytes."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link whose two ends have proved their keys.

    ``is_relay`` tells whether the remote proved a node key. ``clock_offset_seconds`` is the remote's wall
    time less ours, corrected for half the measured round trip. ``local_key`` is the key that this end proved (a
    client's is made for this link alone). ``prefix`` names the /24 or /48 from which an inbound link comes; empty for
    others.
    """

    peer: PeerKey
    local_key: PeerKey
    is_relay: bool
    inbound: bool
    clock_offset_seconds: float
    round_trip_seconds: float
    prefix: bytes = field(default=b"", repr=False)


class LinkObserver(Protocol):
    """What a link layer tells its owner. Called on the event loop, must not block, must not raise."""

    def link_up(self, up: LinkUp) -> None: ...

    def link_down(self, peer: PeerKey, error: LinkError) -> None: ...

    def dial_failed(self, peer: PeerKey, error: LinkError) -> None: ...

    def frame_received(self, peer: PeerKey, frame: bytes) -> None:
        """One whole frame (reassembled), still undecoded; at most FRAME_BYTES_MAX bytes."""

    def pulse_received(self, peer: PeerKey, pulse: bytes) -> None:
        """One message of the unreliable channel; at most PULSE_BYTES_MAX bytes."""

    def link_writable(self, peer: PeerKey) -> None:
        """A link that had refused a frame has room again."""


class Links(Protocol):
    """Links by remote key: one a peer, shared by all rooms and epochs (spec: links)."""

    def dial(self, contact: RelayContact) -> None:
        """Begin to connect. Ends in `link_up` or `dial_failed`, within DIAL_SECONDS. Idempotent."""

    def send_frame(self, peer: PeerKey, frame: bytes) -> bool:
        """Queue a frame on the reliable channel; flushed at the end of the loop's turn.

        Returns False, with nothing queued, when there is no link or its budget is full."""

    def send_pulse(self, peer: PeerKey, pulse: bytes) -> bool:
        """Send at once on the unreliable channel; lost if it cannot be sent now."""

    def close_link(self, peer: PeerKey, code: int, retry_after_ms: int | None = None) -> None:
        """Tell the peer why (a Goodbye frame) and close. Idempotent, bounded by CLOSE_SECONDS."""

    def peers(self) -> Sequence[PeerKey]: ...

    async def aclose(self) -> None: ...


class DatagramCarrier(Protocol):
    """A socket, or a virtual one."""

    def send_datagram(self, data: bytes, to: Address) -> None: ...

    def on_datagram(self, receive: Callable[[bytes, Address], None]) -> None: ...


class Trace(Protocol):
    """Where machines' events and effects are recorded (simulation, --trace)."""

    def record(self, virtual_seconds: float, node: str, kind: str, message_number: int | None) -> None: ...


@dataclass(frozen=True, slots=True)
class OutboundMegolm:
    """A sender's Megolm session. ``session_id`` has 32 bytes; ``session_key`` (secret, 229 bytes) lets a recipient
    read from ``next_index`` on; ``pickle`` is the state to persist, encrypted under the pickle key."""

    session_id: bytes
    next_index: int
    session_key: bytes = field(repr=False)
    pickle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EncryptedMegolm:
    """One encrypted message, and the state that must be persisted before ``message`` leaves."""

    index: int
    message: bytes
    pickle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InboundMegolm:
    """A recipient's Megolm session: reads messages from ``first_index`` on. ``session_id`` has 32 bytes."""

    session_id: bytes
    first_index: int
    pickle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DecryptedMegolm:
    """One decrypted message and its index in the session."""

    index: int
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OlmAccount:
    """A device's account. ``identity_key`` is its Curve25519 public key, 32 bytes; ``fallback_key`` the newest key that
    sessions with it start from, 32 bytes, empty while there is none."""

    identity_key: bytes
    pickle: bytes = field(repr=False)
    fallback_key: bytes = b""


@dataclass(frozen=True, slots=True)
class OlmSession:
    """One end of a pairwise session. ``session_id`` (32 bytes) is the same at both; ``pickle`` is the state to keep."""

    session_id: bytes
    pickle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EncryptedOlm:
    """One encrypted message, and the state that must be persisted before ``message`` leaves.

    ``is_first``: the message starts the session at its recipient, as all do until something came back."""

    message: bytes
    is_first: bool
    pickle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DecryptedOlm:
    """One decrypted message, and the session's state after it: persist that together with what the message said."""

    session: OlmSession
    plaintext: bytes = field(repr=False)


class EstablishedSas(Protocol):
    """What two ends of a comparison share once each has the other's key."""

    def decimals(self, info: str) -> tuple[int, int, int]:
        """Three numbers from 1,000 to 9,191 that people compare, for this context."""

    def mac(self, content: bytes, info: str) -> bytes:
        """32 bytes that only the two ends can make of ``content`` in this context."""

    def check_mac(self, content: bytes, info: str, mac: bytes) -> None:
        """Raises CryptoError unless ``mac`` is what the other end made."""


class Sas(Protocol):
    """One end of a comparison of short codes. Lives in memory alone, serves once."""

    @property
    def public_key(self) -> bytes:
        """Curve25519, 32 bytes."""

    def establish(self, their_key: bytes) -> EstablishedSas:
        """With the other end's key, 32 bytes. Raises CryptoError where it is none, or when called again."""


class Sessions(Protocol):
    """What libraries do with randomness of their own: Megolm, HPKE, Olm.

    Pure as seen from here: state goes in as a pickle and comes back as a new one, so that the caller persists first
    and sends then, and a crash in between costs an index, never reuses one. A pickle is a multiple of 1,536 bytes,
    encrypted under ``pickle_key`` (32 bytes, secret). The same pickle key serves all pickles of a store.

    Megolm decrypts one message as often as it is asked to: the caller records (session id, index) and drops what it
    has seen. A session proves nothing about who made it: the caller binds the session id to the device that signed
    its delivery. A recipient's pickle stays as imported: decrypting does not change it.

    Raises, all of them: CryptoError where a peer's or a stored value does not fit, ValueError where an argument
    of the caller's own making (pickle key, secret) has the wrong length.
    """

    def megolm_new(self, pickle_key: bytes) -> OutboundMegolm:
        """Start a sender's session at index 0."""

    def megolm_outbound(self, pickle: bytes, pickle_key: bytes) -> OutboundMegolm:
        """What a sender's pickle holds: to share its session key, as of the next index, with a newcomer."""

    def megolm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedMegolm:
        """Encrypt under the next index. Persist the new pickle before the message leaves."""

    def megolm_import(self, session_key: bytes, pickle_key: bytes) -> InboundMegolm:
        """Make a recipient's session of a sender's session key, 229 bytes, which the session itself has signed."""

    def megolm_export(self, pickle: bytes, pickle_key: bytes, index: int) -> bytes:
        """A recipient's session from ``index`` on, 165 bytes, secret: for another device of one's own."""

    def megolm_restore(self, exported: bytes, pickle_key: bytes) -> InboundMegolm:
        """Make a recipient's session of an export, 165 bytes. Nothing in it is signed: take it from oneself only."""

    def megolm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes) -> DecryptedMegolm:
        """Decrypt. Refuses an encoding other than the one that the sender made, so that message ids are unique."""

    def hpke_public_key(self, secret: bytes) -> bytes:
        """The X-Wing public key, 1,216 bytes, of a secret: 32 random bytes of the caller's."""

    def hpke_seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        """Seal for a holder of the X-Wing secret: 1,136 bytes longer than the plaintext. ``info`` is the context,
        which both sides must name alike; there is no other associated data."""

    def hpke_open(self, secret: bytes, info: bytes, sealed: bytes) -> bytes:
        """Open what `hpke_seal` made for this secret under this context."""

    def olm_account_new(self, pickle_key: bytes) -> OlmAccount:
        """Create a device's account, whose identity key its certificate names."""

    def olm_account(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        """What an account's pickle holds."""

    def olm_new_fallback(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        """The account with a new fallback key. The one before still serves, until the next one is made."""

    def olm_start(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, fallback_key: bytes) -> OlmSession:
        """Start a session of the account with another, by its identity key and fallback key, 32 bytes each."""

    def olm_accept(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, message: bytes) -> DecryptedOlm:
        """Take a first message of the account with this identity key: the session, and what the message says.

        A fallback key serves many: the same message is accepted again, so look for its session first
        (`olm_session_id`). The account stays as it was."""

    def olm_session_id(self, message: bytes) -> bytes:
        """The session, 32 bytes, that a first message starts."""

    def olm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedOlm:
        """Encrypt. Persist the new pickle before the message leaves. CryptoError, too, where the other end's last
        message named a key that nothing can be agreed with."""

    def olm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes, *, is_first: bool) -> DecryptedOlm:
        """Decrypt, in any order, each message once; up to 2,000 may be missing between two, and the
        last 40 of those may still come."""

    def sas_new(self) -> Sas:
        """Start a comparison of short codes."""


@dataclass(frozen=True, slots=True)
class Write:
    """Put ``value`` under ``key`` in ``table``; None deletes. Later writes of a turn win."""

    table: str
    key: bytes
    value: bytes | None = field(repr=False)


class Store(Protocol):
    """What survives the process: named tables of keys and values (`railgun.storage`).

    The tables are a closed set; a name outside it raises InvariantViolated. Every method may raise StoreError,
    whose text is one line that says what to do.
    """

    def commit(self, writes: Sequence[Write], *, survives_power_loss: bool = True) -> None:
        """All of ``writes``, in order, in one transaction: on return they survive a crash of the process, and of the
        machine if ``survives_power_loss``; on an error none is kept."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under ``key``, or None."""

    def load(self, table: str, prefix: bytes = b"") -> list[tuple[bytes, bytes]]:
        """All keys that begin with ``prefix``, with their values, in ascending order of the keys."""

    def keys(self, table: str, prefix: bytes = b"") -> list[bytes]:
        """The keys that `load` would give, without reading values."""

    def count(self, table: str) -> int:
        """How many keys ``table`` holds."""

    def close(self) -> None:
        """Release the files. Idempotent."""


class MessageArchive(Protocol):
    """The stored messages of a device, to be read where a member asks for some again. What the turn itself is about to
    commit need not be here yet."""

    def find(self, room_id: RoomId, message_id: MessageId) -> bytes | None:
        """A message's row, as a machine wrote it; None where there is none. Raises StoreError."""

    def newest(self, room_id: RoomId, count: int, before: MessageId | None = None) -> Sequence[MessageId]:
        """Up to ``count`` ids, newest first; with ``before`` those that arrived before that message, none where it is
        not here. Raises StoreError."""


class Chooser(Protocol):
    """Source of protocol choices (`random.Random` fits). Never for keys or nonces: those come from `Entropy`."""

    def random(self) -> float:
        """Uniform in [0, 1)."""

    def randrange(self, start: int, stop: int | None = None, /) -> int: ...
