"""Olm and short authentication strings, as vodozemac does them: one part of `Sessions`.

Owns: how the library is called for pairs of devices, and how its states are pickled. Must not know: who talks to whom,
when a session is renewed. Spec: docs/spec/sessions.md, "Olm".

Unpickling a session costs more than encrypting with it: those used last stay alive, found by their very pickle.
"""

from __future__ import annotations

import binascii
from typing import Final

import vodozemac

from railgun.crypto.pickles import Recent, from_base64, pickle_key_for, pickled, to_base64, unpickled
from railgun.errors import CryptoError
from railgun.limits import OLM_MESSAGE_BYTES_MAX
from railgun.ports import DecryptedOlm, EncryptedOlm, EstablishedSas, OlmAccount, OlmSession, Sas

CURVE25519_KEY_BYTES: Final = 32
SAS_MAC_BYTES: Final = 32
_ACCOUNT: Final = b"olm-account"
_SESSION: Final = b"olm"
_FIRST, _LATER = 0, 1
_LIBRARY_ERRORS: Final = (ValueError, binascii.Error)


class VodozemacOlm:
    """Olm accounts and sessions. Not for use by several threads at once."""

    def __init__(self, live_sessions_max: int) -> None:
        """Keep at most ``live_sessions_max`` sessions unpickled."""
        self._olm: Recent[vodozemac.Session] = Recent(live_sessions_max)
        self._accounts: Recent[vodozemac.Account] = Recent(2)

    # --- accounts -----------------------------------------------------------------------------

    def olm_account_new(self, pickle_key: bytes) -> OlmAccount:
        """See `Sessions`."""
        return _describe_account(vodozemac.Account(), pickle_key)

    def olm_account(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        """See `Sessions`."""
        account = self._account(pickle, pickle_key)
        return OlmAccount(bytes(account.curve25519_key.to_bytes()), pickle, _fallback_key(account))

    def olm_new_fallback(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        """See `Sessions`."""
        account = _read_account(pickle, pickle_key)
        account.generate_fallback_key()  # type: ignore[attr-defined]  # the library's stubs forgot it
        return _describe_account(account, pickle_key)

    # --- sessions -----------------------------------------------------------------------------

    def olm_start(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, fallback_key: bytes) -> OlmSession:
        """See `Sessions`."""
        account = self._account(pickle, pickle_key)
        try:
            session = account.create_outbound_session(_curve_key(identity_key), _curve_key(fallback_key))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error
        return self._kept(session, pickle_key)

    def olm_accept(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, message: bytes) -> DecryptedOlm:
        """See `Sessions`."""
        # Of its own copy: the library may change an account whose key was used up.
        account = _read_account(pickle, pickle_key)
        first = _parse(message, _FIRST).to_pre_key()
        if first is None:
            raise CryptoError
        try:
            session, plaintext = account.create_inbound_session(_curve_key(identity_key), first)
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error
        return DecryptedOlm(self._kept(session, pickle_key), bytes(plaintext))

    def olm_session_id(self, message: bytes) -> bytes:
        """See `Sessions`."""
        first = _parse(message, _FIRST).to_pre_key()
        if first is None:
            raise CryptoError
        return from_base64(first.session_id())

    def olm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedOlm:
        """See `Sessions`."""
        session = self._session(pickle, pickle_key)
        try:
            kind, message = session.encrypt(plaintext).to_parts()
        except _LIBRARY_ERRORS as error:
            # The other end chose the key that this answers to, and may have chosen one that nothing can be agreed with.
            raise CryptoError from error
        return EncryptedOlm(bytes(message), kind == _FIRST, self._kept(session, pickle_key).pickle)

    def olm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes, *, is_first: bool) -> DecryptedOlm:
        """See `Sessions`."""
        parsed = _parse(message, _FIRST if is_first else _LATER)
        session = self._session(pickle, pickle_key)
        first = parsed.to_pre_key()
        # The library looks at the message inside alone; the keys around it have to be this session's, too.
        if first is not None and first.session_id() != session.session_id:
            raise CryptoError
        try:
            plaintext = session.decrypt(parsed)
        except _LIBRARY_ERRORS as error:
            # What failed may have moved nothing; the pickle is the truth in any case.
            raise CryptoError from error
        return DecryptedOlm(self._kept(session, pickle_key), bytes(plaintext))

    def sas_new(self) -> Sas:
        """See `Sessions`."""
        return _Sas()

    # --- pickles ------------------------------------------------------------------------------

    def _account(self, pickle: bytes, pickle_key: bytes) -> vodozemac.Account:
        """To read from and to start sessions with, neither of which changes it."""
        account = self._accounts.take((pickle, pickle_key)) or _read_account(pickle, pickle_key)
        self._accounts.put((pickle, pickle_key), account)
        return account

    def _session(self, pickle: bytes, pickle_key: bytes) -> vodozemac.Session:
        """The session of a pickle, out of the cache: what it becomes goes back under its new pickle."""
        live = self._olm.take((pickle, pickle_key))
        if live is not None:
            return live
        session_id, text = unpickled(_SESSION, pickle)
        try:
            return vodozemac.Session.from_pickle(text, pickle_key_for(pickle_key, _SESSION, session_id))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error

    def _kept(self, session: vodozemac.Session, pickle_key: bytes) -> OlmSession:
        session_id = from_base64(session.session_id)
        text = session.pickle(pickle_key_for(pickle_key, _SESSION, session_id))
        pickle = pickled(_SESSION, session_id, text)
        self._olm.put((pickle, pickle_key), session)
        return OlmSession(session_id, pickle)


class _Sas:
    """One `Sas`."""

    def __init__(self) -> None:
        self._sas = vodozemac.Sas()

    def __repr__(self) -> str:
        return "Sas(<redacted>)"

    @property
    def public_key(self) -> bytes:
        """See `Sas`."""
        return bytes(self._sas.public_key.to_bytes())

    def establish(self, their_key: bytes) -> EstablishedSas:
        """See `Sas`."""
        try:
            return _EstablishedSas(self._sas.diffie_hellman(_curve_key(their_key)))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error


class _EstablishedSas:
    """One `EstablishedSas`."""

    def __init__(self, established: vodozemac.EstablishedSas) -> None:
        self._established = established

    def __repr__(self) -> str:
        return "EstablishedSas(<redacted>)"

    def decimals(self, info: str) -> tuple[int, int, int]:
        """See `EstablishedSas`."""
        return self._established.bytes(info).decimals

    def mac(self, content: bytes, info: str) -> bytes:
        """See `EstablishedSas`."""
        return from_base64(self._established.calculate_mac(content.hex(), info))

    def check_mac(self, content: bytes, info: str, mac: bytes) -> None:
        """See `EstablishedSas`."""
        if len(mac) != SAS_MAC_BYTES:
            raise CryptoError
        try:
            self._established.verify_mac(content.hex(), info, to_base64(mac))
        except _LIBRARY_ERRORS as error:
            raise CryptoError from error


def _parse(message: bytes, kind: int) -> vodozemac.AnyOlmMessage:
    if len(message) > OLM_MESSAGE_BYTES_MAX:
        raise CryptoError
    try:
        parsed = vodozemac.AnyOlmMessage.from_parts(kind, message)
        # Unknown fields and long integers are read, too: one message should have one encoding.
        if parsed.to_parts() != (kind, message):
            raise CryptoError
    except _LIBRARY_ERRORS as error:
        raise CryptoError from error
    return parsed


def _curve_key(key: bytes) -> vodozemac.Curve25519PublicKey:
    if len(key) != CURVE25519_KEY_BYTES:
        raise CryptoError
    return vodozemac.Curve25519PublicKey.from_bytes(key)


def _read_account(pickle: bytes, pickle_key: bytes) -> vodozemac.Account:
    identity_key, text = unpickled(_ACCOUNT, pickle)
    try:
        return vodozemac.Account.from_pickle(text, pickle_key_for(pickle_key, _ACCOUNT, identity_key))
    except _LIBRARY_ERRORS as error:
        raise CryptoError from error


def _describe_account(account: vodozemac.Account, pickle_key: bytes) -> OlmAccount:
    identity_key = bytes(account.curve25519_key.to_bytes())
    text = account.pickle(pickle_key_for(pickle_key, _ACCOUNT, identity_key))
    return OlmAccount(identity_key, pickled(_ACCOUNT, identity_key, text), _fallback_key(account))


def _fallback_key(account: vodozemac.Account) -> bytes:
    """The newest. The library names only keys that were not marked as published: here none ever is."""
    keys = account.fallback_key  # type: ignore[attr-defined]  # the library's stubs forgot it
    return next((bytes(key.to_bytes()) for key in keys.values()), b"")
