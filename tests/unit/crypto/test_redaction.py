"""Keys never show in a repr: every byte string of railgun.crypto and of the ports is hidden unless named as public."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import pytest

import railgun.crypto
from railgun import ports
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.identity import device_identity, node_identity, root_identity
from railgun.wire.sealed import DaySecret, DaySecrets, SignedAnswer

# What anyone may see. A new field that carries bytes is hidden, or is added here on purpose.
PUBLIC_FIELDS = {
    "account_key",
    "certificate_hash",
    "device_key",
    "encoded",
    "fallback_key",
    "hash",
    "identity_key",
    "key",  # of a stored row
    "message",
    "node_key",
    "nonce",
    "peer",
    "prekey",
    "public",
    "root_key",
    "salt",
    "session_id",
    "tag",
}
HIDDEN_FIELDS = {
    "header_key",
    "pickle",
    "plaintext",
    "prekey_secret",
    "sealed",
    "session_key",
    "signing_key",
    "value",
}
SEED = b"\x7e" * 32


def _dataclasses() -> list[type]:
    modules = [
        importlib.import_module(f"railgun.crypto.{found.name}")
        for found in pkgutil.iter_modules(railgun.crypto.__path__)
    ]
    found = {
        f"{value.__module__}.{name}": value
        for module in [*modules, ports]
        for name, value in vars(module).items()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
    }
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize("cls", _dataclasses(), ids=lambda cls: cls.__name__)
def test_fields_are_hidden_unless_public(cls: type) -> None:
    for field in dataclasses.fields(cls):
        if field.name in HIDDEN_FIELDS:
            assert not field.repr, f"{cls.__name__}.{field.name} shows a secret"
        elif field.repr and str(field.type) in {"bytes", "bytes | None", "tuple[bytes, ...]"}:
            assert field.name in PUBLIC_FIELDS, f"{cls.__name__}.{field.name}: hide it, or name it as public"


def test_an_answer_to_a_joiner_hides_the_rooms_secrets_whole_and_encoded() -> None:
    body = b"........" + SEED + b"........"
    assert repr(SEED[:8])[2:-1] not in repr(SignedAnswer(body, bytes(64)))
    assert repr(SEED[:8])[2:-1] not in repr(DaySecrets((DaySecret(1, bytes(32), 1, 2, SEED),)))


def test_the_walk_finds_the_classes_that_hold_secrets() -> None:
    names = {cls.__name__ for cls in _dataclasses()}
    assert {
        "EpochKeys",
        "RootIdentity",
        "DeviceIdentity",
        "NodeIdentity",
        "OutboundMegolm",
        "PassphraseWrapped",
    } <= names


def test_secrets_do_not_show() -> None:
    sessions = DeterministicSessions(b"")
    outbound = sessions.megolm_new(SEED)
    encrypted = sessions.megolm_encrypt(outbound.pickle, SEED, SEED)
    inbound = sessions.megolm_import(outbound.session_key, SEED)
    account = sessions.olm_account_new(SEED)
    device = device_identity(SEED, SEED, account, sessions)
    other = sessions.olm_new_fallback(sessions.olm_account_new(SEED).pickle, SEED)
    started = sessions.olm_start(account.pickle, SEED, other.identity_key, other.fallback_key)
    first = sessions.olm_encrypt(started.pickle, SEED, SEED)
    accepted = sessions.olm_accept(other.pickle, SEED, account.identity_key, first.message)
    epoch_keys = derive_epoch_keys(SEED, 1, 600)
    holders: list[tuple[object, list[bytes]]] = [
        (epoch_keys, [epoch_keys.header_key, epoch_keys.signing_seed]),
        (root_identity(SEED), [SEED]),
        (node_identity(SEED), [SEED]),
        (device, [SEED]),
        (outbound, [outbound.session_key, outbound.pickle]),
        (encrypted, [encrypted.pickle]),
        (inbound, [inbound.pickle]),
        (account, [account.pickle]),
        (started, [started.pickle]),
        (first, [first.pickle]),
        (accepted, [accepted.session.pickle, SEED]),
        (sessions.megolm_decrypt(inbound.pickle, SEED, encrypted.message), [SEED]),
    ]
    for holder, hidden in holders:
        shown = f"{holder!r} {holder}"
        for secret in hidden:
            assert repr(secret[:8])[2:-1] not in shown, type(holder).__name__
            assert secret[:8].hex() not in shown, type(holder).__name__
