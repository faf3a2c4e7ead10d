"""A network's parameters and its identifier.

Owns: the numbers that every peer of one network must share, their bounds and the hash that
names the network. Must not know: who is in the network, or how anything travels.

Spec: docs/spec/network.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from railgun.errors import ConfigurationError
from railgun.types import NetworkId


class NetworkKind(enum.StrEnum):
    """``public``: addresses must be global, ads need witnesses. ``lan``: neither."""

    PUBLIC = "public"
    LAN = "lan"


@dataclass(frozen=True, slots=True)
class NetworkParameters:
    """What all peers of a network agree on.

    Attributes:
        name: 1 to 64 characters, for people.
        kind: see `NetworkKind`.
        epoch_seconds: L, the length of an epoch, 10 to 86,400.
        overlap_seconds: O, during which two committees serve a room, 1 to L/4.
        ad_lifetime_seconds: how long an ad lives at most, 60 to 86,400.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    name: str
    kind: NetworkKind = NetworkKind.PUBLIC
    epoch_seconds: int = 600
    overlap_seconds: int = 120
    ad_lifetime_seconds: int = 86_400

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64 or not self.name.isprintable():
            raise ConfigurationError("network name: 1 to 64 printable characters, please")
        _check("epoch_seconds", self.epoch_seconds, 10, 86_400)
        _check("overlap_seconds", self.overlap_seconds, 1, self.epoch_seconds // 4)
        _check("ad_lifetime_seconds", self.ad_lifetime_seconds, 60, 86_400)

    @property
    def is_lan(self) -> bool:
        return self.kind is NetworkKind.LAN


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{name} = {value}: must be from {least} to {most}")


__all__ = ["NetworkId", "NetworkKind", "NetworkParameters"]
