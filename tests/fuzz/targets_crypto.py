"""Fuzz targets of `railgun.crypto` and of signed records: everything that reads keys, ciphertexts and signatures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random
from typing import Any

from railgun.core.roster_entries import open_entry
from railgun.crypto import records, sealing, wrapping
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.identity import verify_certificate
from railgun.crypto.receipts import verify_receipt, verify_subscription, verify_tag_descriptor
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError, MalformedInput, PeerError, StoreError, WrongPassphrase
from railgun.limits import HPKE_PLAINTEXT_BYTES_MAX, OBITUARY_BYTES_MAX, OLM_MESSAGE_BYTES_MAX, ROSTER_ENTRY_BYTES_MAX
from railgun.ports import Sessions
from railgun.storage.record_sealer import RecordSealer
from railgun.types import EnvelopeKind, NodeKey, PeerKey, SizeClass
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.frames import FRAMES, Receipt, SeatOpen, Subscribe
from railgun.wire.roster import RoomSettings
from tests.fuzz.samples import codec_samples
from tests.fuzz.targets import SEED, Target, vector_bytes
from tests.support import rosters
from tests.support.ads import signed_ad

KEYS = derive_epoch_keys(b"\x51" * 32, 1, 1_700_000_400)
PICKLE_KEY = b"\x52" * 32
DATA_KEY = b"\x53" * 32
NONCE = b"\x54" * 24
SALT = b"\x55" * 16
PREKEY_SECRET = b"\x56" * 32
KEY_FILE = b"\x57" * 32
SEAT, CLIENT = NodeKey(b"\x58" * 32), PeerKey(b"\x59" * 32)
CHEAP_ARGON2_BYTES = 1 << 20
PICKLE_BYTES_MAX = 65_536


class FixedEntropy:
    """Implements `railgun.ports.Entropy` where nothing depends on it."""

    def random_bytes(self, count: int) -> bytes:
        return bytes(count)


# --- envelopes, records, certificates --------------------------------------------------------------


def _sealed_envelopes() -> list[bytes]:
    bodies = ((EnvelopeKind.GROUP, b"hinthint", b"body"), (EnvelopeKind.SEALED, bytes(8), b""))
    return [
        sealing.seal_envelope(KEYS, kind, hint, body, size, NONCE[:12])
        for kind, hint, body in bodies
        for size in (SizeClass.SMALL, SizeClass.MEDIUM)
    ]


def _signed_frames(data: bytes) -> None:
    """Whatever a peer signs in a frame is judged, never raised about."""
    frame = FRAMES.decode(data)
    if isinstance(frame, Receipt):
        verify_receipt(frame)
    if isinstance(frame, (Subscribe, SeatOpen)):
        verify_tag_descriptor(frame.descriptor)
    if isinstance(frame, Subscribe):
        verify_subscription(frame.descriptor.tag, SEAT, CLIENT, frame.handle, frame.proof)


def _roster_entries() -> list[bytes]:
    creator, friend = rosters.Device("a"), rosters.Device("b")
    roster = rosters.new_roster(creator)
    rosters.invite(roster, creator, b"i" * 32)
    rosters.add_by_invite(roster, creator, friend, b"i" * 32)
    rosters.change_settings(roster, creator, RoomSettings(gate=5))
    rosters.remove(roster, creator, friend)
    return list(roster.export())


# --- sessions --------------------------------------------------------------------------------------


@functools.cache
def _material(deterministic: bool) -> dict[str, Any]:
    sessions: Sessions = DeterministicSessions(b"fuzz") if deterministic else VodozemacSessions()
    outbound = sessions.megolm_new(PICKLE_KEY)
    first = sessions.megolm_encrypt(outbound.pickle, PICKLE_KEY, b"first")
    second = sessions.megolm_encrypt(first.pickle, PICKLE_KEY, b"second" * 30)
    inbound = sessions.megolm_import(outbound.session_key, PICKLE_KEY)
    public = sessions.hpke_public_key(PREKEY_SECRET)
    return {
        "sessions": sessions,
        "outbound": [outbound.pickle, second.pickle],
        "messages": [first.message, second.message],
        "session_keys": [outbound.session_key, sessions.megolm_outbound(second.pickle, PICKLE_KEY).session_key],
        "inbound": inbound.pickle,
        "exports": [sessions.megolm_export(inbound.pickle, PICKLE_KEY, index) for index in (0, 7)],
        "public": public,
        "sealed": [sessions.hpke_seal(public, b"info", b"x" * size) for size in (0, 300)],
        "account": sessions.olm_account_new(PICKLE_KEY).pickle,
        **_olm_material(sessions),
    }


def _olm_material(sessions: Sessions) -> dict[str, Any]:
    one, two = (sessions.olm_new_fallback(sessions.olm_account_new(PICKLE_KEY).pickle, PICKLE_KEY) for _ in range(2))
    started = sessions.olm_start(one.pickle, PICKLE_KEY, two.identity_key, two.fallback_key)
    first = sessions.olm_encrypt(started.pickle, PICKLE_KEY, b"first")
    accepted = sessions.olm_accept(two.pickle, PICKLE_KEY, one.identity_key, first.message)
    answer = sessions.olm_encrypt(accepted.session.pickle, PICKLE_KEY, b"answer" * 30)
    return {
        "olm_accounts": (one, two),
        "olm_first": first.message,
        "olm_later": answer.message,
        "olm_session": first.pickle,
    }


def _session_targets(prefix: str, deterministic: bool) -> list[Target]:
    def of(name: str) -> Callable[[], list[bytes]]:
        return lambda: (
            _material(deterministic)[name]
            if isinstance(_material(deterministic)[name], list)
            else [_material(deterministic)[name]]
        )

    def with_sessions(call: Callable[[Any, bytes], object]) -> Callable[[bytes], object]:
        return lambda data: call(_material(deterministic)["sessions"], data)

    def olm_accept(sessions: Sessions, data: bytes) -> None:
        one, two = _material(deterministic)["olm_accounts"]
        sessions.olm_accept(two.pickle, PICKLE_KEY, one.identity_key, data)

    def inbound_pickle(sessions: Sessions, data: bytes) -> None:
        sessions.megolm_export(data, PICKLE_KEY, 1)
        sessions.megolm_decrypt(data, PICKLE_KEY, _material(deterministic)["messages"][0])

    calls: list[tuple[str, Callable[[Any, bytes], object], str, int]] = [
        ("megolm_import", lambda s, d: s.megolm_import(d, PICKLE_KEY), "session_keys", 300),
        ("megolm_restore", lambda s, d: s.megolm_restore(d, PICKLE_KEY), "exports", 300),
        (
            "megolm_decrypt",
            lambda s, d: s.megolm_decrypt(_material(deterministic)["inbound"], PICKLE_KEY, d),
            "messages",
            65_395,
        ),
        ("megolm_pickle_in", inbound_pickle, "inbound", PICKLE_BYTES_MAX),
        ("megolm_pickle_out", lambda s, d: s.megolm_encrypt(d, PICKLE_KEY, b"t"), "outbound", PICKLE_BYTES_MAX),
        ("hpke_seal", lambda s, d: s.hpke_seal(d, b"info", b"plain"), "public", 1_300),
        (
            "hpke_open",
            lambda s, d: s.hpke_open(PREKEY_SECRET, b"info", d),
            "sealed",
            HPKE_PLAINTEXT_BYTES_MAX + 1_200,
        ),
        ("olm_account", lambda s, d: s.olm_account(d, PICKLE_KEY), "account", PICKLE_BYTES_MAX),
        ("olm_pickle", lambda s, d: s.olm_encrypt(d, PICKLE_KEY, b"t"), "olm_session", PICKLE_BYTES_MAX),
        ("olm_session_id", lambda s, d: s.olm_session_id(d), "olm_first", OLM_MESSAGE_BYTES_MAX + 1),
        ("olm_accept", olm_accept, "olm_first", OLM_MESSAGE_BYTES_MAX + 1),
        (
            "olm_decrypt",
            lambda s, d: s.olm_decrypt(_material(deterministic)["olm_session"], PICKLE_KEY, d, is_first=False),
            "olm_later",
            OLM_MESSAGE_BYTES_MAX + 1,
        ),
    ]
    return [
        Target(f"{prefix}.{name}", with_sessions(call), (CryptoError,), of(material), bytes_max=most, group="sessions")
        for name, call, material, most in calls
    ]


# --- secrets at rest -------------------------------------------------------------------------------


def _wrapped_keys() -> list[bytes]:
    return [
        wrapping.wrap_with_passphrase(DATA_KEY, "pass", salt=SALT, nonce=NONCE, operations=1, memory_bytes=memory_bytes)
        for memory_bytes in (8 << 10, 8_193, CHEAP_ARGON2_BYTES)
    ] + [wrapping.wrap_with_key_file(DATA_KEY, KEY_FILE, nonce=NONCE)]


def _unwrap(data: bytes) -> None:
    """Both ways to open; Argon2id only where the header asks for little, since what it may ask for takes seconds."""
    if wrapping.needs_passphrase(data):
        header = wrapping._read(data)
        assert isinstance(header, wrapping.PassphraseWrapped)
        if header.memory_bytes <= CHEAP_ARGON2_BYTES and header.operations <= 2:
            wrapping.unwrap_with_passphrase(data, "pass")
        raise WrongPassphrase
    wrapping.unwrap_with_key_file(data, KEY_FILE)


SEALER = RecordSealer(DATA_KEY, FixedEntropy())


@functools.cache
def crypto_targets() -> tuple[Target, ...]:
    """All of them."""
    peer = (PeerError,)
    return (
        Target("check_envelope", sealing.check_envelope, peer, _sealed_envelopes, bytes_max=65_536, group="crypto"),
        Target(
            "open_envelope",
            lambda data: sealing.open_envelope(KEYS, data),
            (CryptoError, MalformedInput),
            _sealed_envelopes,
            bytes_max=65_536,
            group="crypto",
        ),
        Target(
            "verify_record",
            lambda data: records.verify_record(data).encoded,
            (MalformedInput,),
            lambda: [signed_ad(1, 1_700_000_000).encoded, *vector_bytes("records")],
            bytes,
            OBITUARY_BYTES_MAX,
            group="crypto",
        ),
        Target(
            "verify_certificate",
            verify_certificate,
            peer,
            lambda: [rosters.Device("a").certificate, *codec_samples(CERTIFICATES, Random(SEED))],
            CERTIFICATES.encode,
            2_048,
            group="crypto",
        ),
        Target(
            "open_entry",
            lambda data: open_entry(data).data,
            peer,
            _roster_entries,
            bytes,
            ROSTER_ENTRY_BYTES_MAX,
            group="crypto",
        ),
        Target("signed_frames", _signed_frames, peer, lambda: codec_samples(FRAMES, Random(SEED)), group="crypto"),
        Target("unwrap", _unwrap, (StoreError,), _wrapped_keys, bytes_max=256, group="crypto"),
        Target(
            "open_secret",
            lambda data: wrapping.open_secret(DATA_KEY, "context", data),
            (CryptoError,),
            lambda: [wrapping.seal_secret(DATA_KEY, "context", b"secret", NONCE)],
            group="crypto",
        ),
        Target(
            "record_sealer",
            lambda data: SEALER.open("rooms", b"key", data),
            (CryptoError,),
            lambda: [SEALER.seal("rooms", b"key", b"value")],
            group="crypto",
        ),
        *_session_targets("vodozemac", False),
        *_session_targets("deterministic", True),
    )
