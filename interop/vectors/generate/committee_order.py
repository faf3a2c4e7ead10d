"""Vectors of what counts for an epoch, of prefixes, and of the committee's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interop.vectors.generate.records import ISSUED, make_ad, make_obituary
from railgun.core.committee import address_prefix, order_relays, rank_for_handle
from railgun.core.directory import Directory
from railgun.crypto.records import SignedRecord
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Address, Handle, NodeKey, Role, Tag
from railgun.wire.records import Ad

TAG = Tag(bytes(range(32)))
START = ISSUED + 1_200
EPOCH_SECONDS = 600
HOSTS = (
    "8.8.4.4",
    "::ffff:8.8.4.4",
    "2a00:1450:4001:81b::200e",
    "100.63.255.255",
    "100.64.0.0",
    "10.0.0.1",
    "127.0.0.1",
    "169.254.1.1",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "64:ff9b::808:404",
    "2001::1",
    "2001:200::1",
    "2001:db8::1",
    "2002:808:404::1",
    "3fff::1",
    "fc00::1",
    "fe80::1",
    "ff02::1",
)


def _relay(index: int, host: str, roles: int = 1) -> dict[str, Any]:
    return {"node_key": (bytes([index]) * 32).hex(), "host": host, "port": 9000 + index, "roles": roles}


def relay_ad(relay: dict[str, Any]) -> Ad:
    """The ad, as far as the order looks at it."""
    address = Address(relay["host"], relay["port"])
    return Ad(
        NodeKey(bytes.fromhex(relay["node_key"])), address, bytes(32), Role(relay["roles"]), 0, 0, None, bytes(64)
    )


def _keys(ads: Sequence[Ad]) -> list[str]:
    return [ad.node_key.hex() for ad in ads]


def _order(name: str, kind: str, size: int, relays: list[dict[str, Any]], tag: Tag = TAG) -> dict[str, Any]:
    network = NetworkParameters("vectors", NetworkKind(kind))
    committee = order_relays(tag, [relay_ad(relay) for relay in relays], network, size)
    return {
        **_order_input(name, kind, size, relays, tag),
        "expected": {
            "seats": _keys(committee.seats),
            "standbys": _keys(committee.standbys),
            "fallbacks": _keys(committee.fallbacks),
            "majority": committee.majority,
            "seats_hash": committee.seats_hash.hex(),
        },
    }


def _order_input(name: str, kind: str, size: int, relays: list[dict[str, Any]], tag: Tag = TAG) -> dict[str, Any]:
    return {
        "name": name,
        "operation": "order",
        "network_kind": kind,
        "tag": tag.hex(),
        "committee_size": size,
        "relays": relays,
    }


def _orders() -> list[dict[str, Any]]:
    spread = [_relay(index, f"20.{index}.0.1") for index in range(1, 21)]
    crowd = [_relay(index, f"93.184.216.{index}") for index in range(30, 40)]
    six = [_relay(index, f"2a00:1450:{index % 3}::{index:x}") for index in range(50, 59)]
    fallbacks = [_relay(index, f"21.{index}.0.1", 2) for index in range(60, 64)]
    many = [_relay(index, f"21.{index}.0.1", 2) for index in range(100, 120)]
    crowded_fallbacks = [_relay(index, f"93.184.216.{index}", 2) for index in (40, 41)] + fallbacks[:1]
    local_fallbacks = [_relay(index, "127.0.0.1", 2) for index in range(2, 5)]
    both = [_relay(index, f"22.{index}.0.1", 3) for index in range(70, 90)]
    odd = [_relay(91, "10.0.0.1"), _relay(92, "fe80::1"), _relay(93, "23.0.0.1", 4)]
    return [
        _order("lan, 7 relays on one address", "lan", 5, [_relay(index, "127.0.0.1") for index in range(1, 8)]),
        _order("lan, 3 relays", "lan", 5, [_relay(index, "127.0.0.1") for index in range(1, 4)]),
        _order("no relay", "lan", 3, []),
        _order("public, each in a prefix of its own", "public", 5, spread),
        _order("public, under another tag", "public", 5, spread, Tag(bytes(32))),
        _order("public, K = 3", "public", 3, spread),
        _order("public, K = 7", "public", 7, spread),
        _order("public, half of them in one prefix", "public", 5, spread[:8] + crowd),
        _order("public, all in one prefix", "public", 3, crowd),
        _order("public, IPv6 in three prefixes", "public", 5, six),
        _order(
            "public, a mapped address is its IPv4 prefix", "public", 3, [*crowd[:5], _relay(99, "::ffff:93.184.216.9")]
        ),
        _order("public, fallbacks beyond the standbys", "public", 3, spread + fallbacks),
        _order("public, fallbacks fill seats", "public", 5, spread[:2] + fallbacks),
        _order("public, fallbacks among the standbys", "public", 5, spread[:7] + fallbacks),
        _order("public, one fallback holds the last seat", "public", 3, spread[:2] + fallbacks[:1]),
        _order("public, fallbacks alone", "public", 5, fallbacks),
        _order("public, more fallbacks than places", "public", 3, spread[:8] + many),
        _order("public, a fallback in a volunteer's prefix", "public", 3, crowd[:2] + crowded_fallbacks),
        _order("public, a volunteer that is a fallback too", "public", 3, [both[0], *fallbacks]),
        _order("lan, fallbacks fill seats", "lan", 5, [_relay(1, "127.0.0.1"), *local_fallbacks]),
        _order("public, relays of both roles", "public", 5, both),
        _order("public, those that cannot count are passed over", "public", 3, spread[:4] + odd),
    ]


def _counted(name: str, records: list[SignedRecord], *, kind: str = "lan", wall: int = START) -> dict[str, Any]:
    directory = Directory(NetworkParameters("vectors", NetworkKind(kind), epoch_seconds=EPOCH_SECONDS))
    for record in records:
        directory.insert(record.encoded, wall)
    return {
        "name": f"counted: {name}",
        "operation": "counted",
        "network_kind": kind,
        "epoch_seconds": EPOCH_SECONDS,
        "start": START,
        "wall": wall,
        "records": [record.encoded.hex() for record in records],
        "expected": {"node_keys": _keys(directory.counted(START, wall))},
    }


def _counts() -> list[dict[str, Any]]:
    cutoff = START - EPOCH_SECONDS
    three: list[SignedRecord] = [make_ad(index) for index in (1, 2, 3)]
    four: list[SignedRecord] = [*three, make_ad(4)]
    pair = [make_ad(5, address=Address("20.0.77.1", port)) for port in (1, 2)]
    mourned = make_obituary((1, 2, 3), (cutoff,) * 3, dead=4)
    return [
        _counted("issued at the cut-off, and a second later", [*three, make_ad(4, cutoff), make_ad(5, cutoff + 1)]),
        _counted(
            "expires at the start, and a second later",
            [*three, make_ad(4, expires=START), make_ad(5, expires=START + 1)],
        ),
        _counted("a newer ad, without a role, by the cut-off", [*four, make_ad(4, cutoff, roles=Role(0))]),
        _counted("a newer ad after the cut-off", [*four, make_ad(4, cutoff + 1, roles=Role(0))]),
        _counted("a relay that left", [*four, make_ad(4, cutoff, expires=cutoff)]),
        _counted("two, and one by the start", [*three[:2], make_ad(3, START), make_ad(4, START + 1)], wall=START + 5),
        _counted("two, and one by now", [*three[:2], make_ad(3, START + 4), make_ad(4, START + 6)], wall=START + 5),
        _counted(
            "one address, two nodes, public",
            [*three, pair[0], make_ad(6, ISSUED + 1, address=pair[1].ad.address)],
            kind="public",
        ),
        _counted("one address, two nodes, lan", [*three, pair[0], make_ad(6, ISSUED + 1, address=pair[1].ad.address)]),
        _counted("an obituary at the cut-off", [*four, mourned]),
        _counted("an obituary after the cut-off", [*four, make_obituary((1, 2, 3), (cutoff + 1,) * 3, dead=4)]),
        _counted("an obituary by two of three others", [*four, make_obituary((1, 2), (cutoff,) * 2, dead=4)]),
        _counted(
            "an obituary by two, who are all others",
            [*three[:2], make_ad(4), make_obituary((1, 2), (cutoff,) * 2, dead=4)],
        ),
        _counted(
            "an ad newer than the obituary",
            [*four, make_obituary((1, 2, 3), (cutoff - 5,) * 3, dead=4), make_ad(4, cutoff - 4)],
        ),
    ]


def _prefixes() -> list[dict[str, Any]]:
    found = [(host, address_prefix(Address(host, 1))) for host in HOSTS]
    return [
        {
            "name": f"prefix of {host}",
            "operation": "prefix",
            "host": host,
            "expected": {"prefix": None if prefix is None else prefix.hex()},
        }
        for host, prefix in found
    ]


def _ranks() -> list[dict[str, Any]]:
    seats = [NodeKey(bytes([index]) * 32) for index in range(1, 6)]
    handles = [Handle(bytes(16)), Handle(bytes(range(16)))]
    return [
        {
            "name": f"ranks of handle {number}",
            "operation": "rank",
            "handle": handle.hex(),
            "seats": [seat.hex() for seat in seats],
            "expected": {"ranked": [seat.hex() for seat in rank_for_handle(handle, seats)]},
        }
        for number, handle in enumerate(handles)
    ]


def vectors() -> dict[str, Any]:
    one = [_relay(1, "20.0.0.1")]
    refused = [
        _order_input("K = 2", "lan", 2, one),
        _order_input("K = 8", "lan", 8, one),
        _order_input("two ads of one node", "lan", 3, one * 2),
        _order_input("two ads of one node, as a volunteer and as a fallback", "lan", 3, [*one, {**one[0], "roles": 2}]),
        _order_input("fallbacks alone, K = 2", "lan", 2, [_relay(1, "20.0.0.1", 2)]),
    ]
    return {
        "description": "What counts for an epoch (docs/spec/directory.md), prefixes and the order "
        "(docs/spec/committee.md). `counted`: overlap 120 s, ads live at most 86400 s; node keys ascend.",
        "accepted": [*_orders(), *_ranks(), *_prefixes(), *_counts()],
        "refused": [{**case, "code": "invalid_argument"} for case in refused],
    }
