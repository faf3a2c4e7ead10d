"""The shared vectors of frames and network ids: committed as made, accepted as said, refused with their code."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate.__main__ import render
from interop.vectors.generate._packed import packed, plain, unpacked
from interop.vectors.generate.frames import proof_content
from interop.vectors.generate.network_ids import parameters
from railgun.crypto import receipts
from railgun.crypto.epoch import EpochKeys, derive_epoch_keys
from railgun.crypto.hashing import content_hash
from railgun.crypto.network_ids import network_content, network_id, read_network
from railgun.crypto.signing import public_key_of, signing_key_of, verify
from railgun.errors import ConfigurationError, MalformedInput, RefusalCode
from railgun.links import handshake
from railgun.types import EnvelopeId, Handle, NetworkId, NodeKey, PeerKey, Tag
from railgun.wire.frames import FRAME_KINDS, FRAMES, PULSES, Receipt, SeatOpen, Subscribe
from railgun.wire.framing import Frame, FrameDecoder, FrameEncoder, Goodbye, Item
from railgun.wire.schema import Codec, shapes_of

FILES = ("frames", "network_ids")
DIRECTORY = Path(__file__).parents[3] / "interop" / "vectors"

Case = dict[str, Any]


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


def _cases(part: str) -> list[Any]:
    return [pytest.param(case, id=f"{name}: {case['name']}") for name in FILES for case in _load(name)[part]]


def _hex(case: Case, key: str) -> bytes:
    return bytes.fromhex(case[key])


def _decode(codec: Codec[Any], case: Case) -> Case:
    data = unpacked(case["bytes"])
    item = codec.decode(data)
    assert codec.encode(item) == data
    kind = next(number for number, cls in codec.classes.items() if cls is type(item))
    return {"kind": kind, "fields": [plain(getattr(item, name)) for name, _ in shapes_of(type(item))]}


def _item(item: Item) -> Case:
    if isinstance(item, Frame):
        return {"type": 0, "data": packed(item.data)}
    if isinstance(item, Goodbye):
        return {"type": 2, "code": item.code.name.lower(), "retry_after_ms": item.retry_after_ms}
    return {"type": 3, "data": packed(item.data)}


def _decode_messages(case: Case) -> Case:
    decoder = FrameDecoder()
    messages = [unpacked(message) for message in case["messages"]]
    items: list[Item] = []
    for message in messages[:-1]:
        items += decoder.decode(message)  # only the last message of a refused case may be refused
    try:
        items += decoder.decode(messages[-1])
    except MalformedInput as error:
        raise _LastRefused from error
    return {"items": [_item(item) for item in items]}


class _LastRefused(Exception):
    """The last message was refused, and none before it."""


def _encode_messages(case: Case) -> Case:
    frames = [unpacked(frame) for frame in case["frames"]]
    messages = FrameEncoder().encode(frames)
    decoder = FrameDecoder()
    assert [item for message in messages for item in decoder.decode(message)] == [Frame(frame) for frame in frames]
    return {"messages": [packed(message) for message in messages]}


def _keys(case: Case) -> EpochKeys:
    return derive_epoch_keys(_hex(case, "day_secret"), case["generation"], case["start"])


def _sign_descriptor(case: Case) -> Case:
    keys, size, gate = _keys(case), case["committee_size"], case["gate"]
    descriptor = receipts.sign_tag_descriptor(keys, size, gate)
    assert receipts.verify_tag_descriptor(descriptor)
    content = receipts.descriptor_content(keys.start, keys.tag, size, gate)
    return {"content": content.hex(), "signature": descriptor.signature.hex()}


def _sign_subscription(case: Case) -> Case:
    keys, handle = _keys(case), Handle(_hex(case, "handle"))
    seat, client = NodeKey(_hex(case, "seat")), PeerKey(_hex(case, "client"))
    proof = receipts.sign_subscription(keys, seat, client, handle)
    assert receipts.verify_subscription(keys.tag, seat, client, handle, proof)
    return {"content": receipts.subscribe_content(keys.tag, seat, client, handle).hex(), "signature": proof.hex()}


def _sign_receipt(case: Case) -> Case:
    seed, tag = _hex(case, "seed"), Tag(_hex(case, "tag"))
    seat, ids = NodeKey(public_key_of(seed)), tuple(EnvelopeId(bytes.fromhex(item)) for item in case["ids"])
    signature = receipts.sign_receipt(signing_key_of(seed), tag, ids, seat)
    assert receipts.verify_receipt(Receipt(tag, ids, seat, signature))
    content = receipts.receipt_content(tag, ids, seat)
    return {"content": content.hex(), "content_hash": content_hash(content).hex(), "signature": signature.hex()}


def _link_proof(case: Case) -> Case:
    """The real state machines send and take exactly this message."""
    network, is_relay = NetworkId(_hex(case, "network_id")), case["is_relay"]
    seed, now = _hex(case, "seed"), handshake.Instant(0.0, case["now_ms"] / 1000)
    dials = case["dials"]
    listener_seed = b"\x77" * 32 if dials else seed
    dialler_end = handshake.LocalEnd(
        network, seed, is_relay, _hex(case, "dialler_nonce"), _hex(case, "dialler_certificate")
    )
    listener_end = handshake.LocalEnd(
        network, listener_seed, True, _hex(case, "listener_nonce"), _hex(case, "listener_certificate")
    )
    node_key = NodeKey(public_key_of(listener_seed))
    dialler = handshake.DiallerProof(dialler_end, node_key, listener_end.certificate_hash)
    listener = handshake.ListenerProof(listener_end, dialler_end.certificate_hash)
    proof = listener.receive(dialler.begin(now), now)
    assert proof is not None
    reply = dialler.receive(proof, now)
    assert reply is not None
    assert listener.receive(reply, now) is None
    assert listener.proved is not None
    message = handshake.CODEC.decode(reply if dials else proof)
    assert isinstance(message, handshake.ProofReply if dials else handshake.Proof)
    label = handshake.DIALLER_LABEL if dials else handshake.LISTENER_LABEL
    assert verify(public_key_of(seed), label, proof_content(case), message.signature)
    return {"message": (reply if dials else proof).hex()}


def _network_id(case: Case) -> Case:
    network = parameters(case)
    assert read_network(network_content(network)) == network
    return {"content": network_content(network).hex(), "network_id": network_id(network).hex()}


def _verify_receipt(case: Case) -> bool:
    frame = FRAMES.decode(unpacked(case["bytes"]))
    assert isinstance(frame, Receipt)
    return receipts.verify_receipt(frame)


def _verify_descriptor(case: Case) -> bool:
    frame = FRAMES.decode(unpacked(case["bytes"]))
    assert isinstance(frame, SeatOpen)
    return receipts.verify_tag_descriptor(frame.descriptor)


def _verify_subscription(case: Case) -> bool:
    frame = FRAMES.decode(unpacked(case["bytes"]))
    assert isinstance(frame, Subscribe)
    seat, client = NodeKey(_hex(case, "seat")), PeerKey(_hex(case, "client"))
    return receipts.verify_subscription(frame.descriptor.tag, seat, client, frame.handle, frame.proof)


OPERATIONS: dict[str, Callable[[Case], Case]] = {
    "decode_frame": lambda case: _decode(FRAMES, case),
    "decode_pulse": lambda case: _decode(PULSES, case),
    "decode_handshake": lambda case: _decode(handshake.CODEC, case),
    "decode_messages": _decode_messages,
    "encode_messages": _encode_messages,
    "sign_descriptor": _sign_descriptor,
    "sign_subscription": _sign_subscription,
    "sign_receipt": _sign_receipt,
    "link_proof": _link_proof,
    "network_id": _network_id,
}
CHECKS: dict[str, tuple[Callable[[Case], bool], RefusalCode]] = {
    "verify_receipt": (_verify_receipt, RefusalCode.BAD_SIGNATURE),
    "verify_descriptor": (_verify_descriptor, RefusalCode.BAD_SIGNATURE),
    "verify_subscription": (_verify_subscription, RefusalCode.BAD_PROOF),
}


def _outcome(case: Case) -> str:
    if case["operation"] in CHECKS:
        check, code = CHECKS[case["operation"]]
        return "accepted" if check(case) else code.name.lower()
    try:
        OPERATIONS[case["operation"]](case)
    except _LastRefused:
        return "malformed"
    except MalformedInput as error:
        return "not the last message" if case["operation"] == "decode_messages" else error.code.name.lower()
    except ConfigurationError:
        return "invalid_argument"
    return "accepted"


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_what_the_generator_makes(name: str) -> None:
    module = importlib.import_module(f"interop.vectors.generate.{name}")
    assert (DIRECTORY / f"{name}.json").read_text() == render(module.vectors())


@pytest.mark.parametrize("name", FILES)
def test_names_are_unique(name: str) -> None:
    loaded = _load(name)
    names = [case["name"] for case in loaded["accepted"] + loaded["refused"]]
    assert len(names) == len(set(names))


def test_every_kind_is_accepted_once_at_least_and_every_field_of_it_refused() -> None:
    loaded = _load("frames")
    accepted = {case["expected"]["kind"] for case in loaded["accepted"] if case["operation"] == "decode_frame"}
    assert accepted == set(FRAME_KINDS)
    refused = " ".join(case["name"] for case in loaded["refused"])
    for cls in FRAME_KINDS.values():
        for field in dataclasses.fields(cls):
            assert f"{cls.__name__}: {field.name} " in refused


@pytest.mark.parametrize("data", [b"", bytes(257), b"ab" * 200, bytes(range(256)) * 2, b"x" * 300 + b"y" * 64])
def test_long_byte_strings_come_back(data: bytes) -> None:
    assert unpacked(json.loads(json.dumps(packed(data)))) == data


@pytest.mark.parametrize("case", _cases("accepted"))
def test_accepted(case: Case) -> None:
    assert OPERATIONS[case["operation"]](case) == case["expected"]


@pytest.mark.parametrize("case", _cases("refused"))
def test_refused(case: Case) -> None:
    assert _outcome(case) == case["code"]
