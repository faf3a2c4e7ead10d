"""The shared vectors of the DHT: committed as made, accepted as said, refused with their code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate import dht
from interop.vectors.generate.__main__ import render
from interop.vectors.generate._packed import packed, plain, unpacked
from railgun.crypto.contact_sealing import open_contact
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.dht import datagrams
from railgun.dht.datagrams import Form
from railgun.dht.records import read_record, split_payload
from railgun.dht.session_keys import NodeAgreement, SessionKeyring
from railgun.errors import CryptoError, MalformedInput, RefusalCode
from railgun.types import NodeKey
from railgun.wire.schema import shapes_of

PATH = Path(__file__).parents[3] / "interop" / "vectors" / "dht.json"
Case = dict[str, Any]


def _cases(part: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in json.loads(PATH.read_text())[part]]


def _keyring(seed: bytes) -> SessionKeyring:
    return SessionKeyring(NodeKey(public_key_of(seed)), NodeAgreement(signing_key_of(seed)))


def _open_datagram(case: Case) -> Case:
    parsed = datagrams.parse(unpacked(case["bytes"]))
    header = parsed.header
    if header.form is Form.SIGNED_REQUEST:
        holds = datagrams.signature_holds(parsed)
    else:
        keys = _keyring(bytes.fromhex(case["receiver_seed"])).keys_for(header.sender)
        holds = datagrams.mac_holds(parsed, keys)
    if not holds:
        raise MalformedInput("not by whom it says", RefusalCode.BAD_SIGNATURE)
    return {
        "form": int(header.form),
        "network": header.network.hex(),
        "sender": header.sender.hex(),
        "destination": header.destination.hex(),
        "time": header.time,
        "request_id": header.request_id.hex(),
        "cookie": header.cookie.hex(),
        "message": parsed.message.hex(),
    }


def _decode(case: Case) -> Case:
    codec = dht.CODECS[case["operation"]]
    data = unpacked(case["bytes"])
    item = codec.decode(data)
    assert codec.encode(item) == data
    kind = next(number for number, cls in codec.classes.items() if cls is type(item))
    return {"kind": kind, "fields": [plain(getattr(item, name)) for name, _ in shapes_of(type(item))]}


def _read_record(case: Case) -> Case:
    signed = read_record(unpacked(case["bytes"]), now=case["now"])
    record = signed.record
    return {
        "key": signed.key.hex(),
        "kind": int(record.kind),
        "author": record.author.hex(),
        "item": record.item,
        "version": record.version,
        "issued": record.issued,
        "expires": record.expires,
        "payload": packed(record.payload),
    }


def _open_contact(case: Case) -> Case:
    keys = derive_epoch_keys(bytes.fromhex(case["day_secret"]), case["generation"], case["start"])
    return {"contact": packed(open_contact(keys, unpacked(case["bytes"])))}


def _mac_keys(case: Case) -> Case:
    keys = _keyring(bytes.fromhex(case["own_seed"])).keys_for(NodeKey(bytes.fromhex(case["peer"])))
    return {"sending": keys.sending.hex(), "receiving": keys.receiving.hex()}


def _split_keys(case: Case) -> Case:
    return {"parts": [packed(part) for part in split_payload(unpacked(case["payload"]))]}


OPERATIONS: dict[str, Callable[[Case], Case]] = {
    "open_datagram": _open_datagram,
    "read_record": _read_record,
    "open_contact": _open_contact,
    "mac_keys": _mac_keys,
    "split_keys": _split_keys,
    **dict.fromkeys(dht.CODECS, _decode),
}


def test_the_committed_file_is_what_the_generator_makes() -> None:
    assert PATH.read_text() == render(dht.vectors())


def test_names_are_unique() -> None:
    loaded = json.loads(PATH.read_text())
    names = [case["name"] for case in loaded["accepted"] + loaded["refused"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", _cases("accepted"))
def test_accepted(case: Case) -> None:
    assert OPERATIONS[case["operation"]](case) == case["expected"]


@pytest.mark.parametrize("case", _cases("refused"))
def test_refused(case: Case) -> None:
    assert _outcome(case) == case["code"]


def _outcome(case: Case) -> str:
    try:
        OPERATIONS[case["operation"]](case)
    except MalformedInput as error:
        return error.code.name.lower()
    except CryptoError:
        return "crypto"
    return "accepted"
