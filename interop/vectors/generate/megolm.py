"""Vectors of Megolm: sessions of given secrets, at indices where the ratchet's parts turn over, and what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import nacl.signing

from interop.vectors.generate._vodozemac import MAC_BYTES, PICKLE_KEY, derive, encrypt_cbc, group_pickle, mac, pad
from railgun.crypto.sessions import VodozemacSessions
from railgun.crypto.signing import public_key_of
from railgun.errors import CryptoError

SESSIONS = VodozemacSessions()
SEED = hashlib.sha256(b"railgun/vectors/megolm seed").digest()
PARTS = b"".join(hashlib.sha256(b"railgun/vectors/megolm part %d" % part).digest() for part in range(4))
ID = public_key_of(SEED)
STARTS = (0, 254, 65_534, (1 << 24) - 2, (1 << 32) - 4)
JUMPS = ((0, 300), (0, 70_000), (5, (1 << 24) + 513), (65_535, 65_536), (1, (1 << 32) - 2))
LENGTHS = (0, 15, 16)
Case = dict[str, Any]


def _parts_at(start: int, index: int) -> bytes:
    """The ratchet that stands at `PARTS` for ``start``, wound by the library."""
    inbound = SESSIONS.megolm_import(_session_key(start), PICKLE_KEY)
    return SESSIONS.megolm_export(inbound.pickle, PICKLE_KEY, index)[5:133]


def _session_key(start: int) -> bytes:
    return SESSIONS.megolm_outbound(group_pickle(SEED, PARTS, start, ID), PICKLE_KEY).session_key


def _sender(start: int) -> Case:
    """Messages of a sender, which a recipient reads."""
    pickle = group_pickle(SEED, PARTS, start, ID)
    session_key = SESSIONS.megolm_outbound(pickle, PICKLE_KEY).session_key
    inbound = SESSIONS.megolm_import(session_key, PICKLE_KEY)
    messages = []
    for length in LENGTHS:
        plaintext = bytes(range(length))
        encrypted = SESSIONS.megolm_encrypt(pickle, PICKLE_KEY, plaintext)
        pickle = encrypted.pickle
        opened = SESSIONS.megolm_decrypt(inbound.pickle, PICKLE_KEY, encrypted.message)
        if (opened.index, opened.plaintext) != (encrypted.index, plaintext):
            raise RuntimeError("the library reads something else than it wrote")
        messages.append({"index": encrypted.index, "plaintext": plaintext.hex(), "message": encrypted.message.hex()})
    return {
        "name": f"a sender from index {start} on",
        "operation": "sender",
        "seed": SEED.hex(),
        "parts": PARTS.hex(),
        "start": start,
        "expected": {"session_id": ID.hex(), "session_key": session_key.hex(), "messages": messages},
    }


def _export(start: int, index: int) -> Case:
    session_key = _session_key(start)
    inbound = SESSIONS.megolm_import(session_key, PICKLE_KEY)
    exported = SESSIONS.megolm_export(inbound.pickle, PICKLE_KEY, index)
    restored = SESSIONS.megolm_restore(exported, PICKLE_KEY)
    if (restored.session_id, restored.first_index) != (ID, index):
        raise RuntimeError("the library restores something else than it exported")
    return {
        "name": f"wound from {start} to {index}",
        "operation": "export",
        "session_key": session_key.hex(),
        "index": index,
        "expected": {"exported": exported.hex()},
    }


# --- refused ---------------------------------------------------------------------------------------


def _message(index: int, fields: bytes | None = None, padded: bytes | None = None, version: int = 3) -> bytes:
    """Written by the specification: MAC and signature are right for whatever stands in it."""
    keys = derive(_parts_at(0, index), "MEGOLM_KEYS", 80)
    ciphertext = encrypt_cbc(keys, pad(b"by hand") if padded is None else padded)
    fields = b"\x08" + bytes((index,)) if fields is None else fields
    whole = bytes((version,)) + fields + b"\x12" + bytes((len(ciphertext),)) + ciphertext
    whole += mac(keys[32:64], whole)[: 32 if version == 4 else MAC_BYTES]
    return whole + nacl.signing.SigningKey(SEED).sign(whole).signature


def _refused_messages() -> list[tuple[str, int, bytes]]:
    """(what is wrong, first known index, message)"""
    good = _message(3)
    unsigned = good[:-64]
    resigned = unsigned[:-1] + bytes((unsigned[-1] ^ 1,))
    return [
        ("nothing", 0, b""),
        ("one byte", 0, b"\x03"),
        ("version 2", 0, _message(3, version=2)),
        ("Megolm's other version", 0, _message(3, version=4)),
        ("cut by a byte", 0, good[:-1]),
        ("a byte too many", 0, good + b"\0"),
        ("another MAC, rightly signed", 0, resigned + nacl.signing.SigningKey(SEED).sign(resigned).signature),
        ("another signature", 0, good[:-1] + bytes((good[-1] ^ 1,))),
        ("a signature by another", 0, unsigned + nacl.signing.SigningKey(bytes(32)).sign(unsigned).signature),
        ("below the first known index", 4, good),
        ("an index in two bytes that fits in one", 0, _message(3, b"\x08\x83\x00")),
        ("no index", 0, _message(0, b"")),
        ("two indices", 0, _message(3, b"\x08\x03\x08\x03")),
        ("an unknown field", 0, _message(3, b"\x08\x03\x18\x01")),
        ("an index of more than 32 bits", 0, _message(3, b"\x08\x83\x80\x80\x80\x10")),
        ("no ciphertext", 0, _message(3, padded=b"")),
        ("padding of 0 bytes", 0, _message(3, padded=bytes(16))),
        ("padding of 17 bytes", 0, _message(3, padded=bytes([17]) * 32)),
    ]


def _refused_keys() -> list[tuple[str, bytes]]:
    good = _session_key(0)
    return [
        ("no session key", b""),
        ("a session key cut by a byte", good[:-1]),
        ("a session key with a byte too many", good + b"\0"),
        ("a session key of another version", b"\x01" + good[1:]),
        ("a session key with another index", good[:4] + b"\x01" + good[5:]),
        ("a session key with another ratchet", good[:5] + bytes((good[5] ^ 1,)) + good[6:]),
        ("a session key with another signature", good[:-1] + bytes((good[-1] ^ 1,))),
    ]


def _refused() -> list[Case]:
    cases: list[Case] = []
    for name, first, message in _refused_messages():
        inbound = SESSIONS.megolm_import(_session_key(0), PICKLE_KEY)
        exported = SESSIONS.megolm_export(inbound.pickle, PICKLE_KEY, first)
        try:
            SESSIONS.megolm_decrypt(SESSIONS.megolm_restore(exported, PICKLE_KEY).pickle, PICKLE_KEY, message)
        except CryptoError:
            case = {"exported": exported.hex(), "message": message.hex(), "code": "crypto"}
            cases.append({"name": name, "operation": "decrypt", **case})
            continue
        raise RuntimeError(f"the library accepts {name}")
    for name, key in _refused_keys():
        try:
            SESSIONS.megolm_import(key, PICKLE_KEY)
        except CryptoError:
            cases.append({"name": name, "operation": "import", "session_key": key.hex(), "code": "crypto"})
            continue
        raise RuntimeError(f"the library accepts {name}")
    return cases


def _by_hand() -> Case:
    """What is written by hand with nothing wrong is read: otherwise the refusals might have another reason."""
    exported = SESSIONS.megolm_export(SESSIONS.megolm_import(_session_key(0), PICKLE_KEY).pickle, PICKLE_KEY, 0)
    inbound, message = SESSIONS.megolm_restore(exported, PICKLE_KEY), _message(3)
    opened = SESSIONS.megolm_decrypt(inbound.pickle, PICKLE_KEY, message)
    return {
        "name": "written by hand",
        "operation": "decrypt",
        "exported": exported.hex(),
        "message": message.hex(),
        "expected": {"index": opened.index, "plaintext": opened.plaintext.hex()},
    }


def vectors() -> dict[str, Any]:
    """The file."""
    return {
        "description": "Megolm (docs/spec/sessions.md): a sender is a seed (of its signing key), four parts, an index.",
        "accepted": [*map(_sender, STARTS), *(_export(start, index) for start, index in JUMPS), _by_hand()],
        "refused": _refused(),
    }
