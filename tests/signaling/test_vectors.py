"""The shared vectors against both Python codecs, the peer's and the server's, and the two against each other."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.vectors.generate.__main__ import render
from railgun.crypto import rendezvous as crypto
from railgun.errors import CryptoError, MalformedInput
from railgun.limits import SEALED_BLOB_BYTES
from railgun.types import Address, NetworkId
from railgun.wire import rendezvous as wire
from railgun_signaling import errors as server_errors
from railgun_signaling import frames as server_frames
from railgun_signaling import proofs as server_proofs
from tests.support.ads import signed_ad

PATH = Path(__file__).resolve().parents[2] / "interop" / "vectors" / "signaling.json"
VECTORS: dict[str, Any] = json.loads(PATH.read_text())
FRAMES = [case for case in VECTORS["accepted"] if case["operation"] == "rendezvous_frame"]


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (wire.RendezvousCode, server_errors.RefusalCode)):
        return value.name.lower()
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def run(case: dict[str, Any]) -> Any:
    given = {name: bytes.fromhex(value) for name, value in case.items() if isinstance(value, str) and name in HEX}
    match case["operation"]:
        case "rendezvous_frame":
            frame = wire.RENDEZVOUS_FRAMES.decode(given["encoded"])
            assert wire.RENDEZVOUS_FRAMES.encode(frame) == given["encoded"]
            name = "Refused" if isinstance(frame, wire.RendezvousRefused) else type(frame).__name__
            return {"frame": case.get("expected", {}).get("frame", name), **plain(frame)}
        case "mailbox_proof":
            key = crypto.MailboxKey.of(given["secret"])
            return {"mailbox": plain(key.public), "proof": plain(key.proof(given["nonce"], given["challenge_key"]))}
        case "sign_registration":
            signed = (given["seed"], given["nonce"], given["challenge_key"], given["network"], given["ad"])
            return {"node_key": case["expected"]["node_key"], "signature": plain(crypto.sign_registration(*signed))}
        case "seal_blob":
            return {"blob": plain(crypto.seal_blob(given["mailbox"], given["content"], given["ephemeral_secret"]))}
        case "open_blob":
            return {"content": plain(crypto.MailboxKey.of(given["secret"]).open(given["blob"]))}
        case "invite_mailbox":
            period = crypto.mailbox_period(case["wall"])
            made = crypto.invite_mailbox(given["lobby_secret"], period, case["slot"])
            return {"period": period, "secret": plain(made.secret), "mailbox": plain(made.public)}
        case "rendezvous_url":
            return {"url": wire.check_rendezvous_url(case["url"])}
        case other:
            raise AssertionError(other)


HEX = {
    "encoded", "secret", "nonce", "challenge_key", "seed", "network", "ad", "mailbox", "content", "ephemeral_secret",
    "blob", "lobby_secret",
}  # fmt: skip
ERRORS: dict[str, type[Exception]] = {
    "malformed": MalformedInput,
    "crypto": CryptoError,
    "invalid_argument": ValueError,
}


def test_the_vectors_are_what_the_code_makes() -> None:
    assert PATH.read_text() == render(importlib.import_module("interop.vectors.generate.signaling").vectors())


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["name"])
def test_accepted(case: dict[str, Any]) -> None:
    assert run(case) == case["expected"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["name"])
def test_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ERRORS[case["code"]]):
        run(case)


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case["name"])
def test_the_server_reads_and_writes_the_same(case: dict[str, Any]) -> None:
    encoded = bytes.fromhex(case["encoded"])
    frame = server_frames.decode_frame(encoded)
    assert server_frames.encode_frame(frame) == encoded
    assert plain(wire.RENDEZVOUS_FRAMES.decode(encoded)) | {"relays": 0} == shown(frame) | {"relays": 0}


def shown(frame: Any) -> dict[str, Any]:
    found: dict[str, Any] = plain(frame)
    return found


UNLIKE = {"port 0", "a mapped address"}
"""Only the server writes addresses of relays, from ads that it has checked; the peer is the stricter reader."""


@pytest.mark.parametrize(
    "case",
    [one for one in VECTORS["refused"] if one["operation"] == "rendezvous_frame" and one["name"] not in UNLIKE],
    ids=lambda case: case["name"],
)
def test_the_server_refuses_the_same(case: dict[str, Any]) -> None:
    with pytest.raises(server_errors.Refusal) as refused:
        server_frames.decode_frame(bytes.fromhex(case["encoded"]))
    assert refused.value.code is server_errors.RefusalCode.MALFORMED


def test_both_sides_name_the_same_codes() -> None:
    assert {code.name: code.value for code in wire.RendezvousCode} == {
        code.name: code.value for code in server_errors.RefusalCode
    }


@given(st.data())
def test_both_codecs_judge_a_changed_frame_alike(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([one for one in FRAMES if one["expected"]["frame"] != "Relays"]))
    changed = bytearray.fromhex(case["encoded"])
    for _ in range(data.draw(st.integers(0, 2))):
        changed[data.draw(st.integers(0, min(len(changed) - 1, 60)))] = data.draw(st.integers(0, 255))
    try:
        found: Any = plain(wire.RENDEZVOUS_FRAMES.decode(bytes(changed)))
    except MalformedInput:
        found = None
    try:
        server: Any = shown(server_frames.decode_frame(bytes(changed)))
    except server_errors.Refusal:
        server = None
    assert found == server


@given(st.binary(max_size=4_045), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_has_one_length_and_opens(content: bytes, secret: bytes, ephemeral: bytes) -> None:
    key = crypto.MailboxKey.of(secret)
    blob = crypto.seal_blob(key.public, content, ephemeral)
    assert len(blob) == SEALED_BLOB_BYTES
    assert key.open(blob) == content


def test_a_mailboxes_secret_is_not_shown() -> None:
    key = crypto.MailboxKey.of(b"S" * 32)
    assert "S" * 8 not in repr(key)
    challenge = server_proofs.ChallengeKey(1, bytes(32), b"S" * 32)
    assert "S" * 8 not in repr(challenge)


def test_the_server_reads_an_ad_as_the_directory_does() -> None:
    ad = signed_ad(5, 1_000_000)
    read = server_proofs.read_ad(ad.encoded, 1_000_000)
    assert (read.relay.node_key, read.relay.certificate_hash) == (ad.ad.node_key, ad.ad.certificate_hash)
    assert str(read.host) == ad.ad.address.host
    for position in range(0, len(ad.encoded), 7):
        changed = bytearray(ad.encoded)
        changed[position] ^= 1
        with pytest.raises(server_errors.Refusal, match="bad_ad"):
            server_proofs.read_ad(bytes(changed), 1_000_000)
    assert NetworkId(b"n" * 32)
