"""`Sessions` on vodozemac and `cryptography`: Megolm and HPKE with X-Wing here, Olm in `railgun.crypto.olm`.

Owns: how the libraries are called, and how their states are pickled. Must not know: rooms, rosters, when to rotate.
Spec: docs/spec/sessions.md. HPKE (RFC 9180, base mode): X-Wing, HKDF-SHA256, ChaCha20-Poly1305.

Unpickling a sender's session costs as much as encrypting with it, so the sessions used last stay alive, found by
the very pickle that they would be read from. A stale pickle finds nothing and is read again: the cache cannot be seen.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import Final

import vodozemac
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from railgun.crypto.olm import VodozemacOlm
from railgun.crypto.pickles import Recent, from_base64, pickle_key_for, pickled, to_base64, unpickled
from railgun.errors import CryptoError
from railgun.limits import HPKE_PLAINTEXT_BYTES_MAX, MEGOLM_LIVE_SESSIONS_MAX
from railgun.ports import DecryptedMegolm, EncryptedMegolm, InboundMegolm, OutboundMegolm

SESSION_ID_BYTES: Final = 32
SESSION_KEY_BYTES: Final = 229
EXPORTED_KEY_BYTES: Final = 165
XWING_SECRET_BYTES: Final = 32
XWING_PUBLIC_KEY_BYTES: Final = 1_216
HPKE_ENC_BYTES: Final = 1_120
HPKE_OVERHEAD_BYTES: Final = HPKE_ENC_BYTES + 16
_MLKEM_SEED_BYTES: Final = 64
_MLKEM_PUBLIC_KEY_BYTES: Final = 1_184

_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)

# vodozemac's own errors are ValueErrors without a public base; those of damaged text are plain ValueErrors.
_LIBRARY_ERRORS: Final = (ValueError, binascii.Error)


class VodozemacSessions(VodozemacOlm):
    """The real `Sessions`. Not for use by several threads at once."""

    def __init__(self, live_sessions_max: int = MEGOLM_LIVE_SESSIONS_MAX) -> None:
        """Keep at most ``live_sessions_max`` sessions unpickled, for each direction."""
        super().__init__(live_sessions_max)
        self._outbound: Recent[vodozemac.GroupSession] = Recent(live_sessions_max)
        self._inbound: Recent[vodozemac.InboundGroupSession] = Recent(live_sessions_max)

    def __repr__(self) -> str:
        return "VodozemacSessions(<redacted>)"

    def megolm_new(self, pickle_key: bytes) -> OutboundMegolm:
        """See `Sessions`."""
        session = vodozemac.GroupSession()
        pickle = _pickle_outbound(session, pickle_key)
        self._outbound.put((pickle, pickle_key), session)
        return _describe_outbound(session, pickle)

    def megolm_outbound(self, pickle: bytes, pickle_key: bytes) -> OutboundMegolm:
        """See `Sessions`."""
        session = self._take_outbound(pickle, pickle_key)
        self._outbound.put((pickle, pickle_key), session)
        return _describe_outbound(session, pickle)

    def megolm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedMegolm:
        """See `Sessions`."""
        session = self._take_outbound(pickle, pickle_key)
        index = session.message_index
        message = session.encrypt(plaintext).to_bytes()
        new_pickle = _pickle_outbound(session, pickle_key)
        self._outbound.put((new_pickle, pickle_key), session)
        return EncryptedMegolm(index, message, new_pickle)

    def megolm_import(self, session_key: bytes, pickle_key: bytes) -> InboundMegolm:
        """See `Sessions`."""
        if len(session_key) != SESSION_KEY_BYTES:
            raise CryptoError
        try:
            session = vodozemac.InboundGroupSession(vodozemac.SessionKey(to_base64(session_key)))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error
        return self._adopt_inbound(session, pickle_key)

    def megolm_restore(self, exported: bytes, pickle_key: bytes) -> InboundMegolm:
        """See `Sessions`."""
        if len(exported) != EXPORTED_KEY_BYTES:
            raise CryptoError
        try:
            session = vodozemac.InboundGroupSession.import_session(vodozemac.ExportedSessionKey(to_base64(exported)))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error
        return self._adopt_inbound(session, pickle_key)

    def megolm_export(self, pickle: bytes, pickle_key: bytes, index: int) -> bytes:
        """See `Sessions`."""
        if not 0 <= index < 1 << 32:
            raise ValueError("a message index is a u32")
        exported = self._inbound_session(pickle, pickle_key).export_at(index)
        if exported is None:
            raise CryptoError
        return from_base64(exported.to_base64())

    def megolm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes) -> DecryptedMegolm:
        """See `Sessions`."""
        session = self._inbound_session(pickle, pickle_key)
        try:
            parsed = vodozemac.MegolmMessage.from_bytes(message)
            # The library reads unknown fields and long integers, which its signature does not cover: anyone could
            # make a second encoding of a message, and with it a second message id.
            if parsed.to_bytes() != message:
                raise CryptoError
            decrypted = session.decrypt(parsed)
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error
        return DecryptedMegolm(decrypted.message_index, bytes(decrypted.plaintext))

    def hpke_public_key(self, secret: bytes) -> bytes:
        """See `Sessions`."""
        mlkem, x25519 = _xwing_parts(secret)
        return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def hpke_seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        """See `Sessions`."""
        if len(plaintext) > HPKE_PLAINTEXT_BYTES_MAX:
            raise ValueError(f"at most {HPKE_PLAINTEXT_BYTES_MAX} bytes can be sealed")
        if len(public_key) != XWING_PUBLIC_KEY_BYTES:
            raise CryptoError
        try:
            recipient = hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_PUBLIC_KEY_BYTES]),
                X25519PublicKey.from_public_bytes(public_key[_MLKEM_PUBLIC_KEY_BYTES:]),
            )
            return bytes(_SUITE.encrypt(plaintext, recipient, info=info))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error

    def hpke_open(self, secret: bytes, info: bytes, sealed: bytes) -> bytes:
        """See `Sessions`."""
        recipient = hpke.MLKEM768X25519PrivateKey(*_xwing_parts(secret))
        if not HPKE_OVERHEAD_BYTES <= len(sealed) <= HPKE_OVERHEAD_BYTES + HPKE_PLAINTEXT_BYTES_MAX:
            raise CryptoError
        try:
            return bytes(_SUITE.decrypt(sealed, recipient, info=info))
        except (InvalidTag, *_LIBRARY_ERRORS) as error:
            raise CryptoError from error

    def _adopt_inbound(self, session: vodozemac.InboundGroupSession, pickle_key: bytes) -> InboundMegolm:
        session_id = from_base64(session.session_id)
        text = session.pickle(pickle_key_for(pickle_key, b"megolm-in", session_id))
        pickle = pickled(b"megolm-in", session_id, text)
        self._inbound.put((pickle, pickle_key), session)
        return InboundMegolm(session_id, session.first_known_index, pickle)

    def _take_outbound(self, pickle: bytes, pickle_key: bytes) -> vodozemac.GroupSession:
        """The session of a pickle, out of the cache: what it becomes goes back under its new pickle."""
        live = self._outbound.take((pickle, pickle_key))
        if live is not None:
            return live
        session_id, text = unpickled(b"megolm-out", pickle)
        try:
            return vodozemac.GroupSession.from_pickle(text, pickle_key_for(pickle_key, b"megolm-out", session_id))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error

    def _inbound_session(self, pickle: bytes, pickle_key: bytes) -> vodozemac.InboundGroupSession:
        live = self._inbound.take((pickle, pickle_key))
        if live is None:
            session_id, text = unpickled(b"megolm-in", pickle)
            key = pickle_key_for(pickle_key, b"megolm-in", session_id)
            try:
                live = vodozemac.InboundGroupSession.from_pickle(text, key)
            except _LIBRARY_ERRORS as error:
                raise CryptoError from error
        self._inbound.put((pickle, pickle_key), live)
        return live


def _describe_outbound(session: vodozemac.GroupSession, pickle: bytes) -> OutboundMegolm:
    return OutboundMegolm(
        session_id=from_base64(session.session_id),
        next_index=session.message_index,
        session_key=from_base64(session.session_key.to_base64()),
        pickle=pickle,
    )


def _pickle_outbound(session: vodozemac.GroupSession, pickle_key: bytes) -> bytes:
    session_id = from_base64(session.session_id)
    return pickled(b"megolm-out", session_id, session.pickle(pickle_key_for(pickle_key, b"megolm-out", session_id)))


def _xwing_parts(secret: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """X-Wing's key expansion: SHAKE256 of the 32-byte secret, 64 bytes for ML-KEM-768, 32 for X25519."""
    if len(secret) != XWING_SECRET_BYTES:
        raise ValueError("an X-Wing secret has 32 bytes")
    expanded = hashlib.shake_256(secret).digest(_MLKEM_SEED_BYTES + 32)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]),
    )
