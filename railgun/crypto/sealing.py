"""Sealing, checking and opening envelopes.

Owns: the cipher and the signature around an inner part. Must not know: what a body means, or whose turn it is.
Spec: docs/spec/envelope.md.

A relay runs `check_envelope` and learns nothing but the header. A member runs `open_envelope`: the cipher's tag
covers all that it reads, so it need not check the signature as well.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import content_hash
from railgun.crypto.signing import sign_digest, verify_digest
from railgun.errors import CryptoError, PeerError, RefusalCode
from railgun.types import EnvelopeId, EnvelopeKind, SizeClass
from railgun.wire.envelope import (
    NONCE_BYTES,
    EnvelopeHeader,
    Inner,
    ParsedEnvelope,
    pack_header,
    pack_inner,
    parse_envelope,
    unpack_inner,
)

ENVELOPE_LABEL: Final = "railgun/envelope/v1"
ENVELOPE_ID_BYTES: Final = 16
FORGED_PENALTY_POINTS: Final = 10


def seal_envelope(
    keys: EpochKeys, kind: EnvelopeKind, hint: bytes, body: bytes, size_class: SizeClass, nonce: bytes
) -> bytes:
    """One envelope of exactly ``size_class.envelope_bytes`` bytes.

    ``nonce`` is 12 random bytes, never used twice under one K_e; ``hint`` 8 bytes.

    Raises:
        ValueError: the body does not fit, or nonce or hint have the wrong length.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    header = pack_header(EnvelopeHeader(size_class, keys.start, keys.tag))
    inner = pack_inner(kind, hint, body, size_class)
    sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(inner, header, nonce, keys.header_key)
    unsigned = header + nonce + sealed
    return unsigned + sign_digest(keys.signing_key, ENVELOPE_LABEL, content_hash(unsigned))


def check_envelope(data: bytes) -> tuple[EnvelopeHeader, EnvelopeId]:
    """What a relay checks of an envelope by itself: its layout, and the signature under its own tag.

    Raises:
        MalformedInput: the layout is wrong (WRONG_SIZE, UNSUPPORTED_VERSION or MALFORMED).
        PeerError: BAD_SIGNATURE.
    """
    envelope = parse_envelope(data)
    digest = content_hash(envelope.signed_part)
    if not verify_digest(envelope.tag, ENVELOPE_LABEL, digest, envelope.signature):
        raise PeerError(RefusalCode.BAD_SIGNATURE, "envelope", penalty_points=FORGED_PENALTY_POINTS)
    return envelope.header, EnvelopeId(digest[:ENVELOPE_ID_BYTES])


def envelope_id(data: bytes) -> EnvelopeId:
    """The id of an envelope, 16 bytes, without checking its signature: a relay looks here first.

    Raises MalformedInput where the layout is wrong.
    """
    return EnvelopeId(content_hash(parse_envelope(data).signed_part)[:ENVELOPE_ID_BYTES])


def signed_digest(envelope: ParsedEnvelope) -> bytes:
    """BLAKE2b-256 of all that the signature covers, 32 bytes; the id is its beginning. Hash once, use twice."""
    return content_hash(envelope.signed_part)


def id_of_digest(digest: bytes) -> EnvelopeId:
    """The envelope's id, 16 bytes, from `signed_digest`."""
    return EnvelopeId(digest[:ENVELOPE_ID_BYTES])


def is_signed(envelope: ParsedEnvelope, digest: bytes) -> bool:
    """Whether a holder of r_e signed it; ``digest`` is its `signed_digest`."""
    return verify_digest(envelope.tag, ENVELOPE_LABEL, digest, envelope.signature)


def open_envelope(keys: EpochKeys, data: bytes) -> Inner:
    """What a member reads.

    Raises:
        CryptoError: the envelope belongs to other keys, or was altered.
        MalformedInput: its layout is wrong, or a holder of the epoch's keys sealed nonsense.
    """
    return open_parsed(keys, parse_envelope(data))


def open_parsed(keys: EpochKeys, envelope: ParsedEnvelope) -> Inner:
    """As `open_envelope`, of an envelope that is parsed already."""
    if envelope.tag != keys.tag or envelope.epoch_start != keys.start:
        raise CryptoError
    try:
        inner = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
            envelope.sealed, envelope.header_part, envelope.nonce, keys.header_key
        )
    except SodiumError as error:
        raise CryptoError from error
    return unpack_inner(inner)
