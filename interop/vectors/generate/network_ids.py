"""Vectors of network ids."""

from __future__ import annotations

from typing import Any

from railgun.crypto.network_ids import network_content, network_id
from railgun.network import NetworkKind, NetworkParameters

DEFAULTS: dict[str, Any] = {
    "network_name": "example",
    "kind": "public",
    "epoch_seconds": 600,
    "overlap_seconds": 120,
    "ad_lifetime_seconds": 86_400,
}


def parameters(case: dict[str, Any]) -> NetworkParameters:
    """The parameters that a case names. Raises ConfigurationError where they are out of range."""
    return NetworkParameters(
        case["network_name"],
        NetworkKind(case["kind"]),
        case["epoch_seconds"],
        case["overlap_seconds"],
        case["ad_lifetime_seconds"],
    )


def _case(name: str, **changed: Any) -> dict[str, Any]:
    return {"name": name, "operation": "network_id", **DEFAULTS, **changed}


def _accepted(name: str, **changed: Any) -> dict[str, Any]:
    case = _case(name, **changed)
    network = parameters(case)
    return {**case, "expected": {"content": network_content(network).hex(), "network_id": network_id(network).hex()}}


def _refused(name: str, **changed: Any) -> dict[str, Any]:
    return {**_case(name, **changed), "code": "invalid_argument"}


def vectors() -> dict[str, Any]:
    """The content of network_ids.json."""
    return {
        "description": "Network ids (docs/spec/network.md).",
        "accepted": [
            _accepted("defaults"),
            _accepted("lan", kind="lan"),
            _accepted("another name", network_name="exampla"),
            _accepted("name of one character", network_name="x"),
            _accepted("name of 64 characters of four bytes", network_name="\U0001f680" * 64),
            _accepted("composed name", network_name="caf\u00e9"),
            _accepted("decomposed name: another network", network_name="cafe\u0301"),
            _accepted("smallest numbers", epoch_seconds=10, overlap_seconds=1, ad_lifetime_seconds=60),
            _accepted("largest numbers", epoch_seconds=86_400, overlap_seconds=21_600),
            _accepted("short epochs", epoch_seconds=20, overlap_seconds=4),
            _accepted("overlap of a quarter, rounded down", epoch_seconds=11, overlap_seconds=2),
            _accepted("short-lived ads", ad_lifetime_seconds=3_600),
        ],
        "refused": [
            _refused("no name", network_name=""),
            _refused("name of 65 characters", network_name="x" * 65),
            _refused("name with a line feed", network_name="a\nb"),
            _refused("name with a zero", network_name="a\0b"),
            _refused("name with a bidirectional override", network_name="a\u202eb"),
            _refused("name with a no-break space", network_name="a\u00a0b"),
            _refused("epochs of 9 seconds", epoch_seconds=9, overlap_seconds=1),
            _refused("epochs of more than a day", epoch_seconds=86_401),
            _refused("no overlap", overlap_seconds=0),
            _refused("overlap of more than a quarter", overlap_seconds=151),
            _refused("overlap above a quarter, rounded down", epoch_seconds=11, overlap_seconds=3),
            _refused("ads of 59 seconds", ad_lifetime_seconds=59),
            _refused("ads of more than a day", ad_lifetime_seconds=86_401),
        ],
    }
