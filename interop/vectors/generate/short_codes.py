"""Vectors of the codes that people compare: numbers and MACs of two secrets, as the library makes them.

The library draws its own end's secret and tells nobody. So both ends are given here, the secret that they share is
agreed by X25519, and the library is asked for the same through an end of its own: see `_check`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from interop.vectors.generate._vodozemac import agree, derive, mac, public
from railgun.crypto.sessions import VodozemacSessions

ONE = hashlib.sha256(b"railgun/vectors/sas one").digest()
OTHER = hashlib.sha256(b"railgun/vectors/sas other").digest()
INFOS = ("railgun/link-code/v1|00ff", "", "another context: \u00fc")
CONTENT = b"content \x00\xff"
NUMBER_MASK = 0x1FFF
Case = dict[str, Any]


def _decimals(shared: bytes, info: str) -> tuple[int, int, int]:
    bits = int.from_bytes(derive(shared, info, 6), "big") >> 9
    return (bits >> 26) + 1_000, (bits >> 13 & NUMBER_MASK) + 1_000, (bits & NUMBER_MASK) + 1_000


def _mac(shared: bytes, content: bytes, info: str) -> bytes:
    return mac(derive(shared, info, 32), content.hex().encode())


def _check(info: str) -> None:
    """The library's own end and ours make the same of the secret that they share."""
    sas = VodozemacSessions().sas_new()
    shared, established = agree(ONE, sas.public_key), sas.establish(public(ONE))
    ours = (_decimals(shared, info), _mac(shared, CONTENT, info))
    if ours != (established.decimals(info), established.mac(CONTENT, info)):
        raise RuntimeError("the library makes other codes")


def _case(info: str) -> Case:
    _check(info)
    shared = agree(ONE, public(OTHER))
    return {
        "name": f"for the context {info!r}",
        "operation": "establish",
        "secret": ONE.hex(),
        "their_key": public(OTHER).hex(),
        "info": info,
        "content": CONTENT.hex(),
        "expected": {
            "public_key": public(ONE).hex(),
            "decimals": list(_decimals(shared, info)),
            "mac": _mac(shared, CONTENT, info).hex(),
        },
    }


def vectors() -> dict[str, Any]:
    """The file."""
    bad = (("of zeros", bytes(32)), ("of small order", b"\x01" + bytes(31)), ("of 31 bytes", bytes(31)), ("empty", b""))
    refused = [
        {
            "name": f"a key {name}",
            "operation": "establish",
            "secret": ONE.hex(),
            "their_key": key.hex(),
            "code": "crypto",
        }
        for name, key in bad
    ]
    return {
        "description": "Codes that people compare (docs/spec/sessions.md).",
        "accepted": [_case(info) for info in INFOS],
        "refused": refused,
    }
