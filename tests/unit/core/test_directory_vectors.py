"""The shared vectors of records and orders: committed as made, accepted as said, refused with their code."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop.vectors.generate.__main__ import render
from railgun.core.committee import address_prefix, order_relays, rank_for_handle
from railgun.core.directory import Directory
from railgun.core.reconciliation import fingerprint
from railgun.crypto.hashing import content_hash
from railgun.crypto.records import SignedAd, SignedObituary, verify_record
from railgun.errors import PeerError
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Address, Handle, NodeKey, Role, Tag
from railgun.wire.records import Ad, decode_extras, signed_content

FILES = ("records", "committee_order")
DIRECTORY = Path(__file__).parents[3] / "interop" / "vectors"

Case = dict[str, Any]


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


def _cases(part: str) -> list[Any]:
    return [pytest.param(case, id=f"{name}: {case['name']}") for name in FILES for case in _load(name)[part]]


def _hex(case: Case, key: str) -> bytes:
    return bytes.fromhex(case[key])


def _verify_ad(case: Case) -> Case:
    signed = verify_record(_hex(case, "record"))
    assert isinstance(signed, SignedAd)
    ad = signed.ad
    return {
        "hash": signed.hash.hex(),
        "signed_content": signed_content(ad).hex(),
        "node_key": ad.node_key.hex(),
        "host": ad.address.host,
        "port": ad.address.port,
        "certificate_hash": ad.certificate_hash.hex(),
        "roles": int(ad.roles),
        "issued": ad.issued,
        "expires": ad.expires,
        "extras_hash": None if ad.extras_hash is None else ad.extras_hash.hex(),
    }


def _verify_obituary(case: Case) -> Case:
    signed = verify_record(_hex(case, "record"))
    assert isinstance(signed, SignedObituary)
    return {"hash": signed.hash.hex(), "node_key": signed.node_key.hex(), "dated": signed.instant}


def _decode_extras(case: Case) -> Case:
    decode_extras(_hex(case, "record"))
    return {"hash": content_hash(_hex(case, "record")).hex()}


def _network(case: Case) -> NetworkParameters:
    return NetworkParameters("vectors", NetworkKind(case["network_kind"]))


def _admit(case: Case) -> Case:
    assert Directory(_network(case)).insert(_hex(case, "record"), case["wall"]) is not None
    return {}


def _fingerprint(case: Case) -> Case:
    return {"fingerprint": fingerprint([bytes.fromhex(item) for item in case["hashes"]]).hex()}


def _order(case: Case) -> Case:
    ads = [
        Ad(
            NodeKey(_hex(relay, "node_key")),
            Address(relay["host"], relay["port"]),
            bytes(32),
            Role(relay["roles"]),
            0,
            0,
            None,
            bytes(64),
        )
        for relay in case["relays"]
    ]
    committee = order_relays(Tag(_hex(case, "tag")), ads, _network(case), case["committee_size"])
    assert committee == order_relays(Tag(_hex(case, "tag")), ads[::-1], _network(case), case["committee_size"])
    return {
        "seats": [ad.node_key.hex() for ad in committee.seats],
        "standbys": [ad.node_key.hex() for ad in committee.standbys],
        "fallbacks": [ad.node_key.hex() for ad in committee.fallbacks],
        "majority": committee.majority,
        "seats_hash": committee.seats_hash.hex(),
    }


def _counted(case: Case) -> Case:
    directory = Directory(_network(case))
    assert directory.network.epoch_seconds == case["epoch_seconds"]
    for record in case["records"]:
        directory.insert(bytes.fromhex(record), case["wall"])
    return {"node_keys": [ad.node_key.hex() for ad in directory.counted(case["start"], case["wall"])]}


def _prefix(case: Case) -> Case:
    prefix = address_prefix(Address(case["host"], 1))
    return {"prefix": None if prefix is None else prefix.hex()}


def _rank(case: Case) -> Case:
    seats = [NodeKey(bytes.fromhex(seat)) for seat in case["seats"]]
    return {"ranked": [seat.hex() for seat in rank_for_handle(Handle(_hex(case, "handle")), seats)]}


OPERATIONS: dict[str, Callable[[Case], Case]] = {
    "verify_ad": _verify_ad,
    "verify_obituary": _verify_obituary,
    "decode_extras": _decode_extras,
    "admit": _admit,
    "fingerprint": _fingerprint,
    "order": _order,
    "counted": _counted,
    "prefix": _prefix,
    "rank": _rank,
}


def _outcome(case: Case) -> str:
    try:
        OPERATIONS[case["operation"]](case)
    except PeerError as error:
        return error.code.name.lower()
    except ValueError:
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


@pytest.mark.parametrize("case", _cases("accepted"))
def test_accepted_cases_give_what_is_written(case: Case) -> None:
    assert OPERATIONS[case["operation"]](case) == case["expected"]


@pytest.mark.parametrize("case", _cases("refused"))
def test_refused_cases_are_refused_with_their_code(case: Case) -> None:
    assert _outcome(case) == case["code"]
