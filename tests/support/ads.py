"""Ads for tests: quick unsigned ones for ordering, signed ones for directories.

Owns: how test relays get keys and addresses. Must not know: what is tested with them.
"""

from __future__ import annotations

import hashlib

from railgun.crypto.records import SignedAd, sign_ad
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Address, NodeKey, Role
from railgun.wire.records import Ad, AdExtras

LAN = NetworkParameters("test", NetworkKind.LAN)
PUBLIC = NetworkParameters("test", NetworkKind.PUBLIC)


def seed_of(index: int) -> bytes:
    """The 32-byte seed of test relay ``index``."""
    return hashlib.blake2b(f"relay {index}".encode(), digest_size=32).digest()


def host_of(index: int, *, crowded: bool = False) -> str:
    """A global IPv4 address: of a /24 of its own, or (crowded) of one that 256 share."""
    return f"93.184.216.{index % 256}" if crowded else f"20.{index // 256 % 256}.{index % 256}.1"


def plain_ad(
    index: int, *, roles: Role = Role.RELAY, crowded: bool = False, host: str | None = None, issued: int = 0
) -> Ad:
    """An ad for ordering; its signature is nothing."""
    address = Address(host or host_of(index, crowded=crowded), 9000 + index % 1000)
    return Ad(NodeKey(seed_of(index)), address, bytes(32), roles, issued, issued + 86_400, None, bytes(64))


def signed_ad(
    index: int,
    issued: int,
    *,
    expires: int | None = None,
    roles: Role = Role.RELAY,
    host: str | None = None,
    extras: AdExtras | None = None,
) -> SignedAd:
    """An ad of test relay ``index`` that a directory takes."""
    return sign_ad(
        seed_of(index),
        address=Address(host or host_of(index), 9000),
        certificate_hash=seed_of(index + 1_000_000),
        roles=roles,
        issued=issued,
        expires=issued + 86_400 if expires is None else expires,
        extras=extras,
    )
