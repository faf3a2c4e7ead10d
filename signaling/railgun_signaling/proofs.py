"""What a client has to show: that it holds a mailbox's key, or is the relay that its ad names.

Owns: both proofs (spec: signaling, proofs) and how an ad is read. Must not know: connections, what is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError, CryptoError

from railgun_signaling import cbor
from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.frames import Challenge, RegisterRelay, RelayAddress
from railgun_signaling.limits import AD_AHEAD_SECONDS_MAX, AD_BYTES_MAX, AD_LIFETIME_SECONDS_MAX

MAILBOX_LABEL: Final = "railgun/mailbox-proof/v1"
REGISTER_LABEL: Final = "railgun/rendezvous-relay/v1"
AD_LABEL: Final = "railgun/ad/v1"
HASH_BYTES: Final = 32
TIME_MAX: Final = 2**32 - 1
_AD_KIND: Final = 1
_AD_KEYS: Final = frozenset({0, 1, 2, 3, 4, 5, 6, 8})
_EXTRAS_KEY: Final = 7
_SIGNATURE_KEY: Final = 8


def keyed_hash(key: bytes | None, label: str, data: bytes) -> bytes:
    """H(key, label, data), 32 bytes."""
    return hashlib.blake2b(label.encode("ascii") + b"\0" + data, key=key or b"", digest_size=HASH_BYTES).digest()


def content_hash(data: bytes) -> bytes:
    """BLAKE2b-256 without key or label: what signatures cover."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


class ChallengeKey:
    """One connection's challenge: a nonce and a fresh X25519 key, whose secret never leaves this object."""

    def __init__(self, version: int, nonce: bytes, secret: bytes) -> None:
        """``nonce``, ``secret``: 32 random bytes each."""
        self._secret = secret
        self.challenge = Challenge(version, nonce, bindings.crypto_scalarmult_base(secret))

    def __repr__(self) -> str:
        return "ChallengeKey(<redacted>)"

    def check_mailbox(self, mailbox: bytes, proof: bytes) -> None:
        """Raises Refusal (BAD_PROOF) unless ``proof`` shows that its sender holds the secret of ``mailbox``."""
        try:
            shared = bindings.crypto_scalarmult(self._secret, mailbox)
        except (CryptoError, RuntimeError) as error:  # a point of small order, which proves nothing
            raise Refusal(RefusalCode.BAD_PROOF) from error
        if not hmac.compare_digest(mailbox_proof(shared, self.challenge, mailbox), proof):
            raise Refusal(RefusalCode.BAD_PROOF)

    def check_relay(self, frame: RegisterRelay, node_key: bytes) -> None:
        """Raises Refusal (BAD_PROOF) unless the node signed this very registration."""
        content = self.challenge.nonce + self.challenge.key + frame.network + content_hash(frame.ad)
        if not verifies(node_key, REGISTER_LABEL, content, frame.signature):
            raise Refusal(RefusalCode.BAD_PROOF)


def mailbox_proof(shared: bytes, challenge: Challenge, mailbox: bytes) -> bytes:
    """What opens ``mailbox``: 32 bytes; ``shared`` is X25519 of the mailbox's and the challenge's key."""
    return keyed_hash(shared, MAILBOX_LABEL, challenge.nonce + challenge.key + mailbox)


def verifies(public_key: bytes, label: str, content: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is one by ``public_key`` over ``content`` under ``label``, as everywhere in Rail Gun."""
    statement = label.encode("ascii") + b"\0" + content_hash(content)
    try:
        bindings.crypto_sign_open(signature + statement, public_key)
    except (BadSignatureError, CryptoError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class RelayAd:
    """What an ad says that matters here. ``expires``: Unix seconds."""

    relay: RelayAddress
    expires: int

    @property
    def host(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """Where the relay listens."""
        return ipaddress.ip_address(self.relay.addresses[0][:-2])


def read_ad(data: bytes, wall: float) -> RelayAd:
    """The ad, if it is signed by its node and holds at ``wall`` (Unix seconds). Raises Refusal (BAD_AD)."""
    try:
        value = cbor.decode(data, bytes_max=AD_BYTES_MAX)
    except Refusal as error:
        raise Refusal(RefusalCode.BAD_AD) from error
    if not isinstance(value, dict) or set(value) - {_EXTRAS_KEY} != _AD_KEYS or value[0] != _AD_KIND:
        raise Refusal(RefusalCode.BAD_AD)
    node_key, address, certificate_hash = value[1], value[2], value[3]
    issued, expires, signature = value[5], value[6], value[_SIGNATURE_KEY]
    if not (_is_bytes(node_key, 32) and _is_bytes(certificate_hash, 32) and _is_bytes(signature, 64)):
        raise Refusal(RefusalCode.BAD_AD)
    if not isinstance(address, bytes) or len(address) not in (6, 18) or address[-2:] == b"\0\0":
        raise Refusal(RefusalCode.BAD_AD)
    if not (_is_time(issued) and _is_time(expires) and _is_role(value[4]) and _is_extras(value.get(_EXTRAS_KEY, b""))):
        raise Refusal(RefusalCode.BAD_AD)
    content = cbor.encode({key: item for key, item in value.items() if key != _SIGNATURE_KEY})
    if not verifies(node_key, AD_LABEL, content, signature):  # type: ignore[arg-type]  # checked above
        raise Refusal(RefusalCode.BAD_AD)
    if not _holds(issued, expires, wall):  # type: ignore[arg-type]
        raise Refusal(RefusalCode.BAD_AD)
    return RelayAd(RelayAddress(node_key, certificate_hash, (address,)), expires)  # type: ignore[arg-type]


def _holds(issued: int, expires: int, wall: float) -> bool:
    lives = issued < expires <= issued + AD_LIFETIME_SECONDS_MAX
    return lives and issued <= wall + AD_AHEAD_SECONDS_MAX and wall < expires


def _is_bytes(value: object, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value <= TIME_MAX


def _is_role(value: object) -> bool:
    return type(value) is int and 0 <= value <= 255


def _is_extras(value: object) -> bool:
    return value == b"" or _is_bytes(value, 32)
