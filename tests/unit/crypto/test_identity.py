"""Identities, certificates, safety numbers."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from railgun.crypto import identity
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.epoch import derive_lobby_keys
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import MalformedInput, PeerError, RefusalCode
from railgun.ports import Sessions
from railgun.types import DeviceKey, RootKey
from railgun.wire.certificates import CERTIFICATES, DeviceCertificate

ROOT = identity.root_identity(b"\x41" * 32)
PICKLE_KEY = b"\x42" * 32


def _device(sessions: Sessions, seed: bytes = b"\x43" * 32) -> identity.DeviceIdentity:
    return identity.device_identity(seed, b"\x44" * 32, sessions.olm_account_new(PICKLE_KEY), sessions)


def _certificate() -> DeviceCertificate:
    return identity.issue_certificate(ROOT, _device(DeterministicSessions(b"")), 1000, 2000)


def test_a_certificate_names_the_devices_keys_and_verifies() -> None:
    device = _device(VodozemacSessions())
    certificate = identity.issue_certificate(ROOT, device, 1000, 2000)
    encoded = CERTIFICATES.encode(certificate)
    assert identity.verify_certificate(encoded) == certificate
    assert (certificate.root_key, certificate.device_key) == (ROOT.root_key, device.device_key)
    assert (certificate.prekey, certificate.account_key) == (device.prekey, device.account_key)
    assert len(certificate.prekey) == 1216


@pytest.mark.parametrize(
    "change",
    [
        {"root_key": RootKey(b"r" * 32)},
        {"device_key": DeviceKey(b"d" * 32)},
        {"prekey": b"p" * 1216},
        {"account_key": b"a" * 32},
        {"issued": 1001},
        {"expires": 2001},
        {"signature": bytes(64)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_signed(change: dict[str, object]) -> None:
    changed = dataclasses.replace(_certificate(), **change)  # type: ignore[arg-type]
    with pytest.raises(PeerError) as caught:
        identity.verify_certificate(CERTIFICATES.encode(changed))
    assert caught.value.code is RefusalCode.BAD_SIGNATURE


def test_damaged_certificates_do_not_decode() -> None:
    encoded = CERTIFICATES.encode(_certificate())
    for data in (b"", encoded[:-1], encoded + b"\0", bytes(len(encoded)), encoded + bytes(4096)):
        with pytest.raises(MalformedInput):
            identity.verify_certificate(data)


def test_nonsense_is_not_issued() -> None:
    device = _device(DeterministicSessions(b""))
    with pytest.raises(ValueError, match="expires after"):
        identity.issue_certificate(ROOT, device, 2000, 2000)
    same_key = _device(DeterministicSessions(b""), seed=b"\x41" * 32)
    with pytest.raises(ValueError, match="no device key"):
        identity.issue_certificate(ROOT, same_key, 1000, 2000)


def test_a_certificate_holds_from_issue_to_expiry() -> None:
    certificate = _certificate()
    holds = [identity.certificate_holds_at(certificate, wall) for wall in (999.9, 1000.0, 1999.9, 2000.0)]
    assert holds == [False, True, True, False]


def test_node_ids_are_as_wide_as_the_dht() -> None:
    node = identity.node_identity(b"\x45" * 32)
    assert node.node_id == hashlib.blake2b(node.node_key, digest_size=20).digest()


def test_safety_numbers_are_the_same_from_both_sides_and_differ_between_pairs() -> None:
    keys = [identity.root_identity(bytes([number]) * 32).root_key for number in range(8)]
    numbers = set()
    for index, one in enumerate(keys):
        for other in keys[index + 1 :]:
            number = identity.safety_number(one, other)
            assert number == identity.safety_number(other, one)
            assert len(number) == 60
            assert number.isdecimal()
            numbers.add(number)
    assert len(numbers) == 28
    with pytest.raises(ValueError, match="32 bytes"):
        identity.safety_number(keys[0], RootKey(b"short"))


def test_seeds_have_32_bytes() -> None:
    for make in (identity.root_identity, identity.node_identity, identity.invite_key_seed):
        with pytest.raises(ValueError, match="32 bytes"):
            make(b"short")


def test_an_invite_key_is_neither_its_seed_nor_its_lobbys() -> None:
    seed = b"\x46" * 32
    assert identity.invite_key_seed(seed) == hashlib.blake2b(b"railgun/invite/v1\0", key=seed, digest_size=32).digest()
    assert identity.invite_key_seed(seed) not in {seed, derive_lobby_keys(seed, 600).signing_seed}
