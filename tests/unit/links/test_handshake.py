"""railgun.links.handshake, with both halves in one test; and what identity and certificate promise."""

from __future__ import annotations

import dataclasses
import datetime
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.crypto.signing import public_key_of
from railgun.errors import ClosedByPeer, ConfigurationError, MalformedInput, PeerError, RefusalCode
from railgun.limits import HANDSHAKE_BYTES_MAX
from railgun.links.certificate import LinkCertificate
from railgun.links.handshake import (
    CODEC,
    Accepted,
    DiallerProof,
    Hello,
    Instant,
    ListenerProof,
    LocalEnd,
    Proof,
    ProofReply,
    WrongNetwork,
)
from railgun.links.settings import LinkIdentity
from railgun.types import NetworkId, NodeKey

NETWORK = NetworkId(b"n" * 32)
LISTENER_SEED, DIALLER_SEED = b"l" * 32, b"d" * 32
LISTENER_CERTIFICATE, DIALLER_CERTIFICATE = b"L" * 32, b"D" * 32
NODE_KEY = NodeKey(public_key_of(LISTENER_SEED))
START = Instant(10.0, 1_000_000.0)


def dialler(
    network: NetworkId = NETWORK, expected: NodeKey = NODE_KEY, sees: bytes = LISTENER_CERTIFICATE
) -> DiallerProof:
    return DiallerProof(LocalEnd(network, DIALLER_SEED, False, b"1" * 32, DIALLER_CERTIFICATE), expected, sees)


def listener(sees: bytes = DIALLER_CERTIFICATE) -> ListenerProof:
    return ListenerProof(LocalEnd(NETWORK, LISTENER_SEED, True, b"2" * 32, LISTENER_CERTIFICATE), sees)


def test_both_ends_prove_and_measure() -> None:
    ours, theirs = dialler(), listener()
    hello = ours.begin(START)
    proof = theirs.receive(hello, Instant(50.0, 1_000_030.1))
    reply = ours.receive(proof or b"", Instant(10.2, 1_000_000.2))
    assert theirs.receive(reply or b"", Instant(50.2, 1_000_030.3)) is None
    assert theirs.proved is not None
    assert theirs.proved.peer == public_key_of(DIALLER_SEED)
    assert theirs.proved.local_key == NODE_KEY
    assert not theirs.proved.is_relay
    assert theirs.proved.clock_offset_seconds == pytest.approx(-30.0, abs=0.01)
    assert ours.receive(theirs.accepted(), START) is None
    assert ours.proved is not None
    assert ours.proved.peer == NODE_KEY
    assert ours.proved.round_trip_seconds == pytest.approx(0.2)
    assert ours.proved.clock_offset_seconds == pytest.approx(30.0, abs=0.01)


def test_a_dialler_is_not_up_before_it_is_accepted() -> None:
    ours, theirs = dialler(), listener()
    ours.receive(theirs.receive(ours.begin(START), START) or b"", START)
    assert ours.proved is None


@pytest.mark.parametrize("change", ["nonce", "now_ms", "signature"])
def test_a_changed_listener_proof_fails(change: str) -> None:
    ours = dialler()
    proof = CODEC.decode(listener().receive(ours.begin(START), START) or b"")
    assert isinstance(proof, Proof)
    values = {"nonce": b"x" * 32, "now_ms": proof.now_ms + 1, "signature": bytes(64)}
    changed = dataclasses.replace(proof, **{change: values[change]})  # type: ignore[arg-type]
    with pytest.raises(PeerError) as caught:
        ours.receive(CODEC.encode(changed), START)
    assert caught.value.code is RefusalCode.BAD_PROOF


@pytest.mark.parametrize("change", ["key", "is_relay", "now_ms", "signature"])
def test_a_changed_dialler_proof_fails(change: str) -> None:
    ours, theirs = dialler(), listener()
    reply = CODEC.decode(ours.receive(theirs.receive(ours.begin(START), START) or b"", START) or b"")
    assert isinstance(reply, ProofReply)
    values = {"key": NODE_KEY, "is_relay": True, "now_ms": reply.now_ms + 1, "signature": bytes(64)}
    changed = dataclasses.replace(reply, **{change: values[change]})  # type: ignore[arg-type]
    with pytest.raises(PeerError) as caught:
        theirs.receive(CODEC.encode(changed), START)
    assert caught.value.code is RefusalCode.BAD_PROOF
    assert theirs.proved is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (dialler(sees=b"M" * 32), listener()),
        (dialler(), listener(sees=b"M" * 32)),
        (dialler(expected=NodeKey(b"k" * 32)), listener()),
    ],
)
def test_a_man_in_the_middle_shows(ours: DiallerProof, theirs: ListenerProof) -> None:
    proof = theirs.receive(ours.begin(START), START)
    with pytest.raises(PeerError) as caught:
        ours.receive(proof or b"", START)
    assert caught.value.code is RefusalCode.BAD_PROOF


def test_networks_and_versions_are_told_apart() -> None:
    ours, theirs = dialler(NetworkId(b"o" * 32)), listener()
    with pytest.raises(PeerError) as caught:
        theirs.receive(ours.begin(START), START)
    assert caught.value.code is RefusalCode.WRONG_NETWORK
    with pytest.raises(WrongNetwork, match=(b"n" * 8).hex()):
        ours.receive(theirs.refused(RefusalCode.WRONG_NETWORK), START)
    with pytest.raises(PeerError) as caught:
        listener().receive(CODEC.encode(Hello(2, NETWORK, b"1" * 32)), START)
    assert caught.value.code is RefusalCode.UNSUPPORTED_VERSION


def test_a_refusal_carries_its_retry_time() -> None:
    ours, theirs = dialler(), listener()
    ours.receive(theirs.receive(ours.begin(START), START) or b"", START)
    with pytest.raises(ClosedByPeer) as caught:
        ours.receive(theirs.refused(RefusalCode.BUSY, 700), START)
    assert (caught.value.code, caught.value.retry_after_ms) == (RefusalCode.BUSY, 700)


def test_messages_out_of_order_are_malformed() -> None:
    ours, theirs = dialler(), listener()
    hello = ours.begin(START)
    assert not ours.accept_implied()
    with pytest.raises(MalformedInput):
        ours.receive(CODEC.encode(Accepted()), START)
    with pytest.raises(MalformedInput):
        ours.receive(hello, START)
    proof = theirs.receive(hello, START) or b""
    with pytest.raises(MalformedInput):
        theirs.receive(hello, START)
    ours.receive(proof, START)
    with pytest.raises(MalformedInput):
        ours.receive(proof, START)
    assert ours.accept_implied()


@given(st.binary(max_size=HANDSHAKE_BYTES_MAX + 1))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    for half in (dialler(), listener()):
        with pytest.raises(PeerError):
            half.receive(data, START)


def test_seeds_and_keys_never_show() -> None:
    made = LinkCertificate.generate(1_000_000.0)
    shown = repr(LinkIdentity(LISTENER_SEED, True)) + repr(dialler()._local) + repr(made)
    assert repr(LISTENER_SEED)[2:-1] not in shown
    assert repr(DIALLER_SEED)[2:-1] not in shown
    assert "key" not in repr(made)


@pytest.mark.parametrize(("seed", "is_relay"), [(None, True), (b"short", True), (b"short", False)])
def test_identities_without_sense(seed: bytes | None, is_relay: bool) -> None:
    with pytest.raises(ValueError, match="seed"):
        LinkIdentity(seed, is_relay)


def test_a_certificate_stays_the_same_and_private(tmp_path: Path) -> None:
    path = tmp_path / "link.pem"
    now = 1_800_000_000.0
    made = LinkCertificate.load_or_create(path, now)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert LinkCertificate.load_or_create(path, now + 1e6).certificate_hash == made.certificate_hash
    assert len(made.certificate_hash) == 32
    assert made.expires > datetime.datetime.fromtimestamp(now, datetime.UTC) + datetime.timedelta(days=365)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_certificate_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "link.pem"
    path.write_bytes(os.urandom(100))
    with pytest.raises(ConfigurationError, match="not the PEM"):
        LinkCertificate.load_or_create(path, 0.0)
    one, other = LinkCertificate.generate(0.0), LinkCertificate.generate(0.0)
    marker = b"-----BEGIN CERTIFICATE"
    mixed = one.to_pem().partition(marker)[0] + marker + other.to_pem().partition(marker)[2]
    with pytest.raises(ConfigurationError, match="does not belong"):
        LinkCertificate.from_pem(mixed)
    with pytest.raises(ConfigurationError, match="check the path"):
        LinkCertificate.load_or_create(tmp_path / "missing" / "link.pem", 0.0)
