"""A stand-in for Olm in the simulator: the same sizes and refusals, from a seed, at no security.

Owns: fake accounts, sessions between two of them, fake codes to compare. Must not know: who simulates what.
NEVER for real traffic: whoever sees a first message reads all of its session.
"""

from __future__ import annotations

import struct
from typing import Final

from railgun.crypto.hashing import HASH_BYTES, keyed_hash, u32
from railgun.crypto.pickles import PICKLE_BLOCK_BYTES, PICKLE_KEY_BYTES
from railgun.crypto.simulated import Draws, read_varint, session_id, tag, varint, xor
from railgun.errors import CryptoError
from railgun.limits import OLM_MESSAGE_BYTES_MAX
from railgun.ports import DecryptedOlm, EncryptedOlm, EstablishedSas, OlmAccount, OlmSession, Sas

_VERSION: Final = 3
_MAC_BYTES: Final = 8
_CIPHER_BLOCK_BYTES: Final = 16
_KEPT: Final = 40
_GAP_MAX: Final = 2_000
_STATE: Final = struct.Struct(">32sB?II5s")
"""Secret, side (0 started it), whether anything came, next index to send, next to receive, which of the last 40 did not
come."""
_SESSION_PICKLE_BYTES: Final = 2 * PICKLE_BLOCK_BYTES
_MAC: Final = "railgun/simulated-sas-mac/v1"


class DeterministicOlm:
    """The part of `Sessions` that is between two devices, from a seed."""

    def __init__(self, draws: Draws) -> None:
        self._olm_draws = draws

    def olm_account_new(self, pickle_key: bytes) -> OlmAccount:
        """See `Sessions`."""
        return _account(self._olm_draws.draw(b"olm"), 0, pickle_key)

    def olm_account(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        """See `Sessions`."""
        return _account(*_read_account(pickle, pickle_key), pickle_key)

    def olm_new_fallback(self, pickle: bytes, pickle_key: bytes) -> OlmAccount:
        """See `Sessions`."""
        secret, made = _read_account(pickle, pickle_key)
        return _account(secret, made + 1, pickle_key)

    def olm_start(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, fallback_key: bytes) -> OlmSession:
        """See `Sessions`."""
        secret, _ = _read_account(pickle, pickle_key)
        if len(identity_key) != HASH_BYTES or len(fallback_key) != HASH_BYTES:
            raise CryptoError
        base = self._olm_draws.draw(b"olm-session")
        shared = _shared(fallback_key, base, session_id(secret), identity_key)
        return _session(shared, (0, False, 0, 0, bytes(5)), pickle_key, fallback_key + base + session_id(secret))

    def olm_accept(self, pickle: bytes, pickle_key: bytes, identity_key: bytes, message: bytes) -> DecryptedOlm:
        """See `Sessions`."""
        secret, made = _read_account(pickle, pickle_key)
        keys, _ = _read_first(message)
        fallback, base, sender = keys[:32], keys[32:64], keys[64:]
        usable = [_fallback(secret, number) for number in (made, made - 1) if number > 0]
        if sender != identity_key or fallback not in usable:
            raise CryptoError
        shared = _shared(fallback, base, sender, session_id(secret))
        session = _session(shared, (1, False, 0, 0, bytes(5)), pickle_key, bytes(96))
        return self.olm_decrypt(session.pickle, pickle_key, message, is_first=True)

    def olm_session_id(self, message: bytes) -> bytes:
        """See `Sessions`."""
        keys, _ = _read_first(message)
        return keyed_hash(None, "railgun/simulated-olm-id/v1", keys)

    def olm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedOlm:
        """See `Sessions`."""
        name, secret, state, first = _read_session(pickle, pickle_key)
        side, has_received, send, receive, missing = state
        padding = _CIPHER_BLOCK_BYTES - len(plaintext) % _CIPHER_BLOCK_BYTES
        ciphertext = xor(plaintext + bytes([padding]) * padding, secret, bytes([side]) + u32(send))
        ratchet = keyed_hash(secret, "railgun/simulated-ratchet/v1", bytes([side]))
        message = b"".join(
            (bytes([_VERSION, 0x0A, 32]), ratchet, b"\x10", varint(send), b"\x22", varint(len(ciphertext)), ciphertext)
        )
        message += tag(secret, message, _MAC_BYTES)
        is_first = side == 0 and not has_received
        if is_first:
            message = _with_keys(first) + b"\x22" + varint(len(message)) + message
        kept = _session_named(name, secret, (side, has_received, send + 1, receive, missing), pickle_key, first)
        return EncryptedOlm(message, is_first, kept.pickle)

    def olm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes, *, is_first: bool) -> DecryptedOlm:
        """See `Sessions`."""
        name, secret, state, first = _read_session(pickle, pickle_key)
        side, _, send, receive, missing = state
        inner = _read_first(message)[1] if is_first else message
        if is_first and self.olm_session_id(message) != name:
            raise CryptoError
        ratchet = keyed_hash(secret, "railgun/simulated-ratchet/v1", bytes([1 - side]))
        head = bytes([_VERSION, 0x0A, 32]) + ratchet + b"\x10"
        body, mac = inner[:-_MAC_BYTES], inner[-_MAC_BYTES:]
        if len(inner) > OLM_MESSAGE_BYTES_MAX or mac != tag(secret, body, _MAC_BYTES) or not body.startswith(head):
            raise CryptoError
        index, offset = read_varint(body, len(head))
        _, offset = read_varint(body, offset + 1)
        receive, missing = _received(index, receive, missing)
        padded = xor(body[offset:], secret, bytes([1 - side]) + u32(index))
        kept = _session_named(name, secret, (side, True, send, receive, missing), pickle_key, first)
        return DecryptedOlm(kept, padded[: -padded[-1]])

    def sas_new(self) -> Sas:
        """See `Sessions`."""
        return _FakeSas(self._olm_draws.draw(b"sas"))


class _FakeSas:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._used = False

    @property
    def public_key(self) -> bytes:
        """See `Sas`."""
        return session_id(self._secret)

    def establish(self, their_key: bytes) -> EstablishedSas:
        """See `Sas`."""
        if self._used or len(their_key) != HASH_BYTES or not any(their_key):
            raise CryptoError
        self._used = True
        first, second = sorted((self.public_key, their_key))
        return _FakeEstablishedSas(keyed_hash(None, "railgun/simulated-sas/v1", first + second))


class _FakeEstablishedSas:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def decimals(self, info: str) -> tuple[int, int, int]:
        """See `EstablishedSas`."""
        code = keyed_hash(self._secret, "railgun/simulated-sas-code/v1", info.encode())
        one, two, three = (1_000 + int.from_bytes(code[at : at + 2], "big") % 8_192 for at in (0, 2, 4))
        return one, two, three

    def mac(self, content: bytes, info: str) -> bytes:
        """See `EstablishedSas`."""
        return keyed_hash(self._secret, _MAC, info.encode() + b"\0" + content)

    def check_mac(self, content: bytes, info: str, mac: bytes) -> None:
        """See `EstablishedSas`."""
        if mac != self.mac(content, info):
            raise CryptoError


_State = tuple[int, bool, int, int, bytes]


def _fallback(secret: bytes, number: int) -> bytes:
    return keyed_hash(secret, "railgun/simulated-fallback/v1", u32(number))


def _shared(fallback: bytes, base: bytes, starter: bytes, other: bytes) -> tuple[bytes, bytes]:
    """The session's name and its secret."""
    name = keyed_hash(None, "railgun/simulated-olm-id/v1", fallback + base + starter)
    return name, keyed_hash(None, "railgun/simulated-olm/v1", fallback + base + starter + other)


def _account(secret: bytes, made: int, pickle_key: bytes) -> OlmAccount:
    body = b"a" + xor(secret + u32(made), _checked(pickle_key), b"a")
    pickle = (body + tag(pickle_key, body, HASH_BYTES)).ljust(PICKLE_BLOCK_BYTES)
    return OlmAccount(session_id(secret), pickle, _fallback(secret, made) if made else b"")


def _read_account(pickle: bytes, pickle_key: bytes) -> tuple[bytes, int]:
    plain = xor(pickle[1 : HASH_BYTES + 5], _checked(pickle_key), b"a")
    secret, made = plain[:HASH_BYTES], int.from_bytes(plain[HASH_BYTES:], "big")
    if len(plain) != HASH_BYTES + 4 or pickle != _account(secret, made, pickle_key).pickle:
        raise CryptoError
    return secret, made


def _session(shared: tuple[bytes, bytes], state: _State, pickle_key: bytes, first: bytes) -> OlmSession:
    return _session_named(*shared, state, pickle_key, first)


def _session_named(name: bytes, secret: bytes, state: _State, pickle_key: bytes, first: bytes) -> OlmSession:
    body = b"p" + name + xor(_STATE.pack(secret, *state) + first, _checked(pickle_key), name)
    return OlmSession(name, (body + tag(pickle_key, body, HASH_BYTES)).ljust(_SESSION_PICKLE_BYTES))


def _read_session(pickle: bytes, pickle_key: bytes) -> tuple[bytes, bytes, _State, bytes]:
    end = 1 + HASH_BYTES + _STATE.size + 96
    body, name = pickle[:end], pickle[1 : 1 + HASH_BYTES]
    if len(pickle) != _SESSION_PICKLE_BYTES or pickle != (body + tag(_checked(pickle_key), body, HASH_BYTES)).ljust(
        _SESSION_PICKLE_BYTES
    ):
        raise CryptoError
    plain = xor(body[1 + HASH_BYTES :], pickle_key, name)
    secret, side, has_received, send, receive, missing = _STATE.unpack(plain[: _STATE.size])
    return name, secret, (side, has_received, send, receive, missing), plain[_STATE.size :]


def _read_first(message: bytes) -> tuple[bytes, bytes]:
    """The three keys, 96 bytes, and the message inside. What is not as written here is refused."""
    if len(message) > OLM_MESSAGE_BYTES_MAX or len(message) < 105 or message[0] != _VERSION or message[103] != 0x22:
        raise CryptoError
    keys = b"".join(message[at : at + 32] for at in (3, 37, 71))
    for length in (1, 2):
        inner = message[104 + length :]
        if message[104 : 104 + length] == varint(len(inner)):
            break
    else:
        raise CryptoError
    if message[:103] != _with_keys(keys):
        raise CryptoError
    return keys, inner


def _with_keys(keys: bytes) -> bytes:
    """How a first message begins: fallback key, the session's own, the sender's identity key."""
    return bytes([_VERSION]) + b"".join(
        bytes([field, 32]) + keys[at : at + 32] for field, at in ((0x0A, 0), (0x12, 32), (0x1A, 64))
    )


def _received(index: int, expected: int, missing: bytes) -> tuple[int, bytes]:
    """What is expected next, and which of the 40 before that did not come, once ``index`` did."""
    bits = int.from_bytes(missing, "big")
    if index < expected:
        place = expected - 1 - index
        if place >= _KEPT or not bits >> place & 1:
            raise CryptoError
        return expected, (bits & ~(1 << place)).to_bytes(5, "big")
    gap = index - expected
    if gap > _GAP_MAX:
        raise CryptoError
    # The newest stands lowest: those skipped are ones, the one that came is a zero.
    bits = (bits << gap + 1 | ((1 << gap) - 1) << 1) & ((1 << _KEPT) - 1)
    return index + 1, bits.to_bytes(5, "big")


def _checked(pickle_key: bytes) -> bytes:
    if len(pickle_key) != PICKLE_KEY_BYTES:
        raise ValueError("a pickle key has 32 bytes")
    return pickle_key
