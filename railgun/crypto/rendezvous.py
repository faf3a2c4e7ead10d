"""What keeps a rendezvous server blind: sealed blobs, fresh mailbox keys, and the proofs that it asks for.

Owns: their derivation, sealing, proofs. Must not know: frames, sockets, what a blob says.

Spec: docs/spec/signaling.md. X25519 and ChaCha20-Poly1305 by libsodium.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from railgun.crypto.hashing import content_hash, keyed_hash, u32
from railgun.crypto.signing import sign
from railgun.errors import CryptoError
from railgun.limits import SEALED_BLOB_BYTES, SEALED_BLOB_CONTENT_BYTES_MAX

BLOB_LABEL: Final = "railgun/sealed-blob/v1"
MAILBOX_PROOF_LABEL: Final = "railgun/mailbox-proof/v1"
INVITE_MAILBOX_LABEL: Final = "railgun/invite-mailbox/v1"
REGISTER_LABEL: Final = "railgun/rendezvous-relay/v1"
BLOB_VERSION: Final = 1
KEY_BYTES: Final = 32
MAILBOX_PERIOD_SECONDS: Final = 3_600
"""How long an invite's mailboxes keep their keys."""
MAILBOX_SLOTS: Final = 4
"""Mailboxes of one invite in one period: as many members may wait at once."""
_NONCE: Final = bytes(12)
"""The key is used once: it comes from an ephemeral key."""


@dataclass(frozen=True, slots=True)
class MailboxKey:
    """An X25519 key. ``public`` names the mailbox."""

    secret: bytes = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, secret: bytes) -> MailboxKey:
        """Raises ValueError unless ``secret`` has 32 bytes."""
        if len(secret) != KEY_BYTES:
            raise ValueError("an X25519 secret has 32 bytes")
        return cls(secret, bindings.crypto_scalarmult_base(secret))

    def proof(self, nonce: bytes, challenge_key: bytes) -> bytes:
        """What opens the mailbox, 32 bytes: that its secret is held. Raises CryptoError for a key of small order."""
        shared = _shared(self.secret, challenge_key)
        return keyed_hash(shared, MAILBOX_PROOF_LABEL, nonce + challenge_key + self.public)

    def open(self, blob: bytes) -> bytes:
        """What `seal_blob` sealed for this mailbox. Raises CryptoError."""
        if len(blob) != SEALED_BLOB_BYTES or blob[0] != BLOB_VERSION:
            raise CryptoError
        ephemeral, box = blob[1 : 1 + KEY_BYTES], blob[1 + KEY_BYTES :]
        key = _blob_key(_shared(self.secret, ephemeral), ephemeral, self.public)
        try:
            padded = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(box, _associated(self.public), _NONCE, key)
        except SodiumError as error:
            raise CryptoError from error
        length = int.from_bytes(padded[:2], "big")
        if length > SEALED_BLOB_CONTENT_BYTES_MAX or any(padded[2 + length :]):
            raise CryptoError
        return bytes(padded[2 : 2 + length])


def seal_blob(mailbox: bytes, content: bytes, ephemeral_secret: bytes) -> bytes:
    """4,096 bytes that only the holder of ``mailbox`` opens, whatever ``content`` says (at most 4,045 bytes).

    Args:
        ephemeral_secret: 32 random bytes, never used twice.

    Raises:
        ValueError: ``content`` is too long.
        CryptoError: ``mailbox`` is a key of small order.
    """
    if len(content) > SEALED_BLOB_CONTENT_BYTES_MAX:
        raise ValueError(f"a blob holds at most {SEALED_BLOB_CONTENT_BYTES_MAX} bytes")
    ephemeral = MailboxKey.of(ephemeral_secret)
    key = _blob_key(_shared(ephemeral_secret, mailbox), ephemeral.public, mailbox)
    padded = len(content).to_bytes(2, "big") + content + bytes(SEALED_BLOB_CONTENT_BYTES_MAX - len(content))
    box = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(padded, _associated(mailbox), _NONCE, key)
    return bytes((BLOB_VERSION,)) + ephemeral.public + bytes(box)


def mailbox_period(wall: float) -> int:
    """The period of an invite's mailboxes that holds at ``wall``, Unix seconds."""
    return int(wall) // MAILBOX_PERIOD_SECONDS


def invite_mailbox(lobby_secret: bytes, period: int, slot: int) -> MailboxKey:
    """The mailbox in which a member may wait for who holds an invite, in one period.

    Args:
        lobby_secret: 32 bytes; the joiner has it from the link, members from the roster.
        period: see `mailbox_period`.
        slot: 0 to 3.
    """
    return MailboxKey.of(keyed_hash(lobby_secret, INVITE_MAILBOX_LABEL, u32(period) + bytes((slot,))))


def sign_registration(seed: bytes, nonce: bytes, challenge_key: bytes, network: bytes, ad: bytes) -> bytes:
    """A relay's word that it is here now: 64 bytes by its node key, over the server's challenge."""
    return sign(seed, REGISTER_LABEL, nonce + challenge_key + network + content_hash(ad))


def _shared(secret: bytes, public: bytes) -> bytes:
    try:
        return bytes(bindings.crypto_scalarmult(secret, public))
    except (SodiumError, RuntimeError) as error:  # the point is of small order
        raise CryptoError from error


def _blob_key(shared: bytes, ephemeral: bytes, mailbox: bytes) -> bytes:
    return keyed_hash(shared, BLOB_LABEL, ephemeral + mailbox)


def _associated(mailbox: bytes) -> bytes:
    return bytes((BLOB_VERSION,)) + mailbox
